# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/file-system.sh
. "$lib/file-system.sh"
DESCRIPTION="ext4 and xfs, origin and snapshot mounted and written at the same time, also while it is taken"
TIMEOUT=120
KERNELS=stock

requires()
{
	requires_file_systems
}

# both FS STORE CHUNK
both()
{
	local fs=$1 store=$2 chunk=$3 o c writer

	o=$(nullb_create size=64)
	c=$(nullb_create size=72)
	origin_create origin "$o"
	fs_make /dev/mapper/origin
	fs_mount /dev/mapper/origin /mnt/origin
	fs_write /mnt/origin before
	fs_sums /mnt/origin > /tmp/before

	fs_write /mnt/origin meanwhile & writer=$!
	snap_create snap origin "$o" "$c" "$store" "$chunk"
	fs_mount /dev/mapper/snap /mnt/snap
	fs_write /mnt/snap in-snap
	rm /mnt/snap/before/large.0
	wait $writer
	# In blocks that the other one has, too.
	dd if=/dev/urandom of=/mnt/origin/before/large.3 bs=12k count=100 conv=notrunc status=none
	dd if=/dev/urandom of=/mnt/snap/before/large.2 bs=12k count=100 conv=notrunc status=none
	mv /mnt/origin/before/2* /mnt/origin
	sync
	fs_sums /mnt/origin > /tmp/origin
	fs_sums /mnt/snap > /tmp/snap
	umount /mnt/origin /mnt/snap
	fs_check /dev/mapper/origin
	fs_check /dev/mapper/snap
	if [[ $store == P ]]; then
		dm_remove snap
		snap_create snap origin "$o" "$c" P "$chunk"
	fi
	echo 3 > /proc/sys/vm/drop_caches
	fs_mount /dev/mapper/origin /mnt/origin
	fs_mount /dev/mapper/snap /mnt/snap
	assert_eq "$(fs_sums /mnt/origin | cmp - /tmp/origin)" "" "files of the origin"
	assert_eq "$(fs_sums /mnt/snap | cmp - /tmp/snap)" "" "files of the snapshot"
	# What was not changed there is what it was when the snapshot was taken.
	assert_eq "$(grep -vxFf /tmp/snap /tmp/before | cut -d' ' -f3 | xargs)" "./before/large.0 ./before/large.2" \
		"changed in the snapshot"
	assert_eq "$(grep -vxFf /tmp/origin /tmp/before | grep -v /2 | cut -d' ' -f3)" ./before/large.3 \
		"changed in the origin"
	assert_eq "$(grep -c ./meanwhile/ /tmp/origin)" "$(grep -c ./in-snap/ /tmp/snap)" "files that were written"
	umount /mnt/origin /mnt/snap
	dm_remove snap origin
	cleanup_devices > /dev/null
}

run_test()
{
	both ext4 P 8
	both xfs N 64
}
