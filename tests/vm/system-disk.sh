# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The disk of the systems that tests/vm/fetch-system makes: a volume group "vg" whose volume "root" begins where its
# first extent does. LVM takes only block devices, so that it is made in a VM.
# shellcheck source=tests/vm/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

disk_size=6G root_size=3G
# Where LVM's metadata end, and the first extent begins.
# shellcheck disable=SC2034
root_offset=$((1 << 20))

# make_disk FILE: the metadata
make_disk()
{
	local dir

	dir=$(mktemp -d)
	truncate -s "$disk_size" "$dir/disk"
	# shellcheck disable=SC2016
	"$top/tests/vm/run" --kernel "$(default_kver)" --cpus 1 --mem 1024 --out "$dir/vm" \
		--qemu "-drive file=$dir/disk,if=none,id=system,format=raw,cache=unsafe" \
		--qemu "-device virtio-blk-pci,drive=system,serial=system" -- bash -c '
		set -euo pipefail
		. /opt/dm-scaled/tests/guest/lib.sh
		disk=$(virtio_disk system)
		mkdir -p /run/lvm /run/lock/lvm /etc/lvm/{backup,archive}
		pvcreate -qq "$disk"
		vgcreate -qq vg "$disk"
		lvcreate -qq -y -Zn -Wn -n root -L "$1" vg
		pvs --noheadings --nosuffix --units b -o pe_start
		pvs --noheadings --segments -o pvseg_start,lv_name
		vgchange -qq -an vg' make "$root_size" > "$dir/log" 2>&1 || { cat "$dir/log" >&2; die "no disk"; }
	if ! grep -qE "^ *$root_offset\$" "$dir/log" || ! grep -qE '^ *0 +root$' "$dir/log"; then
		cat "$dir/log" >&2
		die "the volume is not where it should be"
	fi
	head -c "$root_offset" "$dir/disk" > "$1"
	rm -r "$dir"
}
