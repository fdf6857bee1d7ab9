# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/fault.sh
. "$lib/fault.sh"
DESCRIPTION="I/O without memory: no harm if the allocation may not wait; a snapshot without an exception is invalid"
TIMEOUT=180
KERNELS="debug"
# That of the other tests with the module for faults.
VM="--cpus 4 --mem 2048 --append kmemleak=on"

# null_blk takes memory for what is written for the first time, and fails the write if there is none.
full_nullb()
{
	local device

	device=$(nullb_create size="$1")
	dd if=/dev/zero of="$device" bs=1M count="$1" oflag=direct status=none
	echo "$device"
}

# no_harm KIND...: with these faults in force everything is right and goes on, and no snapshot becomes invalid.
no_harm()
{
	local name kind snaps=()

	for name in snap0 snap1 snap2; do
		snaps+=(--snapshot "/dev/mapper/$name")
	done
	snapshots 8 64 1024
	checker_start --load $model --save $model "${snaps[@]}" --hang-timeout 100
	for kind in "$@"; do
		faults "$kind" probability="$percent"
	done
	sleep "$(long_or 60 4)"
	for kind in "$@"; do
		echo "$kind, $percent %: $(fault_count "$kind") faults"
		assert_le 1 "$(fault_count "$kind")" "faults"
		echo 0 > "$debug/$kind/probability"
	done
	checker_stop
	for name in snap0 snap1 snap2; do
		assert_match "$(snap_usage "$name")" / "$name"
	done
	dm_remove snap0 snap1 snap2
	# The next ones have the same names.
	integrity --load $model --save $model --no-verify "${snaps[@]/#--snapshot/--drop-snapshot}"
}

# snapshots CHUNK-SIZE...
snapshots()
{
	local i=0 size

	for size in "$@"; do
		snap_create "snap$i" origin "$dev" "${cows[i]}" N "$size"
		i=$((i + 1))
	done
}

# Without memory for an exception its snapshot is invalid, which the log gives as the reason.
lost_exceptions()
{
	# Without memory a group of exceptions does not grow, and each exception beside it takes the memory that its pending
	# exception has brought: of that, what idle pending exceptions keep is not enough for the 512 chunks of the last one.
	snapshots 8 16 64
	log_mark
	# All of them: with some of them only, a snapshot of two groups may have all its chunks before one fails.
	faults fail_callers probability=100 wait=Y
	checker_start --load $model --save $model --snapshot /dev/mapper/snap0 --snapshot /dev/mapper/snap1 \
		--snapshot /dev/mapper/snap2 --hang-timeout 100 --allow-snapshot-invalid
	for name in snap0 snap1 snap2; do
		wait_for 60 is_invalid "$name"
	done
	sleep "$(long_or 60 1)"
	faults fail_callers probability=0
	checker_stop
	log_since | grep 'Snapshot is now invalid' > /tmp/reasons
	assert_eq "$(wc -l < /tmp/reasons)" 3 "messages"
	assert_eq "$(grep -c 'no memory for an exception' /tmp/reasons)" 3 "messages about memory"
}

run_test()
{
	local cows=() percent name

	# Our own allocations only: those of the checker's system calls are not to fail.
	fault_module
	faults fail_callers wait=N
	# Anybody's, but only those that may not wait.
	faults failslab ignore-gfp-wait=Y cache-filter=N
	faults fail_page_alloc ignore-gfp-wait=Y min-order=0
	dev=$(full_nullb 16)
	cows=("$(full_nullb 17)" "$(full_nullb 17)" "$(full_nullb 17)")
	origin_create origin "$dev"
	integrity --origin /dev/mapper/origin --fill --save $model

	for percent in 30 100; do
		no_harm fail_callers
	done
	percent=10
	no_harm failslab fail_page_alloc
	lost_exceptions
}
