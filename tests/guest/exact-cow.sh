# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# Stock must find room for all chunks of the origin on a COW device of exactly the size that LVM gives it, however often
# the snapshot was in use here: see 133 to 135, which differ in the number of CPUs.

# exact_cow CHUNKS SPARE: the COW device of an origin with so many chunks of 8 sectors, and as many chunks more.
exact_cow()
{
	dm_create cow "0 $(((1 + $1 + ($1 + 256) / 256 + $2) * 8)) linear $c 0"
	cow_clear /dev/mapper/cow
}

# scatter FROM COUNT: writes chunks of the origin, each on another CPU
scatter()
{
	local i

	for ((i = $1; i < $1 + $2; i++)); do
		taskset -c $((i % $(nproc))) dd if="$pattern" of=/dev/mapper/origin bs=4k count=1 seek="$i" \
			oflag=direct conv=notrunc status=none
	done
}

exact_cow_test()
{
	local o c pattern times=3 chunks=1024 spare i used=0 sum

	pattern=$(pattern x)
	o=$(nullb_create size=4)
	c=$(nullb_create size=8)
	modprobe dm-snapshot
	for spare in 0 $(($(nproc) * 3)); do
		fill "$o" 1
		sum=$(checksum "$o")
		exact_cow $chunks "$spare"
		for ((i = 0; i < times; i++)); do
			dm_create origin "0 $((chunks * 8)) origin-scaled $o"
			dm_create snap "0 $((chunks * 8)) snapshot-scaled $o /dev/mapper/cow P 8"
			# On all CPUs one chunk or two, never so many that all batches are used up.
			scatter $used $(($(nproc) + 1))
			used=$((used + $(nproc) + 1))
			dm_remove snap origin
		done
		dm_create snap "0 $((chunks * 8)) snapshot $o /dev/mapper/cow P 8"
		dm_create origin "0 $((chunks * 8)) snapshot-origin $o"
		put_blocks /dev/mapper/origin 0 $((chunks / 256)) 2048 y
		assert_eq "$(checksum /dev/mapper/snap)" "$sum" "what stock shows of the snapshot"
		echo "$(nproc) CPUs, $spare chunks to spare: $(dmsetup status snap)"
		dm_remove snap origin cow
		used=0
	done
	modprobe -r dm-snapshot
}
