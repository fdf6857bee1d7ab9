# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="handing a snapshot over: its status is known meanwhile, and a merge waits for its last exceptions"
KERNELS=debug

requires()
{
	requires_delays
}

# The table of a snapshot is exchanged; the new one takes the snapshot over late.
status_meanwhile()
{
	local usage resume

	cow_clear "$c"
	snap_create s1 - "$o" "$c" P 8
	put /dev/mapper/s1 160 8 s
	usage=$(snap_usage s1)
	delay_set snap-scaled:take-over 2000 1000 1
	dmsetup reload s1 --table "$(dmsetup table s1)"
	assert_eq "$(snap_usage s1)" "$usage"
	dmsetup suspend s1
	assert_eq "$(snap_usage s1)" "$usage"
	dmsetup resume s1 & resume=$!
	wait_for 60 delay_was_hit snap-scaled:take-over
	assert_eq "$(snap_usage s1)" "$usage" "status between two tables"
	wait "$resume"
	assert_eq "$(snap_usage s1)" "$usage"
	delays_off
	dm_remove s1
}

# A read of the origin by the snapshot keeps a copied chunk pending; when it ends, the worker that is to put the
# exception into the table is late. Meanwhile the origin's device becomes the one that merges.
exceptions_late()
{
	local reader

	put_blocks "$o" 0 4 2048 a
	cow_clear "$c"
	dm_create slow "$(delay_table "$o" 0)"
	hold_reads slow "$o"
	origin_create origin /dev/mapper/slow
	dm_create s1 "0 $(sectors "$o") $snapshot /dev/mapper/slow $c P 8"
	dmsetup reload origin --table "0 $(sectors "$o") merge-scaled /dev/mapper/slow $c P 8"
	get /dev/mapper/s1 80 8 > /dev/null & reader=$!
	wait_for 60 is_holding slow 1
	soon put /dev/mapper/s1 80 8 s
	# Its exception is durable, and in the table as soon as the reader has gone.
	soon sync -d /dev/mapper/s1
	delay_set snap-pending:replace 5000 1000 1
	let_go_reads slow "$o"
	wait "$reader"
	wait_for 60 delay_was_hit snap-pending:replace
	dmsetup suspend s1
	dmsetup suspend origin
	dmsetup resume origin
	assert_holds /dev/mapper/origin 80 8 s
	wait_for 40 is_merged origin
	assert_holds /dev/mapper/origin 80 8 s
	delays_off
	dm_remove s1 origin slow
}

run_test()
{
	local o c

	modprobe dm-delay
	o=$(nullb_create size=4)
	c=$(nullb_create size=4)
	pattern s > /dev/null
	status_meanwhile
	exceptions_late
}
