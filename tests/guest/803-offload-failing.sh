# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="commands that fail are made up for by reading and writing, a device that often fails is left alone"
TIMEOUT=200
SELDOM="debug"
VM="--cpus 4 --mem 2048 --nvme @tests/guest/offload.disks"

requires()
{
	need_test_module copy-offload-fault
}

run_test()
{
	local disk o c sum log n

	nvme_start
	disk=$(nvme_disk a 1)
	o=$(nvme_partition "$disk" 8) c=$(nvme_partition "$disk" 9)
	fill "$o" 1
	sum=$(checksum "$o")
	origin_create origin "$o"
	snap_create snap origin "$o" "$c"

	# One in twenty: it goes on.
	fault_nth 20
	put_blocks /dev/mapper/origin 0 200 8
	assert_eq "$(offload snap failed)" 10 "commands that failed"
	assert_eq "$(offload snap ranges)" 190 "ranges"
	assert_eq "$(offload snap gave-up)" 0

	# All: given up after a few, and told once.
	fault_nth 1
	log_mark
	put_blocks /dev/mapper/origin 1600 200 8
	for n in 1 2 3 4; do
		# Failures at the same time count as one.
		sleep 0.2
		put_blocks /dev/mapper/origin $((3200 + n * 8)) 1 8
	done
	put_blocks /dev/mapper/origin 3304 100 8
	log=$(log_since)
	assert_eq "$(grep -c 'fails too often' <<< "$log")" 1 "messages"
	assert_match "$(offload_line snap)" " nvme gave-up "
	assert_le 100 "$(offload snap gave-up)" "copies after that"
	assert_eq $(($(offload snap failed) + $(offload snap gave-up))) $((10 + 200 + 4 + 100)) "all of them"
	assert_eq "$(checksum /dev/mapper/snap)" "$sum" "contents of the snapshot"

	# Others on the same disk know it, until somebody says that it is better.
	snap_create other - "$(nvme_partition "$disk" 1)" "$(nvme_partition "$disk" 2)"
	assert_match "$(offload_line other)" " nvme gave-up " "another snapshot's disk"
	dm_remove other
	fault_nth 0
	put_blocks /dev/mapper/origin 4800 100 8
	assert_eq "$(offload snap ranges)" 190 "ranges"
	dmsetup message snap 0 offload auto
	put_blocks /dev/mapper/origin 5600 100 8
	assert_eq "$(offload snap ranges)" 290 "ranges"
	assert_eq "$(checksum /dev/mapper/snap)" "$sum" "contents of the snapshot"

	# Several ranges in a command, and one of them fails: all of them are read and written.
	dm_remove snap
	snap_create snap origin "$o" "$c"
	sum=$(checksum "$o")
	fault_nth 17
	fio --name=x --filename=/dev/mapper/origin --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=64 \
		--size=8M --output=/dev/null
	offload_line snap
	assert_eq "$(checksum /dev/mapper/snap)" "$sum" "contents of the snapshot"
	assert_le 1 "$(offload snap failed)" "commands that failed"
	assert_eq "$(snap_usage snap | cut -d/ -f1)" 16384 "sectors copied"
	fault_nth 0
}
