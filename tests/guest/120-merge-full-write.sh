# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a merge waits for a write of a whole chunk to another snapshot, and goes on when it has ended"
EACH=1
TIMEOUT=90
KERNELS=stock

run_test()
{
	local o c other write

	modprobe dm-delay
	o=$(nullb_create size=4)
	c=$(nullb_create size=4)
	other=$(nullb_create size=4)
	put_blocks "$o" 0 4 2048 a
	cow_clear "$c"
	origin_create origin "$o"
	snap_create s1 origin "$o" "$c" P 8
	put /dev/mapper/s1 80 8 s
	# Writes to the COW device of the transient snapshot take three seconds.
	dm_create slow "0 $(sectors "$other") delay $other 0 0 $other 0 3000"
	snap_create s2 origin "$o" /dev/mapper/slow N 8
	dmsetup reload origin --table "0 $(sectors "$o") merge-scaled $o $c P 8"
	pattern t > /dev/null
	put /dev/mapper/s2 80 8 t & write=$!
	sleep 0.5
	dmsetup suspend s1
	dmsetup suspend origin
	dmsetup resume origin
	dm_remove s1
	wait "$write"
	wait_for 20 is_merged origin
	assert_eq "$(snap_usage origin)" "16/$(sectors "$c") 16"
	assert_holds /dev/mapper/origin 80 8 s
	assert_holds /dev/mapper/s2 80 8 t
	dm_remove s2 slow origin
}
