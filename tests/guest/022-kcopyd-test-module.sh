# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="the test module refuses what it does not understand, and fails cases that fail"
EACH=1
SELDOM=debug

requires()
{
	need_test_module dm-kcopyd-mq-test
}

in_use()
{
	(($(< /sys/module/dm_kcopyd_mq_test/refcnt)))
}

run_test()
{
	local line small

	small=$(nullb_create size=1)
	insmod "$opt/dm-kcopyd-mq-test.ko"
	for line in nonsense key=value engine=other engine= seconds=x "src=$small" "dst=$small" \
		    "src=$small dst=$small,,,,,,,,,"; do
		kcopyd_line_fails "$kcopyd_test/run" "$line"
	done

	# Devices that are not there, or too small, are failures.
	echo "cases=copy.sizes src=/dev/no-such-device dst=$small" > "$kcopyd_test/run"
	assert_match "$(< "$kcopyd_test/result")" 'not ok 1 copy.sizes'
	echo "cases=copy.sizes src=$small dst=$small" > "$kcopyd_test/run"
	assert_match "$(< "$kcopyd_test/result")" 'not ok 1 copy.sizes'
	echo "cases=no-such-case" > "$kcopyd_test/run"
	assert_match "$(< "$kcopyd_test/result")" '1\.\.0$'

	# The module cannot go while a case runs, and can afterwards.
	echo "cases=stress.irq seconds=6" > "$kcopyd_test/run" &
	wait_for 60 in_use
	assert_fails rmmod dm_kcopyd_mq_test
	wait $!
	rmmod dm_kcopyd_mq_test
}
