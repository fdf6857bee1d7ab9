# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a snapshot target that is not the first in its table shows what the origin was, up to its end"
TIMEOUT=200
KERNELS=stock

# shows_old TARGET_OF_SNAPSHOT TARGET_OF_ORIGIN STORE
shows_old()
{
	local sector

	put_blocks "$o" 0 16 2048 a
	cow_clear "$c"
	dm_create origin "0 32768 $2 $o"
	dmsetup suspend origin
	# Sectors of the table are those of the origin, in stock, too.
	dm_create snap "0 8192 zero
8192 16384 $1 $o $c $3 8
24576 8192 error"
	dmsetup resume origin
	for sector in 8192 16000 24568; do
		put /dev/mapper/origin $sector 8 b
		assert_holds /dev/mapper/snap $sector 8 a
	done
	put /dev/mapper/snap 20000 8 s
	assert_holds /dev/mapper/snap 20000 8 s
	assert_holds "$o" 20000 8 a
}

run_test()
{
	local o c store used i

	o=$(nullb_create size=16)
	c=$(nullb_create size=24)
	modprobe dm-snapshot
	for store in N P; do
		shows_old snapshot snapshot-origin $store
		dm_remove snap origin
		shows_old snapshot-scaled origin-scaled $store
		# What is behind the end is not copied. (Stock copies up to the end of the table.)
		used=$(dmsetup status snap | grep snapshot)
		put /dev/mapper/origin 24576 8 b
		assert_eq "$(dmsetup status snap | grep snapshot)" "$used" "status of the snapshot"
		# A new table that ends later: what was not copied cannot come back, what is written then is.
		dmsetup reload snap --table "0 8192 zero
8192 24576 snapshot-scaled $o $c $store 8"
		dmsetup suspend origin
		dmsetup resume snap
		dmsetup resume origin
		put /dev/mapper/origin 32760 8 b
		assert_holds /dev/mapper/snap 32760 8 a
		assert_holds /dev/mapper/snap 8192 8 a
		# It gets the chunk size of the snapshot, whatever the table says.
		log_mark
		assert_fails dmsetup reload snap --table "0 8196 zero
8196 16384 snapshot-scaled $o $c $store 4"
		assert_match "$(log_since)" "Target begins within a chunk"
		dm_remove snap
		if [[ $store == P ]]; then
			# Nothing is merged beside where the target is.
			dmsetup reload origin --table "0 8192 linear $o 0
8192 24576 merge-scaled $o $c P 8"
			dmsetup suspend origin
			dmsetup resume origin
			for ((i = 0; i < 100; i++)); do
				[[ $(dmsetup status origin) != *"merge-scaled 16/49152 16" ]] || break
				sleep 0.1
			done
			assert_match "$(dmsetup status origin)" "merge-scaled 16/49152 16"
			assert_holds /dev/mapper/origin 8192 8 a
			assert_holds /dev/mapper/origin 20000 8 s
			assert_holds /dev/mapper/origin 24576 8 b
		fi
		dm_remove origin
	done
	cow_clear "$c"
	log_mark
	assert_fails dmsetup create snap --table "0 8 zero
8 16384 snapshot-scaled $o $c P 16"
	assert_match "$(log_since)" "begins at sector 8: must be a multiple of the chunk size, 16 sectors"
	assert_holds "$c" 0 8 0
	# Beyond the end of the origin.
	assert_fails dmsetup create snap --table "0 8192 zero
8192 32768 snapshot-scaled $o $c N 8"
	dmsetup remove snap || true
	modprobe -r dm-snapshot
}
