# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a snapshot smaller than the origin, a partial last chunk, an origin smaller than a chunk"
SELDOM=debug

run_test()
{
	local o c end

	o=$(nullb_create size=16)
	c=$(nullb_create size=16)

	# Smaller snapshot: writes behind its end copy nothing, and are not part of it.
	origin_create origin "$o"
	put_blocks /dev/mapper/origin 0 16 2048 a
	dmsetup suspend origin
	dm_create snap "0 1000 $snapshot $o $c N 64"
	dmsetup resume origin
	put /dev/mapper/origin 1024 8 b
	assert_cows snap 0 64
	# The chunk in which the snapshot ends: sectors 960 to 1023.
	put /dev/mapper/origin 1000 24 b
	put /dev/mapper/origin 990 4 c
	assert_cows snap 1 64
	assert_holds /dev/mapper/snap 960 40 a
	put_blocks /dev/mapper/origin 0 16 2048 d
	assert_cows snap 16 64
	assert_holds /dev/mapper/snap 0 1000 a
	put /dev/mapper/snap 936 64 e
	assert_holds /dev/mapper/snap 936 64 e
	assert_holds /dev/mapper/snap 0 936 a
	assert_holds /dev/mapper/origin 0 2048 d
	assert_eq "$(blockdev --getsz /dev/mapper/snap)" 1000
	dm_remove snap origin

	# The origin ends within a chunk: what is behind its end must not be copied.
	end=30011
	dm_create short "0 $end linear $o 0"
	put_blocks "$o" 0 16 2048 a
	origin_create origin /dev/mapper/short
	snap_create snap origin /dev/mapper/short "$c" N 64
	put "$o" $end 100 z
	put /dev/mapper/origin $((end - 1)) 1 b
	assert_cows snap 1 64
	assert_holds /dev/mapper/snap $((end - 60)) 60 a
	put /dev/mapper/snap $((end - 3)) 2 c
	assert_holds /dev/mapper/snap $((end - 3)) 2 c
	assert_holds /dev/mapper/snap $((end - 1)) 1 a
	assert_holds /dev/mapper/origin $((end - 1)) 1 b
	assert_holds "$o" $end 100 z
	dm_remove snap

	# Written whole through the snapshot: not a full chunk, so it is copied first.
	snap_create snap origin /dev/mapper/short "$c" N 64
	put /dev/mapper/snap $((end - end % 64)) $((end % 64)) d
	assert_cows snap 1 64
	assert_holds /dev/mapper/snap $((end - end % 64)) $((end % 64)) d
	put /dev/mapper/origin $((end - end % 64)) $((end % 64)) e
	assert_holds /dev/mapper/snap $((end - end % 64)) $((end % 64)) d
	dm_remove snap origin short

	# The whole origin is less than one chunk.
	dm_create short "0 40 linear $o 0"
	put "$o" 0 40 a
	origin_create origin /dev/mapper/short
	snap_create snap origin /dev/mapper/short "$c" N 2048
	put /dev/mapper/origin 39 1 b
	assert_cows snap 1 2048
	assert_holds /dev/mapper/snap 0 40 a
	put /dev/mapper/snap 0 40 c
	assert_holds /dev/mapper/snap 0 40 c
	assert_holds /dev/mapper/origin 39 1 b
	assert_holds /dev/mapper/origin 0 39 a
	dm_remove snap origin short

	# Blocks of 4096 bytes.
	o=$(nullb_create size=16 blocksize=4096)
	c=$(nullb_create size=16 blocksize=4096)
	origin_create origin "$o"
	put_blocks /dev/mapper/origin 0 16 2048 a
	snap_create snap origin "$o" "$c" N 16
	assert_eq "$(blockdev --getss /dev/mapper/snap)" 4096
	put /dev/mapper/origin 8 8 b
	put /dev/mapper/snap 24 8 c
	assert_cows snap 2 16
	assert_holds /dev/mapper/snap 0 24 a
	assert_holds /dev/mapper/snap 24 8 c
	assert_holds /dev/mapper/origin 16 16 a
}
