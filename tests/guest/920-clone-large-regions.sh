# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="regions of 64 and 256 MiB: each is one copy, for which all writes to it wait"
TIMEOUT=150
KERNELS=stock

# with_region MB: a clone of two regions and a half
with_region()
{
	local source dest meta region=$(($1 * 2048)) size=$(($1 * 5 / 2)) at

	source=$(nullb_create size=$size)
	dest=$(nullb_create size=$size)
	meta=$(nullb_create size=4)
	# In the other places it has zeroes.
	for at in 0 $((region - 8)) "$region" $((2 * region - 8)) $((5 * region / 2 - 8)); do
		put "$source" "$at" 8 s
	done
	clone_create clone "$region" 1 no_hydration
	assert_eq "$(clone_status clone 4)" 0/3 "hydrated"
	run_fio /tmp/writes --name=writes --filename=/dev/mapper/clone --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
		--iodepth=16 --offset=4k --size=$(($1 * 1024 - 8))k --number_ios=32
	assert_eq "$(clone_status clone 4)" 1/3 "hydrated by writes to one region"
	assert_holds "$dest" 0 8 s
	assert_holds "$dest" $((region - 8)) 8 s
	assert_holds /dev/mapper/clone "$region" 8 s
	put /dev/mapper/clone $((region + 50)) 3 x
	assert_eq "$(clone_status clone 4)" 2/3 "hydrated"
	dmsetup message clone 0 enable_hydration
	wait_for 60 is_hydrated clone
	assert_holds /dev/mapper/clone $((region + 50)) 3 x
	dm_remove clone
	assert_holds "$dest" "$region" 8 s
	assert_holds "$dest" $((region + 8)) 42 0
	assert_holds "$dest" $((region + 50)) 3 x
	assert_holds "$dest" $((2 * region - 8)) 8 s
	assert_holds "$dest" $((5 * region / 2 - 8)) 8 s
	cleanup_devices > /dev/null
}

run_test()
{
	with_region 64
	with_region 256
}
