#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# With udev's daemon, which the VMs of the other tests do not have: to whom links by UUID point when there is a
# snapshot, without packaging/udev/dm-scaled.rules and with it. For tests/host/164-udev.sh, which brings the daemon.
set -euo pipefail
# shellcheck source=tests/guest/lib.sh
. "$(dirname "$0")/lib.sh"

uuid=11111111-2222-3333-4444-555555555555
by_uuid=/dev/disk/by-uuid/$uuid

settle()
{
	udevadm settle --timeout=30
}

# owner: the name of the mapped device that the link by UUID points to
owner()
{
	settle
	[[ ! -e $by_uuid ]] || dmsetup info -c --noheadings -o name "$(readlink -f "$by_uuid")"
}

# snapshot NAME TARGET ORIGIN COW [OPTION...]
snapshot()
{
	dmsetup suspend data
	dmsetup create "$1" "${@:5}" --table "0 $size $2 $3 $4 N 8"
	dmsetup resume data
}

tar -C / -xf "$opt/udev.tar"
unset DM_DISABLE_UDEV
mkdir -p /run/udev /etc/udev/rules.d
/usr/lib/systemd/systemd-udevd --daemon
load_module
modprobe dm-snapshot
origin=$(nullb_create size=64)
cow=$(nullb_create size=64)
size=$(blockdev --getsz "$origin")
mke2fs -q -t ext4 -U "$uuid" "$origin"

dmsetup create data --table "0 $size origin-scaled $origin"
assert_eq "$(owner)" data "the owner of the link before there is a snapshot"
snapshot snap snapshot-scaled "$origin" "$cow"
# Of devices with the same priority the one of the last event has the link; here, of whoever closes the snapshot.
settle
udevadm trigger --name-match=/dev/mapper/snap
assert_eq "$(owner)" snap "the owner without the rule, which is what it is for"
dmsetup remove snap
assert_eq "$(owner)" data "the owner when the snapshot is gone"

cp "$opt/packaging/udev/dm-scaled.rules" /etc/udev/rules.d/57-dm-scaled.rules
udevadm control --reload
snapshot snap snapshot-scaled "$origin" "$cow"
assert_eq "$(owner)" data "the owner with the rule"
[[ $(readlink -f /dev/mapper/snap) == "$(readlink -f /dev/disk/by-id/dm-name-snap)" ]] || fail "no links by name"
for action in change add; do
	udevadm trigger --action=$action --name-match=/dev/mapper/snap
	assert_eq "$(owner)" data "the owner after $action of the snapshot"
	[[ -e /dev/disk/by-id/dm-name-snap ]] || fail "no link by name after $action"
done
# Also while nobody else claims the link.
dmsetup remove data
assert_eq "$(owner)" '' "the owner when the origin is not active"
# Another table of the same device is another matter.
dmsetup reload snap --table "0 $size linear $origin 0"
dmsetup resume snap
assert_eq "$(owner)" snap "the owner when the snapshot is one no more"
dmsetup remove snap

dmsetup create data --table "0 $size origin-scaled $origin"
snapshot snap snapshot-scaled "$origin" "$cow" -u backup-1
settle
udevadm trigger --name-match=/dev/mapper/snap
assert_eq "$(owner)" data "the owner beside a snapshot that has a UUID"
[[ -e /dev/disk/by-id/dm-uuid-backup-1 ]] || fail "no link by the UUID of the device"
dmsetup remove snap
# LVM sets flags of its own, which are another program's business.
snapshot snap snapshot-scaled "$origin" "$cow" -u LVM-1
settle
udevadm trigger --name-match=/dev/mapper/snap
assert_eq "$(owner)" snap "the owner beside a device with LVM's UUID and without LVM's flags"
dmsetup remove snap
dmsetup remove data

dmsetup create data --table "0 $size snapshot-origin $origin"
snapshot snap snapshot "$origin" "$cow"
settle
udevadm trigger --name-match=/dev/mapper/snap
assert_eq "$(owner)" data "the owner beside a snapshot of stock's"
dmsetup remove snap
dmsetup remove data
dmsetup create data --table "0 $((size / 2)) linear $origin 0
$((size / 2)) $((size / 2)) linear $origin $((size / 2))"
assert_eq "$(owner)" data "the owner of a table that has nothing to do with it"
dmsetup remove data
udevadm control --exit
unload_module
echo "all links are as they should be"
