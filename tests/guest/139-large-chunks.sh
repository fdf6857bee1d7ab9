# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="chunks of 64 and 256 MiB: each is one copy, for which all writes to it wait"
TIMEOUT=150
KERNELS=stock

# writes NAME: to both chunks of a device, 16 at a time
writes()
{
	run_fio /tmp/writes --name=writes --filename="/dev/mapper/$1" --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
		--iodepth=16 --numjobs=2 --group_reporting --number_ios=64 --buffer_pattern='"w"'
}

# with_chunk MB STORE COW_MB: an origin of two chunks
with_chunk()
{
	local mb=$1 store=$2 o c chunk=$(($1 * 2048)) at

	o=$(nullb_create size=$((2 * mb)))
	c=$(nullb_create size="$3")
	# In the other places it has zeroes.
	for at in 0 $((chunk - 8)) "$chunk" $((2 * chunk - 8)); do
		put "$o" "$at" 8 a
	done
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" "$store" "$chunk"
	put /dev/mapper/origin $((chunk - 8)) 1 b
	assert_holds /dev/mapper/snap $((chunk - 8)) 16 a
	assert_holds /dev/mapper/snap 0 8 a
	assert_holds "$o" $((chunk - 8)) 1 b
	writes origin
	if [[ $store == N ]]; then
		assert_cows snap 2 "$chunk"
	else
		dm_remove snap
		snap_create snap origin "$o" "$c" P "$chunk"
		assert_eq "$(snap_usage snap)" "$((4 * chunk))/$(sectors "$c") $((2 * chunk))"
	fi
	for at in 0 $((chunk - 8)) "$chunk" $((2 * chunk - 8)); do
		assert_holds /dev/mapper/snap "$at" 8 a
	done
	assert_holds /dev/mapper/snap 8 16384 0
	assert_holds /dev/mapper/snap $((chunk + 16384)) 16384 0
	# Nothing of it can be allocated any more.
	put /dev/mapper/snap $((chunk + 100)) 3 s
	assert_holds /dev/mapper/snap $((chunk + 100)) 3 s
	dm_remove snap origin
	cleanup_devices > /dev/null
}

run_test()
{
	with_chunk 64 N 128
	with_chunk 64 P 257
	with_chunk 256 N 512
}
