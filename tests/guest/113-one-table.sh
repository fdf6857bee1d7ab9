# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a snapshot and targets that write to its origin can be in one table"
SELDOM=debug

requires()
{
	is_ours || skip "device-mapper frees what stock's snapshot still uses"
}

run_test()
{
	local o c o_number c_number i rest

	o=$(nullb_create size=16)
	c=$(nullb_create size=16)
	o_number=$(lsblk -dno MAJ:MIN "$o" | tr -d ' ')
	c_number=$(lsblk -dno MAJ:MIN "$c" | tr -d ' ')

	for rest in "$snapshot_origin $o_number" "linear $o_number 8"; do
		for i in 1 2; do
			dm_create both "0 8 $snapshot $o_number $c_number N 8
8 8 $rest"
			assert_eq "$(dmsetup table both)" "0 8 $snapshot $o_number $c_number N 8
8 8 $rest"
			put /dev/mapper/both 8 8 y
			put /dev/mapper/both 0 8 x
			assert_holds /dev/mapper/both 0 8 x
			assert_holds "$o" 8 8 y
			dm_remove both
		done
	done
}
