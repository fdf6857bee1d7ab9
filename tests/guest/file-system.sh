# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# File systems, on top of snap.sh: "fs" is ext4 or xfs.

requires_file_systems()
{
	modprobe -q xfs || skip "no xfs here"
	modprobe -q ext4 || skip "no ext4 here"
}

fs_make()
{
	case $fs in
	ext4) mkfs.ext4 -q "$1" ;;
	# What its own test suite sets permits one of less than 300 MB.
	xfs) TEST_DIR=y TEST_DEV=y QA_CHECK_FS=y mkfs.xfs -q -f "$1" ;;
	esac
}

# fs_mount DEVICE DIR: several that have the same UUID, too
fs_mount()
{
	local option=()

	[[ $fs != xfs ]] || option=(-o nouuid)
	mkdir -p "$2"
	mount -t "$fs" ${option[@]+"${option[@]}"} "$1" "$2"
}

# fs_check DEVICE: of one that is not mounted; nothing may be wrong with it
fs_check()
{
	case $fs in
	ext4) e2fsck -fn "$1" ;;
	xfs) xfs_repair -n "$1" ;;
	esac > /tmp/fs.check 2>&1 || {
		cat /tmp/fs.check
		fail "file system on $1"
	}
}

# fs_sums DIR: names and checksums of all its files
fs_sums()
{
	(cd "$1" && find . -type f | sort | xargs cksum)
}

# fs_write DIR NAME: some files that are small, some that are not, and some that are gone again
fs_write()
{
	local i

	cp -r "$lib" "$1/$2"
	for ((i = 0; i < 4; i++)); do
		dd if=/dev/urandom of="$1/$2/large.$i" bs=512k count=4 status=none
	done
	sync -f "$1"
	rm "$1/$2"/[19]*.sh "$1/$2/large.1"
	dd if=/dev/urandom of="$1/$2/large.2" bs=4k count=50 seek=100 conv=notrunc status=none
}
