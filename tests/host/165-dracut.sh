#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# dracut's initramfs has both modules and the takeover's names, and is made, with a warning, for a kernel for which
# there is no dm-scaled. dracut is unpacked into a copy of this system, since its package takes the place of
# initramfs-tools.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
packages=$cache/packages
mkdir -p "$packages"
kernel_root "$kver" > /dev/null || "$top/tests/vm/fetch-kernel" --image "$kver" > /dev/null
quiet_make "$dir/log" KVER="$kver" module
if ! compgen -G "$packages/dracut-core_*.deb" > /dev/null; then
	(cd "$packages" && apt-get -qq -o APT::Sandbox::User=root download dracut-core)
fi
for file in "$packages"/dracut-core_*.deb; do
	dpkg -x "$file" "$dir/dracut"
done
mkdir "$dir/kernel"
copy_modules "$kver" "$dir/kernel" dm-mod dm-bufio dm-snapshot
make DESTDIR="$dir/takeover" install-takeover > /dev/null
cp "$out/$kver/module/dm-scaled.ko" "$dir/"

inside()
{
	cd /tmp
	cp -r "$dir/dracut/usr/." /usr/
	cp -r "$dir/dracut/etc/." /etc/
	cp -r "$dir/takeover/usr/." /usr/
	cp -r "$dir/kernel/lib/modules/$kver/." "/lib/modules/$kver/"
	mkdir -p "/lib/modules/$kver/updates"
	cp "$dir/dm-scaled.ko" "/lib/modules/$kver/updates/"
	depmod "$kver"
	initramfs --no-hostonly
	[[ $list == *updates/dm-scaled.ko* && $list == *md/dm-snapshot.ko* && $list == *modprobe.d/dm-scaled.conf* ]] ||
		fail "the initramfs has not both modules and the names: $list"
	! grep -F 'there is no module' log || fail "a warning though the module is there"
	rm "/lib/modules/$kver/updates/dm-scaled.ko"
	depmod "$kver"
	initramfs --hostonly
	[[ $list != *dm-scaled.ko* && $list == *md/dm-snapshot.ko* ]] || fail "the initramfs has not stock's module: $list"
	grep -qF "dm-scaled: there is no module for $kver" log || fail "no warning: $(< log)"
}

# initramfs OPTION
initramfs()
{
	dracut --force -m 'base dm dm-scaled' "$1" --no-compress image "$kver" > log 2>&1 || fail "no initramfs: $(tail log)"
	list=$(cpio -it --quiet < image)
}

enter()
{
	copy_system "$dir"
	mount -t sysfs -o ro sysfs "$dir/merged/sys"
	chroot "$dir/merged" bash -euo pipefail -c inside
}

export -f enter copy_system inside initramfs fail
export dir kver
unshare -m bash -euo pipefail -c enter
