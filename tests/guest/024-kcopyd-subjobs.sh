# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="copies in sub-jobs of other sizes, senseless ones too"
SELDOM="stock debug"
TIMEOUT=400

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	local cases kb zoned

	zoned=$(nullb_create size=32 zoned=1 zone_size=2)
	for kb in $(slow_or 12 '1 4294967295'); do
		module_param kcopyd_subjob_size_kb "$kb"
		echo "### sub-jobs of $kb KiB"
		for cases in $(slow_or '' copy.sizes) copy.dests 'seq.*' zero.sizes 'error.*' stress.irq; do
			kcopyd_cases "$cases" zoned="$zoned" seconds=1
		done
	done
	# Without memory: the reserve is smaller or larger as well.
	for kb in 4 1024; do
		module_param kcopyd_subjob_size_kb "$kb"
		kcopyd_cases memory.none seconds=2
	done
}
