#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A snapshot does not get the links by UUID and label of its origin: see tests/guest/udev-rule.sh.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
rules=(/usr/lib/udev/rules.d/{55-dm,60-persistent-storage-dm,95-dm-notify}.rules)
mkdir -p "$dir/root/usr/lib/systemd" "$dir/root/usr/lib/udev/rules.d" "$dir/root/usr/bin"
cp "${rules[@]}" "$dir/root/usr/lib/udev/rules.d/"
cp /usr/bin/udevadm "$dir/root/usr/bin/"
ln -s ../../bin/udevadm "$dir/root/usr/lib/systemd/systemd-udevd"
ldd /usr/bin/udevadm | grep -o '/lib[^ ]*' | while read -r file; do
	install -D -m 755 "$file" "$dir/root/usr$file"
done
tar -C "$dir/root" -cf "$dir/udev.tar" usr
quiet_make "$dir/log" KVER="$kver" module
tests/vm/run --kernel "$kver" --out "$dir/out" --add "$dir/udev.tar" \
	-- bash /opt/dm-scaled/tests/guest/udev-rule.sh
has "$dir/out/output.log" '^all links are as they should be'
