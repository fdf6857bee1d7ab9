# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/failing.sh
. "$lib/failing.sh"
DESCRIPTION="a clone whose metadata device, destination or source fails, and recovers"
SELDOM=debug

# durable DEVICE SECTOR: a write with FUA
durable()
{
	dd if="$(pattern d)" of="$1" bs=512 count=1 seek="$2" oflag=direct,dsync conv=notrunc status=none
}

has_hydrated()
{
	(($(hydrated clone) >= $1))
}

run_test()
{
	local source dest meta raw_source raw_dest events

	modprobe dm-flakey
	clone_devices 16
	raw_source=$source raw_dest=$dest
	meta=$(below low_meta "$meta")
	dest=$(below low_dest "$dest")
	source=$(below low_source "$source")

	# The metadata device can no longer be written to: read-only, but all that was written is there.
	clone_create clone 8 1 no_hydration
	put /dev/mapper/clone 80 8 a
	sync /dev/mapper/clone
	put /dev/mapper/clone 160 8 b
	tables low_meta writes
	assert_fails durable /dev/mapper/clone 240
	assert_eq "$(clone_mode clone)" ro
	events=$(events clone)
	((events >= 1)) || fail "no event"
	assert_holds /dev/mapper/clone 80 8 a
	assert_holds /dev/mapper/clone 160 8 b
	put /dev/mapper/clone 160 8 c
	assert_holds /dev/mapper/clone 160 8 c
	assert_fails put /dev/mapper/clone 320 8
	assert_fails put /dev/mapper/clone 321 1
	assert_holds /dev/mapper/clone 320 8 s
	# What is not durable is not said to be.
	assert_fails durable /dev/mapper/clone 160
	dmsetup message clone 0 enable_hydration
	sleep 0.5
	assert_eq "$(clone_status clone 5)" 0 "hydrating"
	dmsetup message clone 0 disable_hydration

	# It can be written to again: resuming makes durable what was not.
	tables low_meta ok
	dmsetup suspend clone
	dmsetup resume clone
	assert_eq "$(clone_mode clone)" rw
	put /dev/mapper/clone 320 8 e
	durable /dev/mapper/clone 400
	dm_remove clone
	clone_create clone 8 1 no_hydration
	assert_holds /dev/mapper/clone 160 8 c
	assert_holds /dev/mapper/clone 320 8 e
	assert_holds /dev/mapper/clone 400 1 d
	assert_holds /dev/mapper/clone 401 7 s

	# The same by way of a new table.
	put /dev/mapper/clone 480 8 f
	tables low_meta writes
	assert_fails durable /dev/mapper/clone 500
	assert_eq "$(clone_mode clone)" ro
	tables low_meta ok
	dm_reload clone "$(clone_table 8 1 no_hydration)"
	assert_eq "$(clone_mode clone)" rw
	assert_holds /dev/mapper/clone 480 8 f
	sync /dev/mapper/clone
	dm_remove clone
	clone_create clone 8 1 no_hydration
	assert_holds /dev/mapper/clone 480 8 f

	# The destination cannot be flushed, nor anything be written.
	put /dev/mapper/clone 560 8 g
	tables low_dest all
	assert_fails durable /dev/mapper/clone 640
	assert_fails get /dev/mapper/clone 560 8
	assert_holds /dev/mapper/clone 640 8 s
	tables low_dest ok
	dmsetup suspend clone
	dmsetup resume clone
	assert_eq "$(clone_mode clone)" rw
	assert_holds /dev/mapper/clone 560 8 g

	# The source fails: writes of parts of regions do, those of whole ones need it not.
	tables low_source all
	assert_fails put /dev/mapper/clone 801 1
	assert_fails get /dev/mapper/clone 800 8
	put /dev/mapper/clone 880 8 h
	assert_holds /dev/mapper/clone 880 8 h
	assert_eq "$(clone_mode clone)" rw
	dmsetup message clone 0 enable_hydration
	sleep 1
	tables low_source ok
	put /dev/mapper/clone 801 1 i
	assert_holds /dev/mapper/clone 800 1 s
	wait_for 60 is_hydrated clone
	assert_holds "$raw_dest" 801 1 i
	dm_remove clone

	# One bad sector costs one region, and when it is good again that is hydrated, too.
	meta_clear
	tables low_source part 8000 1
	clone_create clone 8
	wait_for 120 has_hydrated 4095
	assert_eq "$(clone_status clone 4)" 4095/4096
	assert_fails get /dev/mapper/clone 8000 8
	put /dev/mapper/clone 8000 8 k
	wait_for 60 is_hydrated clone
	dm_remove clone
	tables low_source ok

	# Neither read nor written: nothing is known any more.
	meta_clear
	clone_create clone 8 1 no_hydration
	put /dev/mapper/clone 80 8 a
	tables low_meta all
	assert_fails durable /dev/mapper/clone 240
	assert_eq "$(dmsetup status clone | cut -d' ' -f4-)" Fail
	assert_fails get /dev/mapper/clone 80 8
	assert_fails put /dev/mapper/clone 80 8
	dm_remove clone
	tables low_meta ok
	clone_create clone 8
	wait_for 60 is_hydrated clone
	dm_remove clone
	assert_holds "$raw_source" 0 32768 s
	dm_remove low_meta low_dest low_source
}
