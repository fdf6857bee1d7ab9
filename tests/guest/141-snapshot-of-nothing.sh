# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="snapshots of nothing, 15 PiB and 4 EiB: what is written stays, near the end, too, and under a snapshot"
KERNELS=stock

# of_nothing SECTORS: as LVM makes it of --virtualsize, on the zero target
of_nothing()
{
	local size=$1 c last=$(($1 - 8)) middle=$(($1 / 2 + 8))

	c=$(nullb_create size=8)
	dm_create nothing "0 $size zero"
	dm_create virtual "0 $size $snapshot /dev/mapper/nothing $c P 8"
	put /dev/mapper/virtual 0 8 a
	put /dev/mapper/virtual "$middle" 3 b
	put /dev/mapper/virtual "$last" 8 c
	assert_eq "$(snap_usage virtual)" "40/$(sectors "$c") 16"
	assert_holds /dev/mapper/virtual $((middle + 3)) 5 0
	assert_holds /dev/mapper/virtual $((last - 64)) 64 0

	# Its own snapshot; chunk numbers are as large there.
	dm_create origin "0 $size $snapshot_origin /dev/mapper/virtual"
	snap_create top origin /dev/mapper/virtual "$(nullb_create size=8)" N 16
	put /dev/mapper/origin "$last" 8 d
	put /dev/mapper/origin $((middle - 64)) 8 e
	put /dev/mapper/top "$middle" 1 f
	assert_holds /dev/mapper/top "$last" 8 c
	assert_holds /dev/mapper/top $((middle - 64)) 8 0
	assert_holds /dev/mapper/top "$middle" 1 f
	assert_holds /dev/mapper/virtual "$middle" 3 b
	assert_cows top 3 16
	assert_fails put /dev/mapper/origin "$size" 8 g
	dm_remove top origin virtual

	dm_create virtual "0 $size $snapshot /dev/mapper/nothing $c P 8"
	assert_holds /dev/mapper/virtual 0 8 a
	assert_holds /dev/mapper/virtual 8 4096 0
	assert_holds /dev/mapper/virtual "$middle" 3 b
	assert_holds /dev/mapper/virtual "$last" 8 d
	assert_holds /dev/mapper/virtual $((middle - 64)) 8 e
	dm_remove virtual nothing
	cleanup_devices > /dev/null
}

run_test()
{
	of_nothing $((15 << 41))
	of_nothing $((1 << 53))
}
