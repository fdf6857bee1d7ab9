#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Units of /etc/dm-scaledtab: systemd finds nothing wrong in those that the generator makes, names them as the generator
# does, and, in a VM, activates and removes the devices in the right order: see tests/guest/tab-systemd.sh.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
make -C tools O="$out" all > "$dir/log" 2>&1 || fail "no tools: $(tail "$dir/log")"

names=(data data-old a#+-.:=@_9 .hidden)
{
	echo "data - origin-scaled /dev/vg/data"
	echo "data-old nofail snapshot-scaled /dev/vg/data /dev/disk/by-id/wwn-0x5-part1 P 8"
	echo "a#+-.:=@_9 noauto,_netdev 0 8 clone-scaled /dev/a /dev/b /dev/c%d 8, 8 8 linear /dev/b 8"
	echo ".hidden x-initrd.attach origin-scaled /dev/vg/hidden"
	echo "wrong - origin-scaled"
} > "$dir/dm-scaledtab"

verify()
{
	copy_system "$dir"
	make O="$out" DESTDIR="$dir/merged" install-tools > "$dir/log" 2>&1 || fail "not installed: $(tail "$dir/log")"
	cp "$dir/dm-scaledtab" "$dir/merged/etc/"
	mount -t tmpfs tmpfs "$dir/merged/run"
	mkdir -p "$dir/merged/run/systemd/generator"
	SYSTEMD_SCOPE='' chroot "$dir/merged" /usr/lib/systemd/system-generators/dm-scaled-generator \
		/run/systemd/generator /run/systemd/generator /run/systemd/generator 2> "$dir/log"
	grep -q "dm-scaledtab:5: origin-scaled has 0 arguments" "$dir/log" || fail "not said what is wrong: $(< "$dir/log")"
	# It takes what is behind a colon for another name of the unit.
	chroot "$dir/merged" bash -O extglob -c 'cd /run/systemd/generator
		systemd-analyze verify --man=yes *([^:]).{service,target}' > "$dir/log" 2>&1 ||
		fail "systemd-analyze: $(< "$dir/log")"
	[[ ! -s $dir/log ]] || fail "systemd-analyze: $(< "$dir/log")"
	for name in "${names[@]}"; do
		ls "$dir/merged/run/systemd/generator/dm-scaled@$(systemd-escape "$name").service" \
			"$dir/merged/run/systemd/generator/$(systemd-escape --path --suffix=device "/dev/mapper/$name").requires"
	done > "$dir/log"
	grep -q "^BindsTo=.*$(systemd-escape --path --suffix=device /dev/c%d | sed 's/\\/\\\\/g')" \
		"$dir/merged/run/systemd/generator/dm-scaled@$(systemd-escape "a#+-.:=@_9").service" ||
		fail "another name of a device below"
}

export dir out
export -f verify copy_system fail
names=${names[*]} unshare -m bash -euo pipefail -c 'read -ra names <<< "$names"; verify'

# --- systemd itself

root=$dir/root
mkdir -p "$root"/usr/{bin,lib/{systemd/{system,system-generators},udev/rules.d}} "$root/etc/systemd"
cp /usr/lib/systemd/systemd{,-journald,-shutdown} "$root/usr/lib/systemd/"
cp /usr/bin/{udevadm,systemctl} "$root/usr/bin/"
ln -s ../../bin/udevadm "$root/usr/lib/systemd/systemd-udevd"
cp /usr/lib/systemd/system-generators/systemd-fstab-generator "$out/tools/dm-scaled-generator" \
	"$root/usr/lib/systemd/system-generators/"
cp /usr/lib/systemd/system/*.target "$root/usr/lib/systemd/system/"
cp /usr/lib/systemd/system/systemd-{udevd,udev-trigger,journald,poweroff}.service \
	/usr/lib/systemd/system/systemd-{udevd-kernel,udevd-control,journald}.socket "$root/usr/lib/systemd/system/"
cp /usr/lib/udev/rules.d/{55-dm,60-persistent-storage-dm,95-dm-notify,99-systemd}.rules "$root/usr/lib/udev/rules.d/"
# LVM's, which knows nothing of origins that are written to.
cp /usr/lib/systemd/system/blk-availability.service "$root/usr/lib/systemd/system/"
cp /usr/bin/mountpoint /usr/sbin/blkdeactivate "$root/usr/bin/"
cp packaging/udev/dm-scaled.rules "$root/usr/lib/udev/rules.d/57-dm-scaled.rules"
find "$root" -type f -perm /111 | while read -r file; do
	ldd "$file" 2> /dev/null | grep -o '/lib[^ ]*\|/usr/lib[^ ]*' || true
done | sort -u | while read -r file; do
	install -D -m 755 "$file" "$root/usr/${file#/usr}"
done
tar -C "$root" -cf "$dir/systemd.tar" usr etc
quiet_make "$dir/log" KVER="$kver" module
tests/vm/run --kernel "$kver" --out "$dir/out" --add "$dir/systemd.tar" \
	-- bash /opt/dm-scaled/tests/guest/tab-systemd.sh
has "$dir/out/output.log" '^all devices came and went as they should'
