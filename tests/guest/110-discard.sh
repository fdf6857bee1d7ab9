# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="discards of a snapshot, with and without the features, and of the origin; write zeroes on both"
EACH=1
SELDOM=debug

# discard DEVICE FIRST COUNT, in sectors
discard()
{
	blkdiscard -o "$(($2 * 512))" -l "$(($3 * 512))" "$1"
}

zero()
{
	blkdiscard -z -o "$(($2 * 512))" -l "$(($3 * 512))" "$1"
}

setup()
{
	dm_remove snap origin
	put_blocks "$o" 0 4 2048 a
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" N 16 "$@"
}

run_test()
{
	local o c

	o=$(nullb_create size=16 discard=1)
	c=$(nullb_create size=16 discard=1)

	# Without the feature a snapshot has no discards; the origin never has.
	put_blocks "$o" 0 4 2048 a
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" N 16
	put /dev/mapper/origin 0 64 b
	assert_fails discard /dev/mapper/snap 0 16
	assert_match "$REPLY" "not supported"
	assert_fails discard /dev/mapper/origin 0 16
	assert_match "$REPLY" "not supported"
	assert_eq "$(dm_limit origin discard_max_bytes)" 0
	assert_eq "$(dm_limit snap discard_max_bytes)" 0
	assert_holds /dev/mapper/origin 0 64 b
	assert_holds /dev/mapper/snap 0 64 a

	# Zeroes are ordinary writes.
	zero /dev/mapper/origin 0 32
	zero /dev/mapper/origin 100 4
	zero /dev/mapper/snap 32 16
	zero /dev/mapper/snap 203 2
	assert_cows snap 6 16
	assert_holds /dev/mapper/origin 0 32 0
	assert_holds /dev/mapper/origin 100 4 0
	assert_holds /dev/mapper/origin 32 32 b
	assert_holds /dev/mapper/snap 0 32 a
	assert_holds /dev/mapper/snap 32 16 0
	assert_holds /dev/mapper/snap 203 2 0
	assert_holds /dev/mapper/snap 205 30 a

	# discard_zeroes_cow: chunks that have a copy become zeroes, others stay as they are and cost nothing.
	setup discard_zeroes_cow
	put /dev/mapper/origin 0 64 b
	assert_cows snap 4 16
	assert_holds /dev/mapper/snap 0 64 a
	discard /dev/mapper/snap 0 32
	assert_holds /dev/mapper/snap 0 32 0
	assert_holds /dev/mapper/snap 32 64 a
	discard /dev/mapper/snap 256 64
	assert_holds /dev/mapper/snap 256 64 a
	assert_cows snap 4 16
	assert_holds /dev/mapper/origin 0 64 b
	assert_holds /dev/mapper/origin 256 64 a
	# A zeroed chunk is still a copy.
	put /dev/mapper/origin 0 16 c
	assert_holds /dev/mapper/snap 0 16 0
	put /dev/mapper/snap 3 2 d
	assert_holds /dev/mapper/snap 3 2 d
	assert_cows snap 4 16

	# passdown: the origin's blocks are discarded as well, without copies.
	setup discard_zeroes_cow discard_passdown_origin
	put /dev/mapper/origin 0 64 b
	discard /dev/mapper/snap 0 32
	assert_holds /dev/mapper/snap 0 32 0
	assert_holds /dev/mapper/origin 0 32 0
	assert_holds /dev/mapper/origin 32 32 b
	discard /dev/mapper/snap 1024 256
	assert_holds /dev/mapper/origin 1024 256 0
	assert_holds /dev/mapper/snap 1024 256 0
	assert_holds /dev/mapper/origin 1280 64 a
	assert_cows snap 4 16

	is_ours || return 0
	# Stock gives the granularity in sectors where bytes are wanted, and then takes any discard of a chunk's length
	# for a chunk.
	assert_eq "$(dm_limit snap discard_granularity)" $((16 * 512))
	assert_eq "$(dm_limit snap discard_max_bytes)" $((16 * 512))
	setup discard_zeroes_cow
	put /dev/mapper/origin 0 128 b
	discard /dev/mapper/snap 5 64
	# Whole chunks within the range are zeroed; what is only touched may be, but only within the range.
	assert_holds /dev/mapper/snap 0 5 a
	assert_holds /dev/mapper/snap 16 48 0
	assert_holds /dev/mapper/snap 69 59 a
	setup discard_zeroes_cow discard_passdown_origin
	discard /dev/mapper/snap 5 64
	assert_holds /dev/mapper/origin 0 5 a
	assert_holds /dev/mapper/origin 69 59 a
}
