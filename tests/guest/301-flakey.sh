# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/failing.sh
. "$lib/failing.sh"
DESCRIPTION="I/O errors of the COW device and of the origin: the snapshot fails, or is right; the origin is right"
SELDOM=debug
TIMEOUT=600
SOAK=1

setup()
{
	dev=$(below low_origin "$(nullb_create size=16)")
	cow=$(below low_cow "$(nullb_create size=17)")
	origin_create origin "$dev"
	integrity --origin /dev/mapper/origin --fill --save $model
	snap_create snap origin "$dev" "$cow" N "$1"
}

teardown()
{
	dm_remove snap origin low_cow low_origin
}

# has_copied NAME: it is valid, and at work
has_copied()
{
	[[ $(snap_usage "$1") == [1-9]*/* ]]
}

# invalid_snapshot MODE CHUNK [STORE]: the COW device begins to fail while the checker runs. The checker has the lower
# half of the devices only: however much it has copied by then, the upper half still needs copying.
invalid_snapshot()
{
	dev=$(below low_origin "$(nullb_create size=16)")
	cow=$(below low_cow "$(nullb_create size=17)")
	origin_create origin "$dev"
	dm_create half_origin "0 16384 linear /dev/mapper/origin 0"
	integrity --origin /dev/mapper/half_origin --fill --save $model
	snap_create snap origin "$dev" "$cow" "${3:-N}" "$2"
	dm_create half_snap "0 16384 linear /dev/mapper/snap 0"
	checker_start --load $model --snapshot /dev/mapper/half_snap --allow-snapshot-errors --save $model \
		--max-io 131072
	wait_for 60 has_copied snap
	tables low_cow "$1"
	put /dev/mapper/origin 16384 8
	is_invalid snap || fail "a copy failed, and the snapshot is still valid"
	sleep 0.5
	assert_eq "$(events snap)" 1 "events"
	checker_stop
	# Whatever the COW device does now, the snapshot stays invalid; the origin is not concerned.
	tables low_cow ok
	assert_fails get /dev/mapper/snap 0 8
	assert_fails put /dev/mapper/snap 0 8
	dm_remove half_snap snap
	integrity --load $model --drop-snapshot /dev/mapper/half_snap --seconds 1
	dm_remove half_origin origin low_cow low_origin
}

run_test()
{
	local dev cow before

	modprobe dm-flakey

	# Every copy fails at once. Reads and writes of chunks that were copied fail as well, in the COW device.
	invalid_snapshot all 8
	# Only writes fail: what is copied can be read until the snapshot is invalid.
	invalid_snapshot writes 64
	# Metadata, too.
	invalid_snapshot writes 8 P

	# No copies under way, only what has been copied is written and read: errors, but the snapshot remains.
	setup 16
	put_blocks /dev/mapper/snap 0 4 16 s
	tables low_cow all
	assert_fails put /dev/mapper/snap 0 16
	assert_fails get /dev/mapper/snap 0 16
	get /dev/mapper/snap 1024 16 > /dev/null
	assert_eq "$(snap_usage snap)" "64/$(sectors "$cow") 0"
	tables low_cow ok
	assert_holds /dev/mapper/snap 0 64 s
	assert_eq "$(events snap)" 0
	teardown

	# The origin cannot be read: the copy fails, the snapshot is lost, the origin's write is done.
	setup 16
	tables low_origin ok
	put_blocks /dev/mapper/origin 0 4 16 b
	tables low_origin all
	assert_fails put /dev/mapper/origin 640 8 c
	assert_eq "$(snap_usage snap)" Invalid
	tables low_origin ok
	put /dev/mapper/origin 640 8 c
	assert_holds /dev/mapper/origin 640 8 c
	assert_fails get /dev/mapper/snap 0 8
	teardown

	# The origin fails for a while, writes only: those that fail leave old or new data, the snapshot is intact.
	setup 16
	checker_start --load $model --snapshot /dev/mapper/snap --allow-origin-errors --save $model \
		--max-io 131072 --json /tmp/flakey.json
	sleep 1
	tables low_origin writes
	sleep 1.5
	tables low_origin ok
	sleep 1
	checker_stop
	grep -q '"errors": [1-9]' /tmp/flakey.json || fail "no write has failed"
	assert_match "$(snap_usage snap)" "/"
	integrity --load $model --verify-only
	teardown

	# The full-chunk write of a snapshot fails: that invalidates, as the chunk is neither old nor new.
	setup 16
	tables low_cow writes
	assert_fails put /dev/mapper/snap 32 16 x
	assert_eq "$(snap_usage snap)" Invalid
	assert_eq "$(events snap)" 1
	teardown

	# Three snapshots of equal chunk size, one with a bad COW device: only that one is lost.
	setup 16
	dm_create cow2 "0 65536 linear $(nullb_create size=33) 0"
	dm_create cow3 "0 65536 linear $(nullb_create size=33) 0"
	snap_create snap2 origin "$dev" /dev/mapper/cow2 N 16
	snap_create snap3 origin "$dev" /dev/mapper/cow3 N 16
	before=$(get /dev/mapper/snap2 0 2048)
	tables low_cow writes
	put /dev/mapper/origin 0 2048 d
	assert_eq "$(snap_usage snap)" Invalid
	assert_eq "$(snap_usage snap2)" "2048/65536 0"
	assert_eq "$(snap_usage snap3)" "2048/65536 0"
	assert_eq "$(get /dev/mapper/snap2 0 2048)" "$before"
	assert_eq "$(get /dev/mapper/snap3 0 2048)" "$before"
	assert_holds /dev/mapper/origin 0 2048 d
}
