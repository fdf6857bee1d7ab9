# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Helpers of the tests that run dm-kcopyd-mq-test.ko and dm-copy-bench.ko.

: "${opt:?}" "${lib:?}"
kcopyd_test=/sys/kernel/debug/dm-kcopyd-mq-test
copy_bench=/sys/kernel/debug/dm-copy-bench

# need_test_module NAME: skips where it was not built.
need_test_module()
{
	[[ -e $opt/$1.ko ]] || skip "$1.ko is not there: make test-modules"
}

# kcopyd_cases CASES [KEY=VALUE...]: runs the cases whose names match the pattern, and fails if one fails, or
# if there is none. The test module is gone afterwards, whatever happened, so that ours can be removed.
kcopyd_cases()
{
	local cases=$1 results

	shift
	insmod "$opt/dm-kcopyd-mq-test.ko"
	echo "cases=$cases $*" > "$kcopyd_test/run"
	results=$(< "$kcopyd_test/result")
	rmmod dm_kcopyd_mq_test
	echo "$results"
	grep -q '^ok ' <<< "$results" || fail "no case of $cases ran"
	! grep -q '^not ok\|^Bail out' <<< "$results" || fail "cases failed"
	# What has a name is tested: nothing is left out for want of a device.
	! grep -q '# SKIP' <<< "$results" || fail "cases were skipped"
}

# kcopyd_line_fails FILE LINE: writing the line is refused.
kcopyd_line_fails()
{
	assert_fails dd of="$1" status=none <<< "$2"
}

# bench KEY=VALUE...: runs the benchmark from $src to $dst; its result is in $result.
bench()
{
	echo "src=$src dst=$dst $*" > "$copy_bench/run"
	result=$(< "$copy_bench/result")
	echo "$result"
}

# number KEY: a value of the benchmark's $result
number()
{
	sed -n "s/.*\"$1\": \"\{0,1\}\([0-9.]*\).*/\1/p" <<< "$result"
}
