# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a table whose snapshot was handed over gets nothing back when it is resumed"
KERNELS=stock

# The origin's device merges the snapshot; the snapshot's own device is resumed in the middle of a batch.
while_merging()
{
	local snapshot=$1 snapshot_origin=$2 merge=$3 len

	len=$(sectors "$o")
	put_blocks "$o" 0 4 2048 a
	cow_clear "$c"
	dm_create slow "0 $(sectors "$c") delay $c 0 0"
	dm_create origin "0 $len $snapshot_origin $o"
	dm_create s1 "0 $len $snapshot $o /dev/mapper/slow P 8"
	put /dev/mapper/s1 80 8 s
	put /dev/mapper/s1 8000 8 s
	# From now on a batch takes three seconds.
	dm_reload slow "0 $(sectors "$c") delay $c 0 3000 $c 0 0"
	dmsetup reload origin --table "0 $len $merge $o /dev/mapper/slow P 8"
	dmsetup suspend s1
	dmsetup suspend origin
	dmsetup resume origin

	dmsetup resume s1
	assert_eq "$(snap_usage s1)" Invalid "status of the snapshot's device"
	[[ $(snap_usage origin) == */* ]] || fail "status of the merging device: $(snap_usage origin)"
	assert_fails get /dev/mapper/s1 80 8
	put /dev/mapper/origin 80 8 b
	assert_holds /dev/mapper/origin 80 8 b
	dmsetup suspend s1
	dmsetup resume s1
	wait_for 30 is_merged origin
	assert_holds /dev/mapper/origin 80 8 b
	assert_holds "$o" 80 8 b
	assert_holds /dev/mapper/origin 8000 8 s
	dm_remove s1 origin slow
}

# A device has taken the snapshot over and reads the origin; the one that had it is resumed.
while_reading()
{
	local table reader usage

	put_blocks "$o" 0 4 2048 a
	dm_create slow "0 $(sectors "$o") delay $o 0 2000 $o 0 0"
	dm_create first "0 $(sectors "$o") $snapshot /dev/mapper/slow $c N 8"
	put /dev/mapper/first 8 8 s
	table=$(dmsetup table first)
	dmsetup create second --notable
	dmsetup reload second --table "$table"
	dmsetup suspend first
	dmsetup resume second
	usage=$(snap_usage second)
	assert_holds /dev/mapper/second 80 8 a & reader=$!
	sleep 0.3
	dmsetup resume first
	assert_eq "$(snap_usage first)" Invalid
	assert_eq "$(snap_usage second)" "$usage"
	wait "$reader"
	assert_holds /dev/mapper/second 8 8 s
	# A new table can have it again, and only from the device that has it.
	dmsetup reload first --table "$table"
	assert_fails dmsetup resume first
	dmsetup suspend second
	dmsetup resume first
	assert_eq "$(snap_usage first)" "$usage"
	dmsetup resume second
	assert_eq "$(snap_usage second)" Invalid
	assert_holds /dev/mapper/first 8 8 s
	dm_remove second first slow
}

# A merging device whose snapshot another one has got: what is written to it must not reach the origin. Stock's does.
merge_handed_over()
{
	local table

	put_blocks "$o" 0 4 2048 a
	cow_clear "$c"
	table="0 $(sectors "$o") merge-scaled $o $c P 8"
	dm_create first "$table"
	dmsetup create second --notable
	dmsetup reload second --table "$table"
	dmsetup suspend first
	dmsetup resume second
	dmsetup resume first
	assert_eq "$(snap_usage first)" Invalid
	assert_fails put /dev/mapper/first 80 8 b
	assert_fails get /dev/mapper/first 80 8
	assert_holds /dev/mapper/second 80 8 a
	dm_remove first second
}

run_test()
{
	local o c

	modprobe dm-delay
	modprobe dm-snapshot
	o=$(nullb_create size=4)
	c=$(nullb_create size=4)
	pattern s > /dev/null
	pattern b > /dev/null
	while_merging snapshot snapshot-origin snapshot-merge
	while_merging snapshot-scaled origin-scaled merge-scaled
	while_reading
	merge_handed_over
}
