# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a clone within a disk that copies: the disk copies its regions, with offload on, and going on and off"
TIMEOUT=300
SELDOM=debug
VM="--cpus 4 --mem 2048 --nvme @tests/guest/offload.disks"

flip()
{
	module_param offload off
	sleep 0.$((RANDOM % 4))
	module_param offload auto
	sleep 0.$((RANDOM % 4))
}

run_test()
{
	local disk source dest meta

	nvme_start
	disk=$(nvme_disk load)
	nvme_keep "$disk"
	source=$(nvme_partition "$disk" 32) dest=$(nvme_partition "$disk" 32) meta=$(nvme_partition "$disk" 1)
	fill "$source" 1
	meta_clear

	# Nobody writes: all of it is the disk's work.
	clone_create clone 128
	wait_for 60 is_hydrated clone
	dmsetup message clone 0 stats
	assert_eq "$(offload clone sectors) $(offload clone failed)" "65536 0" "sectors that the disk copied, failures"
	dm_remove clone
	assert_eq "$(checksum "$dest")" "$(checksum "$source")" "contents"

	# A write of a part of a region has that region copied.
	meta_clear
	blkdiscard -z "$dest"
	clone_create clone 128 1 no_hydration
	put /dev/mapper/clone 1283 1 a
	assert_eq "$(offload clone sectors)" $((65536 + 128)) "sectors that the disk copied"
	assert_holds /dev/mapper/clone 1283 1 a
	# The switch of the device.
	dmsetup message clone 0 offload off
	put /dev/mapper/clone 2563 1 a
	assert_eq "$(offload clone sectors)" $((65536 + 128)) "sectors that the disk copied"
	dmsetup message clone 0 offload auto
	dm_remove clone

	meta_clear
	clone_load_and 8 "" true
	meta_clear
	clone_load_and 64 "0 4 hydration_threshold 16 hydration_batch_size 4" flip
	offload_line keep
	assert_eq "$(offload keep failed)" 0 "failures"
	dm_remove keep
}
