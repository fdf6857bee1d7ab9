# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="what systemd-clonesetup does to target clone, step by step, with ours under that name"
EACH=1

# As systemd 262.1 does it, with the same ioctls in the same order and no cookies for udev. (Debian sid has
# it in package systemd-cryptsetup; the program itself was tried by hand.)
# add: the size of the source from sysfs; create; load "META DEST SOURCE REGION 1 no_hydration"; resume; message
# "enable_hydration". If a step fails, deferred removal. The status is not read.
# add NAME REGION_BYTES
add()
{
	local size

	size=$(< "/sys/class/block/${source##*/}/size")
	dmsetup create "$1" --notable || return
	if ! dmsetup load "$1" --table "0 $size clone $meta $dest $source $(($2 / 512)) 1 no_hydration" ||
			! dmsetup resume "$1" || ! dmsetup message "$1" 0 enable_hydration; then
		dmsetup remove --deferred "$1"
		return 1
	fi
}

# remove: at once; if the device is in use, when it is not any more.
# remove NAME
remove()
{
	dmsetup remove "$1" 2> /dev/null || dmsetup remove --deferred "$1"
}

is_gone()
{
	! dmsetup info "$1" > /dev/null 2>&1
}

run_test()
{
	local source dest meta size before small device fd

	# Stock's, which earlier tests may have loaded, has the name.
	unload_module
	[[ ! -d /sys/module/dm_clone ]] || rmmod dm_clone
	load_module takeover=clone
	clone_devices 16

	for size in 4096 65536 1073741824; do
		meta_clear
		blkdiscard -z "$dest"
		add copy $size
		assert_match "$(dmsetup table copy)" " clone .* $((size / 512)) 1 no_hydration$"
		wait_for 60 is_hydrated copy
		remove copy
		cmp "$source" "$dest" || fail "regions of $size bytes: not copied"
	done

	# In the middle of it the machine is shut down; the next start goes on.
	meta_clear
	blkdiscard -z "$dest"
	module_param clone_hydration_throttle 1
	add copy 4096
	put /dev/mapper/copy 80 8 x
	wait_for 60 test "$(hydrated copy)" -ge 1
	before=$(hydrated copy)
	remove copy
	module_param clone_hydration_throttle 100
	add copy 4096
	assert_le "$before" "$(hydrated copy)" "hydrated before the removal and after it"
	assert_holds /dev/mapper/copy 80 8 x
	wait_for 60 is_hydrated copy
	# All is there already at the next start.
	remove copy
	add copy 4096
	is_hydrated copy || fail "hydrated regions are forgotten"
	assert_holds "$dest" 80 8 x
	assert_holds "$dest" 0 80 s

	# Somebody has it open when it is to be removed.
	device=/dev/$(dmsetup info -c --noheadings -o blkdevname copy)
	exec {fd}< "$device"
	remove copy
	is_gone copy && fail "removed while it was open"
	assert_holds "$device" 80 8 x
	exec {fd}<&-
	wait_for 10 is_gone copy

	# A name that is there already; a table that is refused leaves nothing.
	add copy 4096
	assert_fails add copy 4096
	is_hydrated copy || fail "a second one of that name has harmed the first"
	remove copy
	assert_fails add copy 2048
	wait_for 10 is_gone copy
	small=$(nullb_create size=15)
	dest=$small
	meta_clear
	assert_fails add copy 4096
	wait_for 10 is_gone copy

	unload_module
	load_module
}
