# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/fault.sh
. "$lib/fault.sh"
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="clones with each of the allocations failing: made, resumed, handed over, suspended, removed; and I/O"
TIMEOUT=300
KERNELS="debug"
VM="--cpus 4 --mem 2048 --append kmemleak=on"

# Without memory for what may not wait, copies and commits go on from their reserves.
load_without_memory()
{
	local kind

	faults fail_callers wait=N probability=50
	faults failslab ignore-gfp-wait=Y cache-filter=N probability=10
	clone_load_and 8 "" "sleep 0.5"
	for kind in fail_callers failslab; do
		echo "$kind: $(fault_count $kind) faults"
		assert_le 1 "$(fault_count $kind)" "faults of $kind"
		faults $kind probability=0
	done
}

run_test()
{
	local source dest meta line small

	clone_devices 16
	line=$(clone_table 64 1 no_hydration)
	small=$(clone_table 8 "2 no_hydration no_discard_passdown 4 hydration_threshold 1 hydration_batch_size 1")
	nth_setup ours
	dmsetup create clone --notable

	# -EIO is that of a device that has no memory for what is written to it.
	nth "${device_errors[@]}" --before "clear clone" --after "clear clone" "load clone $line"
	assert_seen "No memory for the clone target" "No memory for the clone" "No memory for the table line" \
		"No memory for the copy engine" "No memory for the hydration" "No memory for the clone's bitmap" \
		"No memory for the metadata device's buffers"
	if [[ $LONG ]]; then
		meta_clear
		nth "${device_errors[@]}" --before "clear clone" --after "clear clone" "load clone $small"
	fi
	dm_remove clone
	meta_clear

	# If that fails the table is lost.
	nth "${lost_request[@]}" --before "create clone" --before "load clone $line" --finally "remove clone" "resume clone"
	clone_create clone 64 1 no_hydration
	put /dev/mapper/clone 640 64 a
	nth "${lost_request[@]}" --again --before "load clone $line" "resume clone"
	nth --again --after "resume clone" "suspend clone"
	nth "status clone"
	nth "table clone"
	put /dev/mapper/clone 1281 1 a
	assert_eq "$(hydrated clone)" 2
	assert_holds /dev/mapper/clone 640 64 a
	assert_holds /dev/mapper/clone 1281 1 a
	assert_holds /dev/mapper/clone 1282 62 s
	dm_remove clone
	nth --again --before "create clone" --before "load clone $line" --before "resume clone" "remove clone"
	meta_clear
	load_without_memory
	nth_end
}
