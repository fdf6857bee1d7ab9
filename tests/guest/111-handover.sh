# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="suspend, resume, reload with handover, rename, and every order of removal"
EACH=1
KERNELS="stock debug rt"
SELDOM=debug

# What snap has to show throughout: 4 chunks of old data, one of its own.
check()
{
	assert_cows snap "${1:-5}" 16
	assert_holds /dev/mapper/snap 0 64 a
	assert_holds /dev/mapper/snap 64 16 s
	assert_holds /dev/mapper/snap 80 64 a
	assert_holds /dev/mapper/origin 0 64 b
}

setup()
{
	put_blocks "$o" 0 4 2048 a
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" N 16
	put /dev/mapper/origin 0 64 b
	put /dev/mapper/snap 64 16 s
	check
}

run_test()
{
	local o c table i

	o=$(nullb_create size=16)
	c=$(nullb_create size=16)
	setup
	table=$(dmsetup table snap)

	# Suspend and resume.
	dmsetup suspend snap
	dmsetup resume snap
	dmsetup suspend --nolockfs --noflush snap
	dmsetup resume snap
	dmsetup suspend origin
	dmsetup resume origin
	check

	# The same table again: the exceptions must pass to the new one. Again and again, since that
	# exchanges two states.
	for i in 1 2 3 4 5; do
		dmsetup reload snap --table "$table"
		assert_cows snap 5 16
		dmsetup suspend snap
		dmsetup resume snap
		check
		assert_eq "$(dmsetup table snap)" "$table"
	done
	# New features with the handover.
	dmsetup reload snap --table "$table 1 discard_zeroes_cow"
	dmsetup suspend snap
	dmsetup resume snap
	check
	assert_eq "$(dmsetup table snap)" "$table 1 discard_zeroes_cow"
	# Another chunk size is ignored: the store that is handed over has its own.
	dmsetup reload snap --table "${table/%16/64}"
	dmsetup suspend snap
	dmsetup resume snap
	check
	assert_eq "$(dmsetup table snap)" "$table"

	# The origin is written between load and resume.
	dmsetup reload snap --table "$table"
	put /dev/mapper/origin 160 16 b
	put /dev/mapper/snap 176 16 s
	dmsetup suspend snap
	put /dev/mapper/origin 192 16 b
	dmsetup resume snap
	put /dev/mapper/origin 208 16 b
	check 9
	assert_holds /dev/mapper/snap 160 16 a
	assert_holds /dev/mapper/snap 176 16 s
	assert_holds /dev/mapper/snap 192 32 a

	# A table that is loaded and taken back.
	dmsetup reload snap --table "$table"
	dmsetup clear snap
	check 9
	# Only one table may wait for a handover, and only with the source suspended.
	dmsetup reload snap --table "$table"
	assert_fails dmsetup create other --table "$table"
	dmsetup clear snap
	dmsetup create other --notable
	dmsetup reload other --table "$table"
	assert_fails dmsetup resume other
	check 9
	# A handover from one device to another, as LVM does.
	dmsetup suspend snap
	dmsetup resume other
	assert_cows other 9 16
	assert_holds /dev/mapper/other 0 64 a
	assert_holds /dev/mapper/other 64 16 s
	put /dev/mapper/origin 320 16 b
	assert_cows other 10 16
	assert_holds /dev/mapper/other 320 16 a
	dm_remove snap
	put /dev/mapper/origin 336 16 b
	assert_cows other 11 16
	assert_holds /dev/mapper/other 320 32 a
	dmsetup rename other snap
	check 11

	# Reload of the origin, also to linear and back.
	dm_reload origin "$(dmsetup table origin)"
	put /dev/mapper/origin 400 16 b
	check 12
	dmsetup reload origin --table "0 $(sectors "$o") linear $o 0"
	dmsetup suspend origin
	dmsetup resume origin
	dmsetup reload origin --table "0 $(sectors "$o") $snapshot_origin $o"
	dmsetup suspend origin
	dmsetup resume origin
	put /dev/mapper/origin 416 16 b
	check 13
	dmsetup rename origin base
	put /dev/mapper/base 432 16 b
	dmsetup rename base origin
	check 14

	# The source of a handover goes first: the new table gets nothing and is invalid.
	dmsetup create other --notable
	dmsetup reload other --table "$table"
	dm_remove snap
	dmsetup resume other
	assert_eq "$(snap_usage other)" Invalid
	assert_fails get /dev/mapper/other 0 8
	dm_remove other origin

	# Orders of removal.
	setup
	dm_remove origin
	assert_holds /dev/mapper/snap 0 64 a
	put /dev/mapper/snap 96 16 t
	assert_cows snap 6 16
	origin_create origin "$o"
	put /dev/mapper/origin 112 16 b
	assert_cows snap 7 16
	assert_holds /dev/mapper/snap 112 16 a
	dm_remove snap origin
	setup
	dm_remove snap
	put /dev/mapper/origin 300 16 b
	snap_create snap origin "$o" "$c" N 16
	assert_cows snap 0 16
	assert_holds /dev/mapper/snap 0 64 b
	dmsetup suspend origin
	dm_remove snap
	dmsetup resume origin
	# Snapshot first, origin target later; and origin targets for one device twice.
	dm_remove origin
	dm_create snap "0 $(sectors "$o") $snapshot $o $c N 16"
	origin_create origin "$o"
	put /dev/mapper/origin 0 16 c
	assert_cows snap 1 16
	assert_holds /dev/mapper/snap 0 16 b
	dm_create second "0 $(sectors "$o") $snapshot_origin $o"
	put /dev/mapper/second 16 16 c
	assert_cows snap 2 16
	dm_remove origin
	put /dev/mapper/second 32 16 c
	assert_cows snap 3 16
	dm_remove second snap
	# Suspended ones.
	setup
	dmsetup suspend snap
	dmsetup suspend origin
	dm_remove snap origin
	setup
	dmsetup suspend snap
	dm_remove origin snap
}
