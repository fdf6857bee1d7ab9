# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="copies: sizes, places, destinations, contents, neighbours"
EACH=1
SELDOM=debug
TIMEOUT=240

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	local dst n

	kcopyd_cases 'copy.*'

	# Takes a slow kernel a minute, for what the other disks show as well.
	if [[ $variant == stock ]]; then
		dst=$(nullb_create size=16)
		for ((n = 2; n <= 8; n++)); do
			dst+=,$(nullb_create size=16)
		done
		kcopyd_cases 'copy.*' src="$(nullb_create size=16)" dst="$dst"
	fi

	# The source completes in the submitter's context, destinations elsewhere, with blocks of 4 KiB in between.
	brd_create 1 16
	kcopyd_cases 'copy.*' src=/dev/ram0 dst="$(loop_create 16),$(nullb_create size=16 irqmode=2)"
}
