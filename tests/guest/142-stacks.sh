# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="origins and COW devices on stripes and mirrors: copies, a merge, a leg that fails, a COW device that moves"
TIMEOUT=120
KERNELS=stock

requires()
{
	modprobe -q dm-mirror || skip "no dm-mirror here"
}

# writes: to the origin, 4 KiB at a time, each place once
writes()
{
	run_fio /tmp/writes --name=writes --filename=/dev/mapper/origin --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
		--iodepth=8 --size=8m --rate_iops=400 --buffer_pattern='"w"' --end_fsync=1
}

# With chunks that are smaller, and larger, than a stripe.
stripes()
{
	local chunk

	for chunk in 8 512; do
		dm_create under "0 32768 striped 2 128 $(nullb_create size=8) 0 $(nullb_create size=8) 0"
		dm_create cow "0 40960 striped 2 64 $(nullb_create size=10) 0 $(nullb_create size=10) 0"
		cow_clear /dev/mapper/cow
		put_blocks /dev/mapper/under 0 16 2048 a
		origin_create origin /dev/mapper/under
		snap_create snap origin /dev/mapper/under /dev/mapper/cow P $chunk
		put_blocks /dev/mapper/origin 100 4 1000 b
		put /dev/mapper/snap 20000 300 s
		assert_holds /dev/mapper/snap 0 20000 a
		assert_holds /dev/mapper/snap 20000 300 s
		merge_start "0 32768 merge-scaled /dev/mapper/under /dev/mapper/cow P $chunk"
		wait_for 30 is_merged origin $chunk
		dm_remove origin
		assert_holds /dev/mapper/under 0 20000 a
		assert_holds /dev/mapper/under 20000 300 s
		assert_holds /dev/mapper/under 20300 12468 a
		dm_remove cow under
		cleanup_devices > /dev/null
	done
}

# A leg of the origin fails under load; then the origin is on the other one alone, as LVM repairs it.
mirrors()
{
	local a b load

	a=$(nullb_create size=16)
	b=$(nullb_create size=16)
	dm_create leg "0 32768 linear $a 0"
	dm_create under "0 32768 mirror core 2 1024 nosync 2 $b 0 /dev/mapper/leg 0"
	put_blocks /dev/mapper/under 0 16 2048 a
	origin_create origin /dev/mapper/under
	snap_create snap origin /dev/mapper/under "$(nullb_create size=20)" P
	writes & load=$!
	sleep 1
	dm_reload leg "0 32768 error"
	sleep 1
	dm_reload under "0 32768 linear $b 0"
	wait "$load"
	assert_holds /dev/mapper/snap 0 32768 a
	assert_holds "$b" 0 16384 w
	assert_holds "$b" 16384 16384 a
	dm_remove snap origin under leg
	cleanup_devices > /dev/null
}

is_in_sync()
{
	[[ $(dmsetup status cow) == *" 20/20 "* ]]
}

# pvmove of a COW device, while the origin is written; what it leaves is not used any more.
moves()
{
	local o from to load

	o=$(nullb_create size=16)
	from=$(nullb_create size=20)
	to=$(nullb_create size=20)
	put_blocks "$o" 0 16 2048 a
	cow_clear "$from"
	dm_create cow "0 40960 linear $from 0"
	origin_create origin "$o"
	snap_create snap origin "$o" /dev/mapper/cow P
	writes & load=$!
	sleep 1
	dm_reload cow "0 40960 mirror core 1 2048 2 $from 0 $to 0"
	wait_for 30 is_in_sync
	dm_reload cow "0 40960 linear $to 0"
	put_blocks "$from" 0 20 2048 x
	wait "$load"
	assert_holds /dev/mapper/snap 0 32768 a
	assert_holds "$o" 0 16384 w
	dm_remove snap
	snap_create snap origin "$o" "$to" P
	assert_holds /dev/mapper/snap 0 32768 a
	dm_remove snap cow origin
	cleanup_devices > /dev/null
}

run_test()
{
	stripes
	mirrors
	moves
}
