# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="table lines that are accepted, and how they are shown"
EACH=1
KERNELS="stock debug rt"
SELDOM=debug

# accepts ARGUMENTS SHOWN [USED]: of a snapshot of $o on $c; both without these two. USED are the sectors that it uses.
accepts()
{
	local used=${3:-0}

	cow_clear "$c"
	dm_create snap "0 $len $snapshot $o $c $1"
	assert_eq "$(dmsetup table snap)" "0 $len $snapshot $o_number $c_number $2" "table"
	assert_match "$(dmsetup status snap)" "^0 $len $snapshot $used/$(sectors "$c") $used$"
	dm_remove snap
}

run_test()
{
	local o c o_number c_number len chunk

	o=$(nullb_create size=64 discard=1)
	c=$(nullb_create size=32 discard=1)
	o_number=$(lsblk -dno MAJ:MIN "$o" | tr -d ' ')
	c_number=$(lsblk -dno MAJ:MIN "$c" | tr -d ' ')
	len=$(sectors "$o")

	for chunk in 1 2 8 64 2048 1048576 2097152; do
		accepts "N $chunk" "N $chunk"
	done
	accepts "n 8" "N 8"
	accepts "N +8" "N 8"
	accepts "N 0008" "N 8"
	accepts "N 8 0" "N 8"
	accepts "N 8 1 discard_zeroes_cow" "N 8 1 discard_zeroes_cow"
	accepts "N 8 1 Discard_Zeroes_COW" "N 8 1 discard_zeroes_cow"
	accepts "N 8 2 discard_zeroes_cow discard_passdown_origin" \
		"N 8 2 discard_zeroes_cow discard_passdown_origin"
	accepts "N 8 2 discard_passdown_origin discard_zeroes_cow" \
		"N 8 2 discard_zeroes_cow discard_passdown_origin"
	accepts "N 8 2 discard_zeroes_cow discard_zeroes_cow" "N 8 1 discard_zeroes_cow"

	for chunk in 1 2 8 64 2048 32768; do
		accepts "P $chunk" "P $chunk" $((2 * chunk))
		accepts "po $chunk" "PO $chunk" $((2 * chunk))
	done
	accepts "P 0" "P 32" 64
	accepts "p 8 1 discard_zeroes_cow" "P 8 1 discard_zeroes_cow" 16

	# Devices by their numbers.
	dm_create snap "0 $len $snapshot $o_number $c_number N 8"
	assert_eq "$(dmsetup table snap)" "0 $len $snapshot $o_number $c_number N 8"
	dm_remove snap

	# Shorter than the origin.
	dm_create snap "0 8 $snapshot $o $c N 8"
	assert_eq "$(blockdev --getsz /dev/mapper/snap)" 8
	dm_remove snap

	dm_create origin "0 $len $snapshot_origin $o"
	assert_eq "$(dmsetup table origin)" "0 $len $snapshot_origin $o_number"
	assert_match "$(dmsetup status origin)" "^0 $len $snapshot_origin ?$"
	dm_remove origin
	dm_create origin "0 8 $snapshot_origin $o_number"
	assert_eq "$(blockdev --getsz /dev/mapper/origin)" 8

	# A read-only origin needs no writable device.
	dm_remove origin
	blockdev --setro "$o"
	dmsetup create -r origin --table "0 $len $snapshot_origin $o"
	dd if=/dev/mapper/origin of=/dev/null bs=4096 count=1 iflag=direct status=none
	assert_fails dd if=/dev/zero of=/dev/mapper/origin bs=4096 count=1 oflag=direct
	dm_remove origin
	blockdev --setrw "$o"
}
