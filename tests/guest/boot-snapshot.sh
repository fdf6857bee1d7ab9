#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# boot-snapshot.sh prepare: makes, on the virtio disk with the serial "system", a root file system on LVM with a
# snapshot.
# boot-snapshot.sh: the first program of that system, which an initramfs of the distribution has mounted; it runs
# boot-snapshot.sh look: is all there? For tests/host/160-initramfs.sh.
set -euo pipefail

look()
{
	local kept module loaded

	# Which module the initramfs should have loaded.
	module=$(sed -n 's/.* snapshots=\([a-z_]*\).*/\1/p' /proc/cmdline)

	echo "== modules"
	loaded=$(cut -d' ' -f1 /proc/modules | grep -E '^dm_(scaled|snapshot)$' || true)
	echo "$loaded"
	echo "== tables"
	dmsetup table
	dmsetup status
	[[ $loaded == "$module" ]]
	# Where LVM's snapshots are stock's, as the initramfs had no other module, ours serves its own names all the same.
	if [[ $module == dm_snapshot ]]; then
		insmod /dm-scaled.ko takeover=snapshot
		[[ -z $(< /sys/module/dm_scaled/parameters/takeover) ]]
		dmsetup targets | grep '^snapshot-scaled '
	fi
	dmsetup table vg-before | grep -qE ' snapshot .* PO? [0-9]+$'
	dmsetup table vg-root | grep -q ' snapshot-origin '
	dmsetup status vg-before | grep -qE ' [0-9]+/[0-9]+ [0-9]+$'
	mount -o ro,noload /dev/mapper/vg-before /mnt
	# "later" when it is started for the second time.
	[[ $(< /mnt/state) == before && $(< /state) =~ ^(after|later)$ ]]
	kept=$(sha256sum < /mnt/usr/bin/bash)
	# The system goes on, and the snapshot stays.
	mount -o remount,rw /
	cp /usr/bin/bash /copy
	mv /copy /usr/bin/bash
	echo later > /state
	sync
	umount /mnt
	mount -o ro,noload /dev/mapper/vg-before /mnt
	[[ $(< /mnt/state) == before && $(sha256sum < /mnt/usr/bin/bash) == "$kept" ]]
	umount /mnt
}

prepare()
{
	local disk

	# shellcheck source=tests/guest/lib.sh
	. "$(dirname "$0")/lib.sh"
	disk=$(virtio_disk system)
	load_module takeover=snapshot
	mkdir -p /run/lvm /run/lock/lvm /etc/lvm/{backup,archive}
	pvcreate -qq "$disk"
	vgcreate -qq vg "$disk"
	lvcreate -qq -y -n root -L 400m vg
	mke2fs -q -t ext4 /dev/vg/root
	mount /dev/vg/root /mnt
	mkdir /mnt/{dev,proc,sys,run,tmp,mnt,opt}
	cp -a /bin /sbin /lib /lib64 /usr /etc /mnt/
	cp -a /opt/busybox /mnt/opt/
	rm -r /mnt/usr/lib/modules
	cp "$0" /mnt/check
	cp "$opt/dm-scaled.ko" /mnt/
	echo before > /mnt/state
	umount /mnt
	lvcreate -qq -s -n before -L 64m vg/root
	mount /dev/vg/root /mnt
	echo after > /mnt/state
	cp -r "$lib" /mnt/more
	umount /mnt
	vgchange -qq -an vg
	unload_module
}

# As process 1 the script calls itself, since "set -e" is not in force in a condition; and whatever happens, the machine
# must end.
boot()
{
	export PATH=/usr/bin:/opt/busybox
	exec < /dev/null > /dev/ttyS1 2>&1
	if "$0" look; then
		echo "all is as it should be"
	fi
	sync
	echo u > /proc/sysrq-trigger
	echo o > /proc/sysrq-trigger
	sleep 60
}

case ${1:-} in
prepare|look) "$1" ;;
*) boot ;;
esac
