# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
TIMEOUT=600
DESCRIPTION="a slow snapshot read of an uncopied chunk holds back every origin write to the chunk"
KERNELS=stock

# read_held SECTOR COUNT: of the snapshot, in the background, to /tmp/read; held up below it when this returns.
read_held()
{
	dd if=/dev/mapper/snap of=/tmp/read bs="$(($2 * 512))" count=1 iflag=direct,skip_bytes \
		skip="$(($1 * 512))" status=none &
	reader=$!
	wait_for 60 is_holding slow 1
}

old_data()
{
	wait "$reader"
	cmp -n "$(($1 * 512))" /tmp/read "$(pattern a)" || fail "the slow read returned new data"
}

# copied_whole SECTOR: writes a chunk of the snapshot, which is then its copy. Stock's write ends with the read; ours is
# waited for.
copied_whole()
{
	put /dev/mapper/snap "$1" 16 s &
	if is_ours; then
		wait_for 60 has_ended $!
	else
		sleep 0.5
	fi
}

# setup CHUNK: reads of the origin's device can be held up; its writes and the COW device are fast.
setup()
{
	local len

	len=$(sectors "$o")
	put_blocks "$o" 0 4 2048 a
	dm_create slow "$(delay_table "$o" 0)"
	dm_create origin "0 $len $snapshot_origin /dev/mapper/slow"
	dmsetup suspend origin
	dm_create snap "0 $len $snapshot /dev/mapper/slow $c N $1"
	dmsetup resume origin
}

run_test()
{
	local o c reader writers n

	modprobe dm-delay
	pattern a > /dev/null
	pattern b > /dev/null
	pattern s > /dev/null
	o=$(nullb_create size=16)
	c=$(nullb_create size=16)

	# The read is under way; then the chunk is copied, for which it is read as well, and written.
	setup 16
	hold_reads slow "$o"
	read_held 0 16
	put /dev/mapper/origin 0 8 b & writers=($!)
	assert_wait "the write did not wait for reading the chunk" origin 1 "${writers[@]}"
	wait_for 60 is_holding slow 2
	let_go_reads slow "$o"
	old_data 16
	wait "${writers[@]}"
	assert_holds /dev/mapper/snap 0 16 a
	assert_holds /dev/mapper/origin 0 8 b
	dm_remove snap origin slow

	# The copy is made by a whole-chunk write to the snapshot, which reads nothing and so is complete long
	# before the slow read: that holds back all writes to the origin's chunk.
	setup 16
	hold_reads slow "$o"
	read_held 16 16
	copied_whole 16
	writers=()
	for n in 16 24 31; do
		put /dev/mapper/origin $n 1 b & writers+=($!)
	done
	put /dev/mapper/origin 20 2 b & writers+=($!)
	assert_wait "a write did not wait for the read" origin 4 "${writers[@]}"
	let_go_reads slow "$o"
	old_data 16
	wait
	assert_holds /dev/mapper/snap 16 16 s
	assert_holds /dev/mapper/origin 20 2 b

	# Reads of the snapshot after the copy do not wait, nor do they see the origin.
	hold_reads slow "$o"
	read_held 48 16
	copied_whole 48
	soon assert_holds /dev/mapper/snap 48 16 s
	kill -0 "$reader" || fail "the slow read did not wait"
	let_go_reads slow "$o"
	old_data 16
	wait

	# Many slow reads of one chunk, all older than the copy.
	hold_reads slow "$o"
	for n in 1 2 3 4 5 6; do
		dd if=/dev/mapper/snap of=/tmp/read.$n bs=8192 skip=4 count=1 iflag=direct status=none &
	done
	wait_for 60 is_holding slow 6
	put /dev/mapper/origin 64 16 b & writers=($!)
	wait_for 60 is_holding slow 7
	let_go_reads slow "$o"
	wait
	for n in 1 2 3 4 5 6; do
		cmp -n 8192 /tmp/read.$n "$(pattern a)" || fail "slow read $n returned new data"
	done
	assert_holds /dev/mapper/origin 64 16 b
}
