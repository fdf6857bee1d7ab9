# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/file-system.sh
. "$lib/file-system.sh"
DESCRIPTION="a clone with ext4 and xfs: mounted, written, trimmed and hydrated at the same time"
TIMEOUT=120
KERNELS=stock

requires()
{
	requires_file_systems
}

# trims REGION: what is trimmed need not be copied, and what is not trimmed stays
trims()
{
	local fs=$1 region=$2 source dest meta sum trimmed writer

	source=$(nullb_create size=64)
	dest=$(nullb_create size=64 discard=1)
	meta=$(nullb_create size=4)
	put_blocks "$dest" 0 64 2048 d
	fs_make "$source"
	fs_mount "$source" /mnt/clone
	fs_write /mnt/clone before
	umount /mnt/clone
	sum=$(checksum "$source")

	clone_create clone "$region" 1 no_hydration
	fs_mount /dev/mapper/clone /mnt/clone
	fs_sums /mnt/clone > /tmp/before
	rm /mnt/clone/before/large.0
	sync
	fs_write /mnt/clone meanwhile & writer=$!
	trimmed=$(hydrated clone)
	fstrim /mnt/clone
	trimmed=$(($(hydrated clone) - trimmed))
	assert_le 1024 $((trimmed * region / 16)) "KiB that were trimmed"
	dmsetup message clone 0 enable_hydration
	rm -r /mnt/clone/before/2*
	fstrim /mnt/clone
	wait $writer
	sync
	fs_sums /mnt/clone > /tmp/after
	wait_for 60 is_hydrated clone
	umount /mnt/clone
	fs_check /dev/mapper/clone
	dm_remove clone

	fs_check "$dest"
	fs_mount "$dest" /mnt/clone
	assert_eq "$(fs_sums /mnt/clone | cmp - /tmp/after)" "" "files of the clone"
	umount /mnt/clone
	assert_eq "$(grep -vxFf /tmp/after /tmp/before | grep -vc '/2' || true)" 1 "files that are gone"
	assert_eq "$(checksum "$source")" "$sum" "contents of the source"
	cleanup_devices > /dev/null
}

run_test()
{
	trims ext4 8
	trims xfs 64
}
