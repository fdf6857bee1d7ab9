#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A machine whose root file system is on LVM and has a snapshot starts from an initramfs that initramfs-tools made, with
# what packaging/ has: our module is in it, under the stock names, and activates the snapshot. It starts as well from
# one for which our module was missing: stock's activates what ours has written.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
from=$(kernel_root "$kver")
modules=(dm-mod dm-bufio dm-snapshot dm-mirror virtio_pci virtio_blk ext4 crc32c_intel crc32c_generic)

# What would be in /lib/modules, /etc/modprobe.d and /etc/initramfs-tools.
root=$dir/root/lib/modules/$kver
mkdir -p "$root/updates" "$dir/modprobe.d"
copy_modules "$kver" "$dir/root" "${modules[@]}"
strip --strip-debug -o "$root/updates/dm-scaled.ko" "$out/$kver/module/dm-scaled.ko"
depmod -b "$dir/root" "$kver"
cp packaging/modprobe.d/dm-scaled.conf "$dir/modprobe.d/"
cp -r /etc/initramfs-tools "$dir/initramfs-tools"
cp packaging/initramfs-tools/hooks/dm-scaled "$dir/initramfs-tools/hooks/"
printf '%s\n' virtio_pci virtio_blk ext4 crc32c_generic >> "$dir/initramfs-tools/modules"

# make_initrd FILE: in a mount namespace of its own, so that nothing of this machine changes.
make_initrd()
{
	# shellcheck disable=SC2016
	unshare -m bash -c '
		set -e
		mount --make-rprivate /
		mount --bind "$1/root/lib/modules/$2" "/lib/modules/$2"
		mount --bind "$1/modprobe.d" /etc/modprobe.d
		mount --bind "$3/boot" /boot
		mkinitramfs -d "$1/initramfs-tools" -c gzip -o "$4" "$2"
	' make "$dir" "$kver" "$from" "$1"
}

truncate -s 600M "$dir/disk"
system="-drive file=$dir/disk,if=none,id=system,format=raw,cache=unsafe"
system+=" -device virtio-blk-pci,drive=system,serial=system"
"$top/tests/vm/run" --kernel "$kver" --out "$dir/prepare" --qemu "$system" \
	-- bash /opt/dm-scaled/tests/guest/boot-snapshot.sh prepare

# start INITRD MODULE: starts the system, which has the snapshot activated by that module
start()
{
	# Split into words on purpose.
	# shellcheck disable=SC2086
	timeout 900 qemu-system-x86_64 -nodefaults -no-reboot -display none -machine q35,smm=off \
		-accel tcg,thread=multi -cpu "$cheap_cpu" -smp 2 -m 1024 \
		-kernel "${from%/}/boot/vmlinuz-$kver" -initrd "$1" \
		-append "console=ttyS0 root=/dev/mapper/vg-root init=/check snapshots=$2 panic=-1 mitigations=off nosmap \
			no5lvl norandmaps cryptomgr.notests tsc=reliable no_timer_check" \
		-serial "file:$dir/console.log" -serial "file:$dir/output.log" $system
	cat "$dir/output.log"
	if ! grep -q '^all is as it should be' "$dir/output.log" ||
			grep -aqEf tests/guest/trouble "$dir/console.log"; then
		tail -n 60 "$dir/console.log"
		fail "the system is not what it should be with $2"
	fi
}

make_initrd "$dir/initrd"
start "$dir/initrd" dm_scaled

rm "$root/updates/dm-scaled.ko"
depmod -b "$dir/root" "$kver"
make_initrd "$dir/initrd-without" 2>&1 | tee "$dir/log"
grep -q "^W: dm-scaled: there is no module for $kver" "$dir/log" || fail "no warning of an initramfs without the module"
start "$dir/initrd-without" dm_snapshot
