# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a persistent snapshot with the largest chunk, 1 GiB: copied, loaded again and merged"
TIMEOUT=150
KERNELS=stock

chunk=$((1 << 21))

# nothing_but NAME DEVICE CHUNKS: DEVICE is at the chunks' first and last 1 MiB, what is between them is nothing
nothing_but()
{
	local i at table=''

	for ((i = 0; i < $3; i++)); do
		at=$((i * chunk))
		table+="$at 2048 linear $2 $((i * 4096))"$'\n'
		table+="$((at + 2048)) $((chunk - 4096)) zero"$'\n'
		table+="$((at + chunk - 2048)) 2048 linear $2 $((i * 4096 + 2048))"$'\n'
	done
	dmsetup create "$1" <<< "$table"
}

# both_chunks DEVICE: what the snapshot has
both_chunks()
{
	assert_holds "$1" 0 2048 a
	assert_holds "$1" 2048 2048 0
	assert_holds "$1" $((chunk - 2048)) 4096 a
	assert_holds "$1" $((2 * chunk - 2048)) 2040 a
	assert_holds "$1" $((2 * chunk - 8)) 8 s
}

run_test()
{
	local o c table

	o=$(nullb_create size=4)
	c=$(nullb_create size=8)
	put_blocks "$o" 0 4 2048 a
	nothing_but under "$o" 2
	nothing_but cow "$c" 4
	origin_create origin /dev/mapper/under
	table="0 $((2 * chunk)) snapshot-scaled /dev/mapper/under /dev/mapper/cow P"
	assert_fails dm_create snap "$table $((2 * chunk))"
	snap_create snap origin /dev/mapper/under /dev/mapper/cow P $chunk
	# A write across the end of a chunk needs both.
	put /dev/mapper/origin $((chunk - 8)) 16 b
	put /dev/mapper/snap $((2 * chunk - 8)) 8 s
	assert_eq "$(snap_usage snap)" "$((4 * chunk))/$((4 * chunk)) $((2 * chunk))"
	both_chunks /dev/mapper/snap

	dm_remove snap
	dm_create snap "$table 0"
	assert_match "$(dmsetup table snap)" " P $chunk$"
	both_chunks /dev/mapper/snap
	assert_holds "$o" 4088 16 b
	merge_start "0 $((2 * chunk)) merge-scaled /dev/mapper/under /dev/mapper/cow P $chunk"
	wait_for 60 is_merged origin $chunk
	dm_remove origin
	both_chunks /dev/mapper/under
	dm_remove under cow
}
