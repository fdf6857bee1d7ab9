# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="a device whose copies time out is given up after a few, and meanwhile others do not wait for it"
KERNELS=stock
TIMEOUT=200
VM="--cpus 4 --mem 2048 --append nvme_core.multipath=N --nvme a:96 --nvme slow:32,iops=10,mssrl=8,mcl=128,msrc=127"

time_limit=/sys/module/nvme_core/parameters/io_timeout

requires()
{
	need_test_module copy-offload-fault
}

run_test()
{
	local disk o c n sum before

	nvme_start
	# A chunk of 64 KiB in ranges of 4 KiB takes more I/Os than the disk makes in two seconds, and it takes two to
	# read and write it.
	disk=$(nvme_disk slow)
	o=$(nvme_partition "$disk" 4) c=$(nvme_partition "$disk" 8)
	before=$(< $time_limit)
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" N 128
	sum=$(checksum "$o")

	# It is for commands of ours alone; the driver's have the queue's. In 7.3 so would ours.
	fault_nth 0
	echo 1 > $fault_parameters/time_limit
	echo 1 > $time_limit
	put_blocks /dev/mapper/origin 0 1 8
	offload_line snap
	# Of those that come together, one waits for the device.
	fio --name=x --filename=/dev/mapper/origin --rw=write:60k --bs=4k --offset=64k --size=256k --number_ios=4 \
		--direct=1 --ioengine=libaio --iodepth=4 --iodepth_batch=4 --output=/dev/null
	offload_line snap
	assert_le 2 "$(offload snap probing)" "copies that did not wait"
	for n in 5 6 7 8 9; do
		put_blocks /dev/mapper/origin $((n * 128)) 1 8
		offload_line snap
	done
	echo "$before" > $time_limit
	echo 0 > $fault_parameters/time_limit
	assert_le 1 "$(offload snap timed-out)" "time-outs"
	# The first, and at most three more.
	assert_le "$(offload snap timed-out)" 4 "time-outs"
	assert_match "$(offload_line snap)" " nvme gave-up "
	assert_le 3 "$(offload snap gave-up)" "copies after that"
	assert_eq "$(checksum /dev/mapper/snap)" "$sum" "contents of the snapshot"

	# When somebody says that it is better, it is used again.
	dmsetup message snap 0 offload auto
	before=$(offload snap commands)
	put_blocks /dev/mapper/origin 4096 1 8
	assert_eq "$(offload snap commands)" $((before + 1)) "commands"
}
