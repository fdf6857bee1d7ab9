# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/fault.sh
. "$lib/fault.sh"
DESCRIPTION="creating targets with each of the allocations failing: an error that says so, and nothing lost"
TIMEOUT=300
KERNELS="debug"
VM="--cpus 4 --mem 2048 --append kmemleak=on"

# create TABLE: -ENODEV is device-mapper's, for a device that it has no memory to open; -EIO and
# -ENOSPC are those of a device that has no memory for what is written to it.
create()
{
	nth "${device_errors[@]}" --after "clear new" "load new $1"
}

run_test()
{
	local o c len

	o=$(nullb_create size=16)
	c=$(nullb_create size=64)
	len=$(sectors "$o")
	nth_setup ours
	dmsetup create new --notable

	create "0 $len $snapshot_origin $o"
	assert_seen "No memory for the origin target" "Cannot open the origin device" "No memory for the origin"

	# Large tables, then, with LONG=1, small ones for an origin that is there.
	create "0 $len $snapshot $o $c N 1"
	assert_seen "No memory for the snapshot target" "Cannot open the COW device" "No memory for the snapshot" \
		"No memory for the exception store" "No memory for the table of exceptions" \
		"No memory for pending exceptions" "No memory for the counter of copies" \
		"No memory for the counter of pending exceptions" "Cannot create a client of the copy engine"
	origin_create origin "$o"
	[[ ! ${LONG:-} ]] || create "0 $len $snapshot $o $c N 2048 2 discard_zeroes_cow discard_passdown_origin"

	# A new snapshot on the disk, then one that is loaded.
	create "0 $len $snapshot $o $c P 8"
	assert_seen "No memory for the COW device's header" "Cannot set up the log of the COW device"
	create "0 $len merge-scaled $o $c P 8"
	assert_seen "No memory for the merge" "Cannot create a client of dm-bufio"

	dm_remove origin new
	nth_end
}
