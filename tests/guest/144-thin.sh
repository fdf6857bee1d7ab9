# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="origin and COW device on thin volumes: a merge; without room in the pool I/O waits for it, or errors"
TIMEOUT=120
KERNELS=stock

requires()
{
	modprobe -q dm-thin-pool || skip "no dm-thin-pool here"
}

# A block of the pool, and a chunk: each chunk that is copied takes a new block.
chunk=128

# pool_create BLOCKS [FEATURE]: a pool "pool", with thin volumes "under", "cow" and "other"
pool_create()
{
	local id=0 name

	blocks=$1 feature=${2:-}
	dd if=/dev/zero of="$meta" bs=4k count=1 oflag=direct status=none
	dm_create pool "$(pool_table "$blocks")"
	for name in under cow other; do
		dmsetup message pool 0 "create_thin $id"
		dm_create $name "0 $((64 * chunk)) thin /dev/mapper/pool $id"
		id=$((id + 1))
	done
}

pool_table()
{
	echo "0 $(($1 * chunk)) thin-pool $meta $data $chunk 0 ${feature:+1 $feature}"
}

# pool_extend BLOCKS: by so many
pool_extend()
{
	blocks=$((blocks + $1))
	dm_reload pool "$(pool_table "$blocks")"
}

# pool_use BLOCKS: all but so many
pool_use()
{
	local used

	used=$(dmsetup status pool | cut -d' ' -f6)
	put_blocks /dev/mapper/other 0 $((blocks - ${used%/*} - $1)) $chunk z
	assert_match "$(dmsetup status pool)" " $((blocks - $1))/$blocks "
}

pool_is_full()
{
	[[ $(dmsetup status pool) == *" out_of_data_space "* ]]
}

# setup BLOCKS [FEATURE]: an origin of which a half has data, and a snapshot, with a COW device that has data in three
# blocks: the header, the exceptions and what was in chunk 0
setup()
{
	pool_create "$@"
	put_blocks /dev/mapper/under 0 2 2048 a
	origin_create origin /dev/mapper/under
	snap_create snap origin /dev/mapper/under /dev/mapper/cow P $chunk
	put /dev/mapper/origin 0 8 b
	assert_holds /dev/mapper/snap 0 4096 a
}

remove_all()
{
	dm_remove snap origin other cow under pool
}

# What has no block yet is copied as zeroes; the merge gives it a block.
merges()
{
	setup 256
	put /dev/mapper/origin 5000 8 b
	put /dev/mapper/snap 100 8 s
	put_blocks /dev/mapper/snap 7000 4 $chunk s
	assert_holds /dev/mapper/snap 4096 2904 0
	merge_start "$merge_table"
	wait_for 30 is_merged origin $chunk
	dm_remove origin
	assert_holds /dev/mapper/under 0 100 a
	assert_holds /dev/mapper/under 100 8 s
	assert_holds /dev/mapper/under 108 3988 a
	assert_holds /dev/mapper/under 4096 2904 0
	assert_holds /dev/mapper/under 7000 512 s
	assert_holds /dev/mapper/under 7512 680 0
	dm_remove other cow under pool
}

# waits PID: it still does
waits()
{
	sleep 0.3
	kill -0 "$1"
}

# The pool has no room for a copy, then none for what the origin writes. What needs no room goes on meanwhile.
wait_for_room()
{
	local write

	setup 64
	pool_use 0
	put /dev/mapper/origin $chunk 8 b & write=$!
	wait_for 10 pool_is_full
	put /dev/mapper/origin 8 8 b
	assert_holds /dev/mapper/snap 0 4096 a
	assert_holds /dev/mapper/origin $chunk 8 a
	waits $write
	pool_extend 1
	wait $write
	assert_holds /dev/mapper/origin $chunk 8 b
	assert_holds /dev/mapper/snap 0 4096 a

	pool_use 0
	pool_extend 1
	put /dev/mapper/origin 5000 8 b & write=$!
	wait_for 10 pool_is_full
	assert_holds /dev/mapper/snap 5000 8 0
	waits $write
	pool_extend 1
	wait $write
	assert_holds /dev/mapper/origin 5000 8 b
	assert_holds /dev/mapper/snap 4096 4096 0
	assert_eq "$(snap_usage snap)" "$((5 * chunk))/$((64 * chunk)) $((2 * chunk))"
	remove_all
}

# Without room below the origin its write fails, and nothing else. Without room for a copy the snapshot becomes invalid,
# and the origin is written.
errors()
{
	setup 64 error_if_no_space
	pool_use 1
	assert_fails put /dev/mapper/origin 5000 8 b
	assert_holds /dev/mapper/snap 4096 4096 0
	assert_holds /dev/mapper/origin 4096 4096 0
	assert_match "$(snap_usage snap)" "^$((4 * chunk))/"
	put /dev/mapper/origin $chunk 8 b
	assert_holds /dev/mapper/origin $chunk 8 b
	assert_eq "$(snap_usage snap)" Invalid
	remove_all
}

has_failed()
{
	[[ $(snap_usage origin) == "Merge failed" ]]
}

# A merge fails that finds no room below the origin; one that is begun when there is room ends.
merge_errors()
{
	setup 64 error_if_no_space
	put_blocks /dev/mapper/snap 5120 3 $chunk s
	pool_use 1
	merge_start "$merge_table"
	wait_for 10 has_failed
	assert_holds /dev/mapper/origin 0 4096 a
	assert_holds /dev/mapper/origin 5120 384 s
	dm_remove origin
	pool_extend 2
	dm_create origin "$merge_table"
	wait_for 30 is_merged origin $chunk
	dm_remove origin
	assert_holds /dev/mapper/under 0 4096 a
	assert_holds /dev/mapper/under 4096 1024 0
	assert_holds /dev/mapper/under 5120 384 s
	assert_holds /dev/mapper/under 5504 2688 0
	dm_remove other cow under pool
}

run_test()
{
	local meta data blocks feature merge_table

	merge_table="0 $((64 * chunk)) $(is_ours && echo merge-scaled || echo snapshot-merge)"
	merge_table+=" /dev/mapper/under /dev/mapper/cow P $chunk"
	is_ours || modprobe dm-snapshot
	meta=$(nullb_create size=4)
	data=$(nullb_create size=20)
	merges
	wait_for_room
	errors
	merge_errors
}
