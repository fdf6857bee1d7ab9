# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a read-only snapshot, beside a writable one: it has what its origin was, and is there again later"
KERNELS=stock

# read_only_create STORE: a read-only snapshot "ro" of the origin on $c
read_only_create()
{
	dmsetup suspend origin
	dmsetup create -r ro --table "0 $(sectors "$o") $snapshot $o $c $1 8"
	dmsetup resume origin
}

run_test()
{
	local o c store

	o=$(nullb_create size=16)
	for store in N P; do
		c=$(nullb_create size=20)
		put_blocks "$o" 0 16 2048 a
		origin_create origin "$o"
		read_only_create $store
		assert_eq "$(blockdev --getro /dev/mapper/ro)" 1 "read-only"
		snap_create rw origin "$o" "$(nullb_create size=20)" $store

		put /dev/mapper/origin 100 1 b
		put_blocks /dev/mapper/origin 4096 2 2048 c
		put /dev/mapper/rw 200 3 d
		assert_fails put /dev/mapper/ro 300 8 e
		assert_holds /dev/mapper/ro 0 32768 a
		assert_holds /dev/mapper/rw 200 3 d
		assert_holds /dev/mapper/rw 203 20000 a
		assert_holds /dev/mapper/origin 100 1 b
		if [[ $store == N ]]; then
			assert_cows ro $((1 + 512))
		else
			# Nothing may write to it, but its origin is still told.
			dm_remove ro
			read_only_create P
			put /dev/mapper/origin 8192 8 f
			assert_holds /dev/mapper/ro 0 32768 a
		fi
		dm_remove ro rw origin
	done
}
