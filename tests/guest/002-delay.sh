# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
DESCRIPTION="Delay points wait as debugfs says, and refuse settings that mean nothing"
KERNELS=debug

requires()
{
	requires_delays
}

run_test()
{
	local line dev

	for line in "" "name" "name 120001" "name 1 1001" "name x"; do
		assert_fails delay_set "$line"
	done
	assert_eq "$(cat "$delays")" "" "lines after refused ones"

	delay_set "no-such-point 1"
	assert_eq "$(cat "$delays")" "no-such-point 1 ms, 1000 per thousand: 0 hits, 0 waited"
	delays_off
	assert_eq "$(cat "$delays")" "" "lines after off"

	# First writes hit points of the snapshot's; only so many hits wait.
	dev=$(nullb_create size=16)
	origin_create origin "$dev"
	snap_create snap origin "$dev" "$(nullb_create size=16)"
	delay_set "snap-*" 5 1000 3
	fill /dev/mapper/origin 1
	assert_eq "$(delay_waited "snap-*")" 3 "hits that waited"
}
