# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/failing.sh
. "$lib/failing.sh"
DESCRIPTION="merging: what the snapshot had is in the origin; interrupted, with others, with I/O, with errors"
TIMEOUT=400
# On the debug kernel it takes six minutes; unit tests of the merge run there.
KERNELS=stock

merge()
{
	if is_ours; then echo merge-scaled; else echo snapshot-merge; fi
}

# setup [CHUNK [STORE]]: an origin that was written after a snapshot was taken, which was written, too.
setup()
{
	chunk=${1:-8}
	cow_clear "$c"
	fill "$o" 1
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" "${2:-P}" "$chunk"
	put /dev/mapper/origin 0 8 p
	fio --name=origin --filename=/dev/mapper/origin --rw=randwrite --bsrange=512-32k --blockalign=512 --direct=1 \
		--ioengine=libaio --iodepth=8 --randrepeat=0 --number_ios=100 --output=/dev/null
	put /dev/mapper/origin 3000 700 o
	fio --name=snap --filename=/dev/mapper/snap --rw=randwrite --bsrange=512-32k --blockalign=512 --direct=1 \
		--ioengine=libaio --iodepth=8 --randrepeat=0 --number_ios=100 --output=/dev/null
	put /dev/mapper/snap 8000 700 s
	sum=$(checksum /dev/mapper/snap)
	table="0 $(sectors "$o") $(merge) $o $c ${2:-P} $chunk"
}

# finish: it is merged, and the origin's device itself is what the snapshot was.
finish()
{
	wait_for 100 is_merged origin "$chunk"
	assert_eq "$(checksum /dev/mapper/origin)" "$sum" "contents through the target"
	dm_remove origin
	assert_eq "$(checksum "$o")" "$sum" "contents of the origin, chunk size $chunk"
}

simple()
{
	local size

	for size in $(slow_or 8 "1 8 64 2048"); do
		setup "$size" "$1"
		merge_start "$table"
		assert_match "$(dmsetup table origin)" " $1 $size$"
		finish
	done
	# Nothing is left for a later merge.
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" P
	assert_eq "$(snap_usage snap)" "$((2 * chunk))/$(sectors "$c") $((2 * chunk))"
	dm_remove snap origin
}

# "snap" takes the snapshot over from the merge of "origin", which becomes an origin again.
got_back()
{
	dmsetup resume snap
	assert_eq "$(checksum /dev/mapper/snap)" "$sum" "snapshot that got back what was not merged"
	dmsetup reload origin --table "0 $(sectors "$o") $snapshot_origin $o"
	dmsetup resume origin
}

# The merge begins with the table, as when a machine is started; it is interrupted again and again.
interrupted()
{
	local i

	setup 8
	dm_remove snap origin
	dm_create origin "$table"
	for ((i = 0; i < 6; i++)); do
		dmsetup suspend origin
		dmsetup resume origin
		[[ $i != 3 ]] || dmsetup suspend --nolockfs --noflush origin
		[[ $i != 3 ]] || dmsetup resume origin
	done
	dm_remove origin
	dm_create origin "$table"
	dmsetup suspend origin
	dm_remove origin
	assert_eq "$(
		snap_create snap - "$o" "$c" P > /dev/null
		checksum /dev/mapper/snap
		dm_remove snap
	)" "$sum" "snapshot of which a part has been merged"
	dm_create origin "$table"
	finish
	# Back to a snapshot, in the middle.
	setup 8
	merge_start "$table"
	if is_ours; then
		dmsetup create snap --notable
		dmsetup reload snap --table "${table/$(merge)/$snapshot}"
		dmsetup suspend origin
		got_back
		put /dev/mapper/origin 3000 2000 p
		assert_eq "$(checksum /dev/mapper/snap)" "$sum" "snapshot after a write to its origin"
		dm_remove snap origin
	else
		finish
	fi
}

# Other snapshots keep what is overwritten; of different chunk sizes, one of them taken in the middle.
with_others()
{
	local c2 c3 sum2 sum3

	c2=$(nullb_create size=24)
	c3=$(nullb_create size=24)
	setup 16
	snap_create other origin "$o" "$c2" P 8
	sum2=$(checksum /dev/mapper/other)
	merge_start "$table"
	snap_create third origin "$o" "$c3" N 32
	sum3=$(checksum /dev/mapper/third)
	wait_for 100 is_merged origin "$chunk"
	assert_eq "$(checksum /dev/mapper/other)" "$sum2" "the other snapshot"
	[[ $(snap_usage third) != 0/* ]] || sum3=$sum
	assert_eq "$(checksum /dev/mapper/third)" "$sum3" "a snapshot taken during the merge"
	# Writes through the merging target are seen.
	put /dev/mapper/origin 100 100 q
	assert_eq "$(checksum /dev/mapper/other)" "$sum2" "the other snapshot"
	# Only one at a time.
	dmsetup create second --notable
	assert_fails dmsetup reload second --table "0 $(sectors "$o") $(merge) $o $c2 P 8"
	dm_remove second other third origin
}

# Reads and writes while it is merged: the checker knows what has to be there.
with_load()
{
	local i

	setup 8
	dm_remove snap origin
	dm_create origin "$table"
	# What is read at the beginning is what the snapshot had.
	dmsetup suspend origin
	dmsetup resume origin
	fio --name=load --filename=/dev/mapper/origin --rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=16 \
		--size=16m --verify=crc32c --verify_fatal=1 --do_verify=1 --randrepeat=0 --output=/tmp/load.txt \
		--number_ios="$(slow_or 500 2000)" &
	for ((i = 0; i < 5; i++)); do
		sleep 0.1
		dmsetup suspend origin
		dmsetup resume origin
	done
	wait $! || { cat /tmp/load.txt; fail "wrong data during the merge"; }
	wait_for 100 is_merged origin "$chunk"
	dm_remove origin
}

# fails_then_ends FIRST COUNT UNREADABLE: some sectors below the merge fail, and as many blocks of 4 KiB cannot be read.
# I/O goes on with the others. When all is mended a later merge ends.
fails_then_ends()
{
	dm_remove snap origin
	tables below part "$1" "$2"
	dm_create origin "$table"
	wait_for 20 has_failed
	assert_eq "$(unreadable /dev/mapper/origin)" "$3" "blocks that cannot be read"
	# It is read and written where it still is.
	assert_holds /dev/mapper/origin 8000 16 s
	put /dev/mapper/origin 8016 8 t
	assert_holds /dev/mapper/origin 8016 8 t
	put /dev/mapper/origin 8016 8 s
	(($3)) || assert_eq "$(checksum /dev/mapper/origin)" "$sum" "contents after the merge has failed"
	tables below ok
	dm_remove origin
	dm_create origin "$table"
	finish
}

# with_errors DEVICE FIRST COUNT UNREADABLE: of "o" or "c", see fails_then_ends
with_errors()
{
	local -n device=$1
	local real=$device

	device=$(below below "$real")
	setup 8
	fails_then_ends "$2" "$3" "$4"
	device=$real
	dm_remove below
}

# A merge that could not clear exceptions becomes a snapshot with such chunks again. It is not resumed as long as they
# cannot be written; then the snapshot is what it was, also after the next load.
taken_over()
{
	local real=$c

	c=$(below below "$real")
	setup "$1"
	# What is deferred is written.
	dmsetup suspend snap
	dmsetup resume snap
	tables below writes
	merge_start "$table"
	wait_for 20 has_failed
	dmsetup create snap --notable
	dmsetup reload snap --table "${table/$(merge)/$snapshot}"
	dmsetup suspend origin
	assert_fails dmsetup resume snap
	tables below ok
	got_back
	put /dev/mapper/origin 3000 2000 p
	put /dev/mapper/origin 8000 700 q
	assert_eq "$(checksum /dev/mapper/snap)" "$sum" "snapshot after writes to its origin"
	dm_remove snap
	snap_create snap origin "$o" "$c" P "$1"
	assert_eq "$(checksum /dev/mapper/snap)" "$sum" "snapshot that was loaded anew"
	dm_remove snap origin below
	c=$real
}

has_failed()
{
	[[ $(snap_usage origin) == "Merge failed" ]]
}

refused()
{
	local t

	t="0 $(sectors "$o") $(merge) $o $c"
	assert_fails dm_create origin "$t N 8"
	cow_clear "$c"
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" N 8
	assert_fails dmsetup reload origin --table "$t P 8"
	dm_remove snap origin
}

# unreadable DEVICE: blocks of 4 KiB that cannot be read
unreadable()
{
	dd if="$1" of=/dev/null bs=4k iflag=direct conv=noerror 2>&1 | grep -c "error reading" || true
}

run_test()
{
	local o c sum table chunk=8

	o=$(nullb_create size=16)
	c=$(nullb_create size=24)
	is_ours || modprobe dm-snapshot
	refused
	simple P
	[[ ! ${LONG:-} ]] || simple PO
	interrupted
	with_others
	with_load
	# A part of the origin that the snapshot has exceptions for cannot be written.
	with_errors o 8000 8 0
	# A chunk of the COW device cannot be read: the first one behind the header and the first area of exceptions, which
	# is the origin's first one.
	with_errors c 16 8 1
	# Stock has no such way back.
	if is_ours; then
		taken_over 1
		taken_over 8
	fi
}
