# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="copies by the device: sizes, places, contents, neighbours, with limits of one block to 32 MiB"
SELDOM=debug
TIMEOUT=300
VM="--cpus 4 --mem 2048 --nvme @tests/guest/offload.disks"

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	local disk src dst n cases

	nvme_start
	for n in 1 2 $(slow_or '' '3 4'); do
		# What has nothing to do with the limits is done once.
		cases='copy.*'
		((n == 1)) || cases='copy.sizes'
		disk=$(nvme_disk a "$n")
		echo "### namespace $n"
		nvme_keep "$disk"
		src=$(nvme_partition "$disk" 20) dst=$(nvme_partition "$disk" 20)
		kcopyd_cases "$cases" src="$src" dst="$dst"
		((n > 1)) || kcopyd_cases 'stress.*' src="$src" dst="$dst" seconds=2
		offload_line keep
		assert_le 1 "$(offload keep commands)" "commands"
		assert_eq "$(offload keep failed) $(offload keep beyond) $(offload keep unaligned)" "0 0 0" "failures"
		dm_remove keep
	done

	# One to several destinations is read once.
	disk=$(nvme_disk a 1)
	nvme_keep "$disk"
	dst=${disk}p4,$(nvme_partition "$disk" 20)
	kcopyd_cases 'copy.sizes' src="${disk}p3" dst="$dst"
	dm_remove keep
}
