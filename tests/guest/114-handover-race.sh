# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a device is removed while another one takes its snapshot over: one of them wins"

run_test()
{
	local o c table i pid sector taken=0 lost=0

	o=$(nullb_create size=4)
	c=$(nullb_create size=4)
	put_blocks "$o" 0 4 2048 a
	origin_create origin "$o"
	for ((i = 0; i < $(long_or 1000 "$(slow_or 10 20)"); i++)); do
		sector=$((i % 64 * 16))
		snap_create old origin "$o" "$c" N 16
		table=$(dmsetup table old)
		put /dev/mapper/origin $sector 16 b
		dmsetup suspend old
		dmsetup create new --notable
		dmsetup load new --table "$table"
		# The first two are not a race, then it is a near one.
		((i != 1)) || dmsetup remove old
		dmsetup resume new & pid=$!
		((i != 0)) || wait "$pid"
		sleep "0.00$((i % 10))"
		((i == 1)) || dmsetup remove old
		wait "$pid"
		if is_invalid new; then
			lost=$((lost + 1))
			assert_fails get /dev/mapper/new $sector 16
		else
			taken=$((taken + 1))
			assert_cows new 1 16
			assert_holds /dev/mapper/new $sector 16 a
		fi
		dm_remove new
		put "$o" $sector 16 a
	done
	echo "taken over $taken times, lost $lost times"
	assert_le 1 "$taken" "times that it was taken over"
	assert_le 1 "$lost" "times that it was lost"
}
