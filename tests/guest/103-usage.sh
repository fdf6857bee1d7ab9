# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="usage counts exactly the chunks copied, whoever copied them"
SELDOM=debug
TIMEOUT=300

run_test()
{
	local o c cpu pids=() cpus

	o=$(nullb_create size=64)
	c=$(nullb_create size=32)
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" N 8
	assert_eq "$(snap_usage snap)" "0/$(sectors "$c") 0"

	put /dev/mapper/origin 0 8
	assert_cows snap 1
	put /dev/mapper/origin 0 8 y
	assert_cows snap 1
	put /dev/mapper/origin 9 1
	assert_cows snap 2
	put /dev/mapper/snap 8 8
	put /dev/mapper/snap 15 1
	assert_cows snap 2
	put /dev/mapper/snap 16 1
	assert_cows snap 3
	put /dev/mapper/origin 16 8
	assert_cows snap 3
	put /dev/mapper/snap 24 8
	assert_cows snap 4
	# One request over several chunks, not aligned: chunks 4 to 20.
	put /dev/mapper/origin 36 130
	assert_cows snap 21
	put /dev/mapper/snap 36 132
	assert_cows snap 21
	dd if=/dev/mapper/snap of=/dev/null bs=1M iflag=direct status=none
	dd if=/dev/mapper/origin of=/dev/null bs=1M iflag=direct status=none
	assert_eq "$(snap_usage snap)" "168/$(sectors "$c") 0"

	# All CPUs at once on chunks of their own: nothing is lost or counted twice.
	cpus=$(nproc)
	for ((cpu = 0; cpu < cpus; cpu++)); do
		taskset -c "$cpu" fio --name=cow --filename=/dev/mapper/origin --rw=randwrite --bs=4k \
			--direct=1 --ioengine=libaio --iodepth=16 --offset="$((4 + 4 * cpu))m" \
			--size=4m --output=/dev/null &
		pids+=($!)
	done
	for cpu in "${pids[@]}"; do
		wait "$cpu"
	done
	assert_cows snap $((21 + cpus * 1024))
	fio --name=again --filename=/dev/mapper/origin --rw=randwrite --bs=4k --direct=1 \
		--ioengine=libaio --iodepth=16 --offset=4m --size="$((cpus * 4))m" --output=/dev/null
	assert_cows snap $((21 + cpus * 1024))
	# Every reader of one chunk makes one copy of it.
	fio --name=same --filename=/dev/mapper/origin --rw=randwrite --bs=512 --direct=1 \
		--ioengine=libaio --iodepth=32 --offset=40m --size=64k --numjobs=4 --loops=4 \
		--output=/dev/null
	assert_cows snap $((21 + cpus * 1024 + 16))
}
