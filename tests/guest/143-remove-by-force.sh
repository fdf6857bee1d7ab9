# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="suspend --noflush and remove --force of a snapshot whose I/O is held up below: they end when that does"
TIMEOUT=90
KERNELS=stock

# hold_up SECTOR: a write to the snapshot and one to the origin wait for the device below
hold_up()
{
	dmsetup suspend below
	put /dev/mapper/snap "$1" 4 s & to_snap=$!
	put /dev/mapper/origin $(($1 + 800)) 8 b & to_origin=$!
	wait_for 10 is_in_flight snap
	wait_for 10 is_in_flight origin
}

run_test()
{
	local o c to_snap to_origin other

	o=$(nullb_create size=4)
	c=$(nullb_create size=8)
	put_blocks "$o" 0 4 2048 a
	pattern s > /dev/null
	pattern b > /dev/null
	cow_clear "$c"
	dm_create below "0 8192 linear $o 0"
	origin_create origin /dev/mapper/below
	snap_create snap origin /dev/mapper/below "$c" P

	hold_up 800
	dmsetup suspend --noflush snap & other=$!
	sleep 0.5
	assert_match "$(dmsetup table --noflush snap)" "$snapshot"
	dmsetup resume below
	wait "$to_snap" "$to_origin" "$other"
	assert_eq "$(dmsetup info -c --noheadings -o suspended snap)" Suspended
	dmsetup resume snap
	assert_holds /dev/mapper/snap 800 4 s
	assert_holds /dev/mapper/snap 804 4 a
	assert_holds /dev/mapper/snap 1600 8 a

	# What it has begun ends; what comes later fails.
	hold_up 3200
	dmsetup remove --force snap & other=$!
	sleep 0.5
	dmsetup resume below
	wait "$to_origin"
	wait "$to_snap" || true
	wait "$other" || dm_remove snap
	assert_eq "$(dmsetup info -c --noheadings -o name | grep -c '^snap$' || true)" 0 "devices named snap"
	assert_holds /dev/mapper/origin 1600 8 b
	assert_holds /dev/mapper/origin 4000 8 b

	snap_create snap origin /dev/mapper/below "$c" P
	assert_holds /dev/mapper/snap 0 800 a
	assert_holds /dev/mapper/snap 800 4 s
	assert_holds /dev/mapper/snap 804 2396 a
	assert_holds /dev/mapper/snap 3204 4988 a
	dm_remove snap origin below
}
