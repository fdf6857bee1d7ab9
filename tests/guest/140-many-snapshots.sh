# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="many snapshots of one origin (LONG=1: 100): each has what it was when it was taken; some go under load"
TIMEOUT=150
KERNELS=stock

# snapshots_create FIRST: ten of them, each on its own part of $c; chunk sizes and stores take turns
snapshots_create()
{
	local sizes=(8 16 8 32) stores=(P N N) all='' i

	for ((i = $1; i < $1 + 10; i++)); do
		all+="${all:+;}cow$i,,,rw,0 2048 linear $c $((i * 2048))"
		all+=";snap$i,,,rw,0 2048 $snapshot $o /dev/mapper/cow$i ${stores[i % 3]} ${sizes[i % 4]}"
	done
	dmsetup suspend origin
	dmsetup create --concise "$all"
	dmsetup resume origin
}

# what NUMBER: was in sector 64 of the origin when the snapshot was taken
what()
{
	local letters=abcdefghij

	echo "${letters:$(($1 / 10)):1}"
}

load_has_begun()
{
	[[ $(snap_usage snap0) != "$before" ]]
}

run_test()
{
	local o c i count before

	count=$(long_or 100 20)
	o=$(nullb_create size=1)
	c=$(nullb_create size="$count")
	put "$o" 0 2048 z
	origin_create origin "$o"
	for ((i = 0; i < count; i += 10)); do
		# An older one has a copy already, or makes one now.
		put /dev/mapper/origin 64 32 "$(what $i)"
		snapshots_create $i
	done
	for ((i = 0; i < count; i += 7)); do
		assert_holds "/dev/mapper/snap$i" 64 32 "$(what $i)"
		assert_holds "/dev/mapper/snap$i" 96 1952 z
	done

	# All of them copy for this write, more than can share a read of the chunk.
	put /dev/mapper/origin 1024 32 y
	before=$(snap_usage snap0)
	# And for each of these. Some go meanwhile.
	run_fio /tmp/load --name=load --filename=/dev/mapper/origin --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
		--iodepth=8 --offset=64k --size=512k --number_ios=40 &
	wait_for 20 load_has_begun
	for ((i = 1; i + 3 < count; i += 6)); do
		dmsetup remove "snap$i" "snap$((i + 3))"
	done
	wait $!
	for ((i = 0; i < count; i += 3)); do
		assert_holds "/dev/mapper/snap$i" 64 32 "$(what $i)"
		assert_holds "/dev/mapper/snap$i" 128 1024 z
	done
}
