# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/fault.sh
. "$lib/fault.sh"
DESCRIPTION="resume, handover, suspend, status and remove with each of the allocations failing: no harm to the snapshot"
TIMEOUT=300
KERNELS="debug"
VM="--cpus 4 --mem 2048 --append kmemleak=on"

run_test()
{
	local o c len line before

	o=$(nullb_create size=16)
	c=$(nullb_create size=17)
	len=$(sectors "$o")
	line="0 $len $snapshot $o $c N 16"
	fill "$o" 1
	nth_setup all
	origin_create origin "$o"

	# The first time; if that fails the table is lost.
	nth --before "create snap" --before "load snap $line" --finally "remove snap" "resume snap"

	snap_create snap origin "$o" "$c" N 16
	put /dev/mapper/snap 0 16 s
	put /dev/mapper/origin 32 64 o
	before=$(checksum /dev/mapper/snap)
	# A handover that fails leaves the snapshot with the old table.
	nth --again --before "load snap $line" "resume snap"
	nth --again --after "resume snap" "suspend snap"
	nth "status snap"
	nth "table snap"
	nth --again --before "load origin 0 $len $snapshot_origin $o" "resume origin"
	nth --again --after "resume origin" "suspend origin"
	assert_cows snap 5 16
	put /dev/mapper/origin 512 16 o
	assert_cows snap 6 16
	assert_eq "$(checksum /dev/mapper/snap)" "$before" "contents of the snapshot"
	dm_remove snap

	nth --again --before "create snap" --before "load snap $line" --before "resume snap" "remove snap"
	dm_remove origin
	nth_end
}
