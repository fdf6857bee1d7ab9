# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="zeroing a part of a clone is one command of the destination, and copies only what it leaves of its ends"
TIMEOUT=60

requires()
{
	modprobe -qn scsi_debug || skip "no scsi_debug here"
}

# zero NAME SECTOR COUNT
zero()
{
	blkdiscard -z -f -o $(($2 * 512)) -l $(($3 * 512)) "/dev/mapper/$1"
}

run_test()
{
	local source dest meta disk

	# Without a cache no flush is counted as a write: with opts=0x1000 the disk says that it has none. Device-mapper of
	# 7.3 does not see it where the cache is only switched off.
	disk=$(scsi_create 1 dev_size_mb=32 lbpws=1 opts=0x1000)
	dm_create source "0 32768 linear $disk 0"
	dm_create dest "0 32768 linear $disk 32768"
	source=/dev/mapper/source dest=/dev/mapper/dest
	put "$source" 0 32768 s
	put "$dest" 0 32768 d
	meta=$(nullb_create size=4)
	clone_create clone 64 1 no_hydration
	assert_le $((8192 * 512)) "$(dm_limit clone write_zeroes_max_bytes)" "bytes that can be zeroed at once"

	# Regions as a whole; with parts of two; where some are hydrated; inside of one.
	asks 0 0 1 8192 zero clone 0 8192
	asks 2 64 3 8256 zero clone 8195 8192
	asks 1 61 2 8253 zero clone 16387 8192
	asks 1 64 2 66 zero clone 28675 2
	asks 0 0 1 64 zero clone 28672 64
	dm_remove clone
	clone_create clone 64 1 no_hydration
	assert_holds /dev/mapper/clone 0 8192 0
	assert_holds /dev/mapper/clone 8192 3 s
	assert_holds /dev/mapper/clone 8195 16384 0
	assert_holds /dev/mapper/clone 24579 4093 s
	assert_holds /dev/mapper/clone 28672 64 0
	assert_holds /dev/mapper/clone 28736 4000 s
	dm_remove clone

	# Of small regions not more than 1,024 with one command.
	meta_clear
	clone_create clone 8 1 no_hydration
	asks 1 3 3 16384 zero clone 8195 16381
	assert_holds /dev/mapper/clone 8195 16381 0
	assert_eq "$(hydrated clone)" 2048
	dm_remove clone

	# A destination that has no such command gets zeroes.
	dest=$(nullb_create size=16)
	meta_clear
	clone_create clone 64 1 no_hydration
	assert_eq "$(dm_limit clone write_zeroes_max_bytes)" 0
	zero clone 8195 8192
	assert_holds /dev/mapper/clone 8192 3 s
	assert_holds /dev/mapper/clone 8195 8192 0
	assert_holds /dev/mapper/clone 16387 64 s
	dm_remove clone source dest
	modprobe -r scsi_debug
}
