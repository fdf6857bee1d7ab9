# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a read-only table with a clone behind another line for its destination, or its metadata device"
KERNELS=debug

run_test()
{
	local meta dest source device

	meta=$(nullb_create size=4)
	dest=$(nullb_create size=16)
	source=$(nullb_create size=16)
	put "$source" 0 64 s
	# The first line keeps the device that it has opened.
	for device in "$dest" "$meta"; do
		dd if=/dev/zero of="$meta" bs=4k count=2 oflag=direct status=none
		put "$device" 1024 8 d
		dmsetup create -r both --table "0 1024 linear $device 1024
1024 64 clone-scaled $meta $dest $source 8 1 no_hydration"
		assert_holds /dev/mapper/both 0 8 d
		assert_holds /dev/mapper/both 1024 64 s
		dm_remove both
	done
}
