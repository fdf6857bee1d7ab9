# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
DESCRIPTION="unit tests: each source file's suite, case by case"
TIMEOUT=400
KERNELS="debug kcsan"

kunit=$opt/dm-scaled-kunit.ko
debugfs=/sys/kernel/debug
suites=(dm-scaled-cache dm-scaled-devices dm-scaled-refs
	dm-kcopyd-mq dm-kcopyd-mq-client dm-kcopyd-mq-mem dm-kcopyd-mq-throttle dm-kcopyd-mq-kick
	dm-kcopyd-mq-gather dm-kcopyd-mq-offload copy-offload copy-offload-nvme
	dm-snap-scaled dm-snap-origin dm-snap-pending dm-snap-exception dm-snap-store dm-snap-used
	dm-snap-disk dm-snap-log dm-snap-merge dm-clone-bitmap
	dm-clone-region dm-clone-bio dm-clone-range dm-clone-hydrate)

requires()
{
	[[ -e $kunit ]] || skip "no unit tests for this kernel: make kunit-modules builds them if it has KUnit"
}

# kunit_cases SUITE LOG: results of a suite's cases, one line each: "ok SUITE.CASE", "ok SUITE.CASE # SKIP why" or
# "not ok SUITE.CASE: why". Fails if the suite has not run to its end.
#
# The verdicts are those in debugfs, but what is said there of the reasons is cut after some 500 characters: those
# come from the kernel log, from which time stamps have been taken away.
kunit_cases()
{
	local suite=$1 log=$2 results=$debugfs/kunit/$1/results

	[[ -r $results ]] || fail "suite $suite is missing"
	awk -v suite="$suite" '
	NR == FNR {
		if ($0 ~ "^ *# Subtest: " suite "$")
			ours = 1
		else if ($0 ~ "^(not )?ok [0-9]+ " suite "( |$)")
			ours = 0
		# The first complaint of each case, its location and what was expected.
		else if (ours && match($0, /^    # [a-z0-9_]+: EXPECTATION|^    # [a-z0-9_]+: ASSERTION/)) {
			name = $2
			sub(":", "", name)
			lines = 3
			if (why[name])
				lines = 0
			sub(/^ *# [^:]*: /, "")
		}
		if (ours && lines > 0) {
			gsub(/^ +| +$/, "")
			why[name] = why[name] " " $0
			lines--
		}
		next
	}
	/^    1\.\.[0-9]+$/ {
		planned = substr($1, 4)
	}
	/^    (not )?ok [0-9]+ / {
		verdict = $1 == "ok" ? "ok" : "not ok"
		name = verdict == "ok" ? $3 : $4
		note = ""
		if (match($0, /# SKIP.*/))
			note = " " substr($0, RSTART)
		print verdict " " suite "." name (verdict == "ok" ? note : ":" why[name])
		nr++
	}
	/^(not )?ok 1 / {
		ended = 1
	}
	END {
		if (!ended || !planned || nr != planned) {
			print "suite " suite ": " nr + 0 " of " planned + 0 " cases" > "/dev/stderr"
			exit 1
		}
	}' "$log" "$results"
}

run_test()
{
	local suite log=/tmp/kunit.log code=0 runtime=/proc/sys/kernel/sched_rt_runtime_us before

	log_mark
	# A case holds a CPU with a real-time task: no other task gets a turn there.
	before=$(< $runtime)
	echo -1 > $runtime
	# Beside our module, which the runner has loaded, but without its help.
	insmod "$kunit"
	echo "$before" > $runtime
	[[ ! -e /sys/module/dm_scaled/holders/dm_scaled_kunit ]] || fail "the unit tests use the module"
	log_since | sed 's/^\[[^]]*\] //' > "$log"
	cat "$log"
	for suite in "${suites[@]}"; do
		kunit_cases "$suite" "$log" | tee -a "$cases" || code=1
	done
	rmmod dm_scaled_kunit
	assert_eq "$code" 0 "suites that did not run to their end"
	! grep -q '^not ok' "$cases" || fail "cases have failed"
}
