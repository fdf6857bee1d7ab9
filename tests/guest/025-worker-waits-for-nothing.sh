# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="without memory for jobs and pages workers wait for nothing: snapshots and clones go on"
TIMEOUT=120
KERNELS="debug"

no_memory=/sys/kernel/debug/dm-scaled/no_memory

requires()
{
	[[ -e $no_memory ]] || skip "the module cannot run out of memory"
}

# slow_nullb OPTION...: one whose I/O ends later, so that all jobs of the reserve are in flight.
slow_nullb()
{
	nullb_create irqmode=2 completion_nsec=200000 hw_queue_depth=64 "$@"
}

# writes DEVICE MB: first writes at random, more at a time than there are jobs, all from one CPU.
writes()
{
	timeout -s KILL 60 taskset -c 0 fio --name=w --filename="$1" --rw=randwrite --bs=4k --size="$2M" --direct=1 \
		--ioengine=libaio --iodepth=128 --thread --randrepeat=0 --minimal > /tmp/fio ||
		fail "writes to $1 did not end"
}

# Areas of a persistent snapshot are zeroed by workers, copies for two snapshots get no bio for the second. That a
# worker waits for no bio is shown by dm-kcopyd-mq.worker_does_not_wait_for_bios: bios come back without a worker.
snapshots()
{
	local o c sum

	o=$(slow_nullb size=2)
	fill "$o" 6
	sum=$(checksum "$o")
	c=$(slow_nullb size=5)
	cow_clear "$c"
	origin_create origin "$o"
	snap_create snap0 origin "$o" "$c" P 8
	snap_create snap1 origin "$o" "$(slow_nullb size=5)" N 8
	snap_create snap2 origin "$o" "$(slow_nullb size=5)" N 64

	echo Y > $no_memory
	writes /dev/mapper/origin 2
	assert_eq "$(checksum /dev/mapper/snap0)" "$sum" "contents of the persistent snapshot"
	assert_eq "$(checksum /dev/mapper/snap1)" "$sum" "contents of the transient snapshot"
	assert_eq "$(checksum /dev/mapper/snap2)" "$sum" "contents of the snapshot with large chunks"
	echo N > $no_memory
	dm_remove snap0 snap1 snap2 origin
}

# The end of each of the background's batches starts as many as there is room for.
clones()
{
	clone_devices 2 irqmode=2 completion_nsec=200000 hw_queue_depth=64
	clone_create origin 8 1 no_hydration
	dmsetup message origin 0 hydration_threshold 100000
	dmsetup message origin 0 hydration_batch_size 1

	echo Y > $no_memory
	dmsetup message origin 0 enable_hydration
	wait_for 60 is_hydrated origin
	echo N > $no_memory
	dm_remove origin
	cmp "$source" "$dest" || fail "the destination differs"
}

run_test()
{
	snapshots
	cleanup_devices
	clones
}
