# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a discard that is as long as a chunk but begins within one touches no sector that it does not name"
TIMEOUT=150
KERNELS=stock

requires()
{
	is_ours || skip "stock's zeroes other sectors"
}

run_test()
{
	local o c store number features

	o=$(nullb_create size=16 discard=1)
	c=$(nullb_create size=16 discard=1)
	for store in N P; do
		for number in 1 2; do
			features="1 discard_zeroes_cow"
			((number == 1)) || features="2 discard_zeroes_cow discard_passdown_origin"
			put_blocks "$o" 0 16 2048 a
			cow_clear "$c"
			dm_create snap "0 16384 $snapshot $o $c $store 8 $features"
			put_blocks /dev/mapper/snap 0 64 8 s
			# Its sector 0 is sector 4 of the snapshot, and so on: chunks 1 to 3 are whole ones of those.
			dm_create lin "0 8192 linear /dev/mapper/snap 4"
			blkdiscard -o 0 -l 4096 /dev/mapper/lin
			assert_holds /dev/mapper/snap 0 4 s
			assert_holds /dev/mapper/snap 12 28 s
			# Parts of chunks, across their border.
			blkdiscard -o 10240 -l 2048 /dev/mapper/lin
			assert_holds /dev/mapper/snap 12 12 s
			assert_holds /dev/mapper/snap 28 100 s
			# From the middle of one chunk to the middle of another: what is whole is zeroed.
			blkdiscard -o 32768 -l 12288 /dev/mapper/lin
			assert_holds /dev/mapper/snap 60 8 s
			assert_holds /dev/mapper/snap 72 16 0
			assert_holds /dev/mapper/snap 92 100 s
			dm_remove lin
			blkdiscard -o 81920 -l 4096 /dev/mapper/snap
			assert_holds /dev/mapper/snap 160 8 0
			assert_holds /dev/mapper/snap 152 8 s
			assert_holds /dev/mapper/snap 168 8 s
			dm_remove snap
		done
	done
}
