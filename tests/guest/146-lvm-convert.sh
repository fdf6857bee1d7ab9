# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/lvm.sh
. "$lib/lvm.sh"
DESCRIPTION="lvconvert: a volume becomes a COW device and one again; a merge waits until its origin is unmounted"
TIMEOUT=120
KERNELS=stock

# A striped volume with data on it becomes the COW device, is split off, and comes back with what it had.
converts()
{
	lv lvcreate -y -n data -L 16m vg
	lv lvcreate -y -n cow -i 2 -L 24m vg
	put_blocks /dev/vg/data 0 16 2048 a
	put_blocks /dev/vg/cow 0 4 2048 x
	lv lvconvert -y -s -c 16k vg/data vg/cow
	assert_match "$(dmsetup table vg-cow)" " snapshot .* PO? 32$"
	put_blocks /dev/vg/data 1000 3 500 b
	put /dev/vg/cow 20000 40 s
	assert_holds /dev/vg/cow 0 20000 a

	lv lvconvert -y --splitsnapshot vg/cow
	assert_match "$(dmsetup table vg-data)" " linear "
	assert_match "$(dmsetup table vg-cow)" " striped "
	lv lvconvert -y -s -Z n -c 16k vg/data vg/cow
	assert_holds /dev/vg/cow 0 20000 a
	assert_holds /dev/vg/cow 20000 40 s
	put /dev/vg/data 30000 8 b
	assert_holds /dev/vg/cow 20040 12728 a
	assert_holds /dev/vg/data 1000 1500 b
	lv lvremove -y vg/data
}

# is_merging LV: its table says so
is_merging()
{
	[[ $(dmsetup table "vg-$1") == *" snapshot-merge "* ]]
}

waits_for_mount()
{
	local no_poll=(--config 'global/use_lvmpolld=0 activation/polling_interval=1')

	lv lvcreate -y -n data -L 32m vg
	mkfs.ext4 -q /dev/vg/data
	mkdir -p /mnt/data
	mount /dev/vg/data /mnt/data
	cp -r "$lib" /mnt/data/before
	lv lvcreate -s -n snap -L 24m vg/data
	lv lvconvert --merge "${no_poll[@]}" vg/snap
	rm -r /mnt/data/before
	cp -r "$lib" /mnt/data/after
	lv lvchange --refresh "${no_poll[@]}" vg/data
	sync
	! is_merging data || fail "merging although the origin is mounted"
	[[ -e /mnt/data/after ]]
	umount /mnt/data

	# Nobody ends the merge, however quick it is, before the test has seen it.
	lv lvchange --refresh --poll n "${no_poll[@]}" vg/data
	is_merging data || fail "not merging"
	# It can be used at once.
	mount /dev/vg/data /mnt/data
	diff -r "$lib" /mnt/data/before
	[[ ! -e /mnt/data/after ]]
	lv lvchange --poll y "${no_poll[@]}" vg/data
	wait_for 60 merge_is_over data
	umount /mnt/data
	e2fsck -fn /dev/vg/data
	lv lvremove -y vg/data
}

tests()
{
	converts
	waits_for_mount
}

run_test()
{
	by_takeover tests
}
