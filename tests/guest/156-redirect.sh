# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/redirect.sh
. "$lib/redirect.sh"
# shellcheck source=tests/guest/file-system.sh
. "$lib/file-system.sh"
DESCRIPTION="the application writes to the snapshot while the origin stays as it is; merged back under load, or dropped"
TIMEOUT=300
KERNELS="stock debug"

requires()
{
	modprobe -q ext4 || skip "no ext4 here"
}

# What the checker writes and reads goes on through all changes of the table.
under_load()
{
	local sum chunk=$1

	origin_create data "$o"
	integrity --origin /dev/mapper/data --fill --save $model
	checker_start --origin /dev/mapper/data --load $model --save $model
	sleep 0.3
	redirect "$chunk"
	dmsetup create --readonly frozen --table "0 $(sectors "$o") linear $o 0"
	sum=$(checksum /dev/mapper/frozen)
	sleep 1
	assert_eq "$(checksum /dev/mapper/frozen)" "$sum" "the origin while the snapshot is written"
	(($(cows data "$chunk") > 20)) || fail "nothing was redirected: $(snap_usage data)"
	dm_remove frozen
	merge_back
	to_origin
	sleep 0.3
	checker_stop
	sum=$(checksum /dev/mapper/data)
	dm_remove data
	assert_eq "$(checksum "$o")" "$sum" "the origin itself, in the end"
}

# Interrupted, and gone on with as after a boot; what was written meanwhile stays.
activated_again()
{
	local sum

	origin_create data "$o"
	redirect 16
	put_blocks /dev/mapper/data 0 4 1024 p
	dm_remove data
	activate
	assert_holds /dev/mapper/data 0 4096 p
	put_blocks /dev/mapper/data 8192 4 1000 q
	sum=$(checksum /dev/mapper/data)
	dm_remove data
	activate merge-scaled
	assert_eq "$(checksum /dev/mapper/data)" "$sum"
	wait_for 60 is_merged data 16
	to_origin
	assert_eq "$(checksum /dev/mapper/data)" "$sum"
	dm_remove data
	activate
	assert_match "$(dmsetup table data)" " origin-scaled "
	assert_eq "$(checksum /dev/mapper/data)" "$sum"
	dm_remove data
}

dropped()
{
	local sum

	origin_create data "$o"
	integrity --origin /dev/mapper/data --fill --save $model
	sum=$(checksum "$o")
	redirect
	integrity --origin /dev/mapper/data --load $model --seconds 2
	[[ $(checksum /dev/mapper/data) != "$sum" ]] || fail "nothing was written"
	roll_back
	assert_eq "$(checksum /dev/mapper/data)" "$sum" "after the changes were dropped"
	integrity --origin /dev/mapper/data --load $model --verify-only
	dm_remove data
	assert_eq "$(checksum "$o")" "$sum"
	# The next one is a new one.
	origin_create data "$o"
	redirect
	assert_eq "$(snap_usage data)" "16/$(sectors "$c") 16"
	roll_back
	dm_remove data
}

# With a file system that is mounted all the time; the backup's is that of the moment of the change.
mounted()
{
	local fs=ext4 before after writer

	origin_create data "$o"
	fs_make /dev/mapper/data
	fs_mount /dev/mapper/data /mnt/data
	fs_write /mnt/data one
	before=$(fs_sums /mnt/data)
	redirect
	fs_write /mnt/data two & writer=$!
	dmsetup create --readonly frozen --table "0 $(sectors "$o") linear $o 0"
	mkdir -p /mnt/frozen
	mount -t ext4 -o ro /dev/mapper/frozen /mnt/frozen
	assert_eq "$(fs_sums /mnt/frozen)" "$before" "files in the backup"
	umount /mnt/frozen
	dm_remove frozen
	merge_back
	wait "$writer"
	to_origin
	after=$(fs_sums /mnt/data)
	umount /mnt/data
	fs_check /dev/mapper/data
	dm_remove data
	fs_check "$o"

	origin_create data "$o"
	fs_mount /dev/mapper/data /mnt/data
	redirect 64
	rm -r /mnt/data/one
	fs_write /mnt/data three
	umount /mnt/data
	roll_back
	fs_check /dev/mapper/data
	fs_mount /dev/mapper/data /mnt/data
	assert_eq "$(fs_sums /mnt/data)" "$after" "files after the changes were dropped"
	umount /mnt/data
	dm_remove data
}

run_test()
{
	local o c

	o=$(disk_create 32)
	c=$(disk_create 40)
	under_load 8
	under_load 64
	activated_again
	dropped
	o=$(disk_create 100)
	c=$(disk_create 100)
	mounted
}
