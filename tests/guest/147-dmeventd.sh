# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/lvm.sh
. "$lib/lvm.sh"
DESCRIPTION="dmeventd extends a snapshot, twice, and unmounts one that has overflowed"
TIMEOUT=150
KERNELS=stock

# has_grown MB: the COW device of "grow" has so many
has_grown()
{
	(($(blockdev --getsz /dev/mapper/vg-grow-cow) >= $1 * 2048))
}

no_dmeventd()
{
	! pgrep -x dmeventd
}

extends()
{
	local before

	lv lvcreate -y -n data -L 32m vg
	before=$(sum data)
	lv lvcreate -s -n grow -L 8m vg/data
	assert_eq "$(field grow seg_monitor)" monitored "the snapshot"
	load data 6500
	wait_for 40 has_grown 12
	load data 3500
	wait_for 40 has_grown 20
	assert_eq "$(sum grow)" "$before" "the snapshot, extended"
	assert_match "$(snap_usage vg-grow)" "^[0-9]+/40960 [0-9]+$"
	lv lvremove -y vg/data
}

unmounts()
{
	lv lvcreate -y -n data -L 32m vg
	mkfs.ext4 -q /dev/vg/data
	lv lvcreate -s -n full -L 4m vg/data
	mkdir -p /mnt/data /mnt/full
	mount /dev/vg/data /mnt/data
	mount -o ro,noload /dev/vg/full /mnt/full
	put_blocks /mnt/data/file 0 10 2048 x
	assert_eq "$(snap_usage vg-full)" Invalid
	wait_for 40 is_unmounted /mnt/full
	findmnt /mnt/data > /dev/null
	umount /mnt/data
	e2fsck -fn /dev/vg/data
	lv lvremove -y vg/data
}

is_unmounted()
{
	! findmnt "$1"
}

tests()
{
	sed -i 's/monitoring=0/monitoring=1 snapshot_autoextend_threshold=60 snapshot_autoextend_percent=50/' \
		/etc/lvm/lvm.conf
	dmeventd
	extends
	unmounts
	pkill -x dmeventd
	wait_for 30 no_dmeventd
	sed -i 's/monitoring=1 [^}]*}/monitoring=0 }/' /etc/lvm/lvm.conf
}

run_test()
{
	by_takeover tests
}
