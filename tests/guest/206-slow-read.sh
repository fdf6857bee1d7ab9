# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
TIMEOUT=600
DESCRIPTION="a slow snapshot read of an uncopied chunk holds back every origin write to the chunk"
KERNELS=stock

# read_slowly SECTOR COUNT: of the snapshot, in the background, to /tmp/read; under way when it returns.
read_slowly()
{
	dd if=/dev/mapper/snap of=/tmp/read bs="$(($2 * 512))" count=1 iflag=direct,skip_bytes \
		skip="$(($1 * 512))" status=none &
	reader=$!
	sleep 0.3
}

old_data()
{
	wait "$reader"
	cmp -n "$(($1 * 512))" /tmp/read "$(pattern a)" || fail "the slow read returned new data"
}

# Milliseconds since the last call.
lap()
{
	local now=${EPOCHREALTIME/./}

	elapsed=$(((now - lap) / 1000))
	lap=$now
}

# setup CHUNK: reads of the origin's device take 2 s; its writes and the COW device are fast.
setup()
{
	local len

	len=$(sectors "$o")
	put_blocks "$o" 0 4 2048 a
	dm_create slow "0 $len delay $o 0 0 $o 0 0"
	dm_create origin "0 $len $snapshot_origin /dev/mapper/slow"
	dmsetup suspend origin
	dm_create snap "0 $len $snapshot /dev/mapper/slow $c N $1"
	dmsetup resume origin
}

# delay MILLISECONDS: of the reads from now on.
delay()
{
	dmsetup suspend slow
	dmsetup reload slow --table "0 $(sectors "$o") delay $o 0 $1 $o 0 0"
	dmsetup resume slow
}

run_test()
{
	local o c reader lap=0 elapsed=0 n

	modprobe dm-delay
	pattern a > /dev/null
	pattern b > /dev/null
	pattern s > /dev/null
	o=$(nullb_create size=16)
	c=$(nullb_create size=16)

	# The read is under way; then the chunk is copied, for which it is read as well, and written.
	setup 16
	delay 2000
	lap
	read_slowly 0 16
	put /dev/mapper/origin 0 8 b
	old_data 16
	lap
	assert_le 2000 "$elapsed" "the write did not wait for reading the chunk"
	assert_holds /dev/mapper/snap 0 16 a
	assert_holds /dev/mapper/origin 0 8 b
	dm_remove snap origin slow

	# The copy is made by a whole-chunk write to the snapshot, which reads nothing and so is complete long
	# before the slow read: that holds back all writes to the origin's chunk.
	setup 16
	delay 3000
	read_slowly 16 16
	put /dev/mapper/snap 16 16 s &
	sleep 0.3
	lap
	for n in 16 24 31; do
		put /dev/mapper/origin $n 1 b &
	done
	put /dev/mapper/origin 20 2 b
	lap
	old_data 16
	assert_le 1000 "$elapsed" "a write did not wait for the read"
	wait
	assert_holds /dev/mapper/snap 16 16 s
	assert_holds /dev/mapper/origin 20 2 b

	# Reads of the snapshot after the copy do not wait, nor do they see the origin.
	delay 6000
	read_slowly 48 16
	put /dev/mapper/snap 48 16 s &
	sleep 0.3
	assert_holds /dev/mapper/snap 48 16 s
	kill -0 "$reader" || fail "a read of the copy waited for the slow one"
	old_data 16
	delay 2000

	# Many slow reads of one chunk, all older than the copy.
	for n in 1 2 3 4 5 6; do
		dd if=/dev/mapper/snap of=/tmp/read.$n bs=8192 skip=4 count=1 iflag=direct status=none &
		sleep 0.1
	done
	put /dev/mapper/origin 64 16 b
	wait
	for n in 1 2 3 4 5 6; do
		cmp -n 8192 /tmp/read.$n "$(pattern a)" || fail "slow read $n returned new data"
	done
}
