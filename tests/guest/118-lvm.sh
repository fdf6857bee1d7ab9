# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/lvm.sh
. "$lib/lvm.sh"
DESCRIPTION="LVM's snapshots by takeover of the stock names: create, extend, overflow, merge, move, activate again"
EACH=1
TIMEOUT=600
KERNELS=stock

# What takeover= refuses, and what goes on without it.
refusals()
{
	local names=/sys/module/dm_scaled/parameters/takeover

	unload_module
	[[ ! -d /sys/module/dm_clone ]] || rmmod dm_clone
	# Names that dm-snapshot has stay its, all of them; ours are there, and the parameter tells.
	if modprobe -q dm-snapshot; then
		log_mark
		load_module takeover=snapshot,clone
		assert_match "$(log_since)" "Cannot take over target snapshot-merge: error -1[67]: .*while dm_snapshot is not loaded"
		assert_eq "$(< $names)" clone "takeover beside dm-snapshot"
		snapshot_beside_stock
		assert_eq "$(< /sys/module/dm_snapshot/refcnt)" 0 "users of dm-snapshot"
		modprobe -r dm-snapshot
		! have_target snapshot-merge || fail "snapshot-merge is there without dm-snapshot"
		unload_module
		load_module takeover=snapshot
		assert_eq "$(< $names)" snapshot "takeover after dm-snapshot is gone"
		have_target snapshot-merge || fail "no target snapshot-merge"
		unload_module
	fi
	log_mark
	assert_fails load_module takeover=everything
	assert_match "$(log_since)" "takeover=everything: must be snapshot"
	load_module
}

snapshot_beside_stock()
{
	local origin cow

	origin=$(nullb_create size=8)
	cow=$(nullb_create size=8)
	snap_create beside - "$origin" "$cow"
	dm_remove beside
}

snapshots()
{
	local before s1 s2

	lv lvcreate -y -n data -L 32m vg
	fill /dev/vg/data 1
	before=$(sum data)
	lv lvcreate -s -n s1 -L 12m vg/data
	assert_match "$(dmsetup table vg-s1)" " snapshot .* PO? 8$"
	load data 2000
	s1=$(sum data)
	lv lvcreate -s -n s2 -c 64k -L 40m vg/data
	assert_match "$(dmsetup table vg-s2)" " PO? 128$"
	load data 1000
	load s2 500
	s2=$(sum s2)
	assert_eq "$(sum s1)" "$before" "the first snapshot"
	[[ $(field s1 snap_percent) != 0.00 ]] || fail "no usage is shown"

	# Everything off and on again.
	lv vgchange -an vg
	lv vgchange -ay vg
	assert_eq "$(sum s1)" "$before" "the first snapshot, activated again"
	assert_eq "$(sum s2)" "$s2" "the second snapshot, activated again"
	load data 500
	assert_eq "$(sum s1)" "$before" "the first snapshot"

	lv lvextend -L +8m vg/s1
	assert_eq "$(sum s1)" "$before" "the first snapshot, extended"
	load data 500
	lv lvrename vg/s1 vg/first
	assert_eq "$(sum first)" "$before" "the first snapshot, renamed"
	lv lvrename vg/data vg/base
	load base 500
	assert_eq "$(sum first)" "$before" "the first snapshot, after its origin was renamed"

	# Their space moves to another disk.
	if modprobe -q dm-mirror; then
		lv pvmove -i 1 --config global/use_lvmpolld=0 -n base "$pv1" "$pv2"
		assert_eq "$(sum first)" "$before" "the first snapshot, after its origin was moved"
		load base 300
		assert_eq "$(sum first)" "$before" "the first snapshot"
		assert_eq "$(sum s2)" "$s2" "the second snapshot"
	fi

	# Merge into the origin while that is in use; the other snapshot must not change.
	load s2 100
	s2=$(sum s2)
	lv lvconvert --merge -i 1 --config global/use_lvmpolld=0 vg/first
	assert_fails lvs vg/first
	assert_eq "$(sum base)" "$before" "the origin after the merge"
	assert_eq "$(sum s2)" "$s2" "the other snapshot after the merge"
	: "$s1"

	# When the origin is open the merge begins with the next activation.
	exec 9< /dev/vg/base
	lv lvconvert --merge -i 1 --config global/use_lvmpolld=0 vg/s2
	exec 9<&-
	lv lvchange -an vg/base
	lv lvchange -ay --config 'global/use_lvmpolld=0 activation/polling_interval=1' vg/base
	wait_for 60 merge_is_over base
	assert_eq "$(sum base)" "$s2" "the origin after the second merge"
	lv lvremove -y vg/base
}

overflow()
{
	lv lvcreate -y -n data -L 32m vg
	lv lvcreate -s -n full -L 4m vg/data
	# Writes to the snapshot leave it readable, if LVM has asked for PO, as newer versions do.
	fio --name=load --filename=/dev/vg/full --rw=write --bs=64k --direct=1 --size=32m --output=/dev/null \
		--continue_on_error=write || true
	if [[ $(dmsetup table vg-full) == *" PO "* ]]; then
		assert_match "$(dmsetup status vg-full)" " Overflow$"
		get /dev/vg/full 0 8 > /dev/null
	else
		assert_match "$(dmsetup status vg-full)" " Invalid$"
	fi
	lv lvremove -y vg/full
	lv lvcreate -s -n full -L 4m vg/data
	load data 8000
	assert_match "$(dmsetup status vg-full)" " Invalid$"
	assert_match "$(lvs --noheadings -o lv_attr vg/full)" "^ *[Ss]wi-I"
	lv lvchange -an vg/data
	lv lvchange -ay vg/data
	lv lvremove -y vg/full vg/data
}

# With a file system, mounted all the time.
with_file_system()
{
	lv lvcreate -y -n data -L 64m vg
	mkfs.ext4 -q /dev/vg/data
	mkdir -p /mnt/data /mnt/snap
	mount /dev/vg/data /mnt/data
	cp -r "$lib" /mnt/data/one
	lv lvcreate -s -n snap -L 32m vg/data
	rm -r /mnt/data/one
	cp -r "$lib" /mnt/data/two
	sync
	mount -o ro,noload /dev/vg/snap /mnt/snap 2> /dev/null || mount /dev/vg/snap /mnt/snap
	diff -r "$lib" /mnt/snap/one
	[[ ! -e /mnt/snap/two ]]
	umount /mnt/snap /mnt/data
	lv lvconvert --merge -i 1 --config global/use_lvmpolld=0 vg/snap
	mount /dev/vg/data /mnt/data
	diff -r "$lib" /mnt/data/one
	[[ ! -e /mnt/data/two ]]
	umount /mnt/data
	lv lvremove -y vg/data
}

tests()
{
	have_target snapshot && have_target snapshot-origin && have_target snapshot-merge
	snapshots
	overflow
	with_file_system
}

run_test()
{
	refusals
	by_takeover tests
}
