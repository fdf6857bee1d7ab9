# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="what meets a region of a clone that is being copied: writes, reads, discards, flushes, suspending"
SELDOM=debug

# hold [NAME]: from here on the source, or that part of it, does not answer; and now it does.
hold()
{
	dmsetup suspend --noflush --nolockfs "${1:-held}"
}

let_go()
{
	dmsetup resume "${1:-held}"
}

run_test()
{
	local source dest meta disk pids=() suspending i

	clone_devices 16
	disk=$source
	dm_create held "0 32768 linear $disk 0"
	source=/dev/mapper/held
	clone_create clone 64 1 no_hydration

	# A part is written, for which the region is copied. Discarding it meanwhile changes nothing for what is written
	# then: the copy does not come after that.
	hold
	put /dev/mapper/clone 640 1 a &
	pids=($!)
	wait_for 60 is_copying clone -eq 1
	blkdiscard -f -o $((640 * 512)) -l $((64 * 512)) /dev/mapper/clone
	put /dev/mapper/clone 650 1 b &
	pids+=($!)
	sleep 0.5
	let_go
	wait "${pids[@]}"
	wait_for 60 is_copying clone -eq 0
	assert_holds /dev/mapper/clone 640 1 a
	assert_holds /dev/mapper/clone 650 1 b

	# Many wait for one copy, and each gets what it wanted. Who needs no copy does not wait for theirs.
	pids=()
	pattern c > /dev/null
	hold
	for ((i = 0; i < 20; i++)); do
		put /dev/mapper/clone $((1280 + i)) 1 c &
		pids+=($!)
	done
	wait_for 60 is_copying clone -eq 1
	put /dev/mapper/clone 6400 64 d
	put /dev/mapper/clone 650 2 e
	sync /dev/mapper/clone
	assert_holds /dev/mapper/clone 6400 64 d
	let_go
	wait "${pids[@]}"
	assert_holds /dev/mapper/clone 1280 20 c
	assert_holds /dev/mapper/clone 1300 44 s
	assert_eq "$(hydrated clone)" 3

	# Suspending waits for those that wait.
	hold
	put /dev/mapper/clone 1921 1 e &
	pids=($!)
	wait_for 60 is_copying clone -eq 1
	dmsetup suspend clone &
	suspending=$!
	sleep 0.5
	kill -0 "$suspending" || fail "suspended with a copy under way"
	let_go
	wait "$suspending" "${pids[@]}"
	assert_eq "$(clone_status clone 5)" 0 "being copied when suspended"
	dmsetup resume clone
	assert_holds /dev/mapper/clone 1921 1 e

	# And for what the background copies, which a flush does not wait for. While somebody reads it copies one batch, of
	# 32 KiB; with nobody there it would begin with one region after 20 ms, which a test may be too late for. That read
	# is over before the rest begins.
	dm_remove clone
	meta_clear
	dm_create end "0 16384 linear $disk 16384"
	dm_create both "0 16384 linear /dev/mapper/held 0
16384 16384 linear /dev/mapper/end 0"
	source=/dev/mapper/both
	clone_create clone 16 1 no_hydration
	put /dev/mapper/clone 640 16 f
	dmsetup message clone 0 hydration_threshold 4
	dmsetup message clone 0 hydration_batch_size 4
	hold
	hold end
	get /dev/mapper/clone 20000 1 > /dev/null &
	pids=($!)
	wait_for 60 is_in_flight clone
	dmsetup message clone 0 enable_hydration
	wait_for 60 is_copying clone -eq 4
	let_go end
	wait "${pids[@]}"
	put /dev/mapper/clone 650 1 g
	sync /dev/mapper/clone
	assert_eq "$(hydrated clone)" 1
	dmsetup message clone 0 disable_hydration
	dmsetup suspend clone &
	suspending=$!
	sleep 0.5
	kill -0 "$suspending" || fail "suspended with a copy under way"
	let_go
	wait "$suspending"
	dm_remove clone
	clone_create clone 16 1 no_hydration
	assert_eq "$(hydrated clone)" 5 "regions that were copied are remembered"
	assert_holds /dev/mapper/clone 640 10 f
	assert_holds /dev/mapper/clone 650 1 g
	assert_holds /dev/mapper/clone 651 5 f
	dm_remove clone both end held
}
