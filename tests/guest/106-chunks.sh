# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="several snapshots with different chunk sizes: who copies what, and what each shows"
SELDOM=debug

run_test()
{
	local o sizes=(1 8 16 128 2048) chunk i

	o=$(nullb_create size=16)
	origin_create origin "$o"
	put_blocks /dev/mapper/origin 0 16 2048 a
	for chunk in "${sizes[@]}"; do
		snap_create "snap$chunk" origin "$o" "$(nullb_create size=17)" N "$chunk"
	done

	# One sector: a chunk of each.
	put /dev/mapper/origin 100 1 b
	for chunk in "${sizes[@]}"; do
		assert_cows "snap$chunk" 1 "$chunk"
		assert_holds "/dev/mapper/snap$chunk" 0 2048 a
	done
	assert_holds /dev/mapper/origin 100 1 b
	assert_holds /dev/mapper/origin 99 1 a
	assert_holds /dev/mapper/origin 101 1 a

	# 2040 to 2057: two chunks of 2048, of 128 and of 16, three of 8, seventeen of 1.
	put /dev/mapper/origin 2040 17 c
	assert_cows snap1 18 1
	assert_cows snap8 4 8
	assert_cows snap16 3 16
	assert_cows snap128 3 128
	assert_cows snap2048 2 2048
	for chunk in "${sizes[@]}"; do
		assert_holds "/dev/mapper/snap$chunk" 2000 100 a
	done

	# Writes to a snapshot: part of a chunk keeps the rest, a whole chunk needs no copy; nobody else sees it.
	put /dev/mapper/snap16 4099 3 s
	assert_holds /dev/mapper/snap16 4096 3 a
	assert_holds /dev/mapper/snap16 4099 3 s
	assert_holds /dev/mapper/snap16 4102 20 a
	put /dev/mapper/snap16 4112 16 t
	put /dev/mapper/snap16 4128 40 u
	put /dev/mapper/snap8 4096 2048 v
	assert_cows snap16 8 16
	assert_cows snap8 $((4 + 256)) 8
	assert_holds /dev/mapper/origin 4096 2048 a
	put /dev/mapper/origin 4096 2048 d
	assert_holds /dev/mapper/snap16 4112 16 t
	assert_holds /dev/mapper/snap16 4128 40 u
	assert_holds /dev/mapper/snap16 4168 1976 a
	assert_holds /dev/mapper/snap8 4096 2048 v
	assert_holds /dev/mapper/snap128 4096 2048 a
	assert_holds /dev/mapper/origin 4096 2048 d

	# All of it.
	put_blocks /dev/mapper/origin 0 16 2048 e
	for ((i = 8192; i < 32768; i += 8192)); do
		for chunk in "${sizes[@]}"; do
			assert_holds "/dev/mapper/snap$chunk" "$i" 8192 a
		done
	done
	assert_holds /dev/mapper/origin 0 32768 e
	assert_eq "$(snap_usage snap128)" "32768/34816 0"
	assert_eq "$(snap_usage snap2048)" "32768/34816 0"
}
