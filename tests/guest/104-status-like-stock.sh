# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="status, table and events equal stock's, step by step"
TIMEOUT=600
KERNELS=stock

requires()
{
	modprobe dm-snapshot
	have_target snapshot || skip "no stock target here"
}

# both COMMAND...: with "@" in an argument replaced by the name of each side; compares output and exit code.
both()
{
	local side out_stock='' out_ours='' code_stock=0 code_ours=0

	out_stock=$("${@//@/stock}" 2>&1) || code_stock=$?
	out_ours=$("${@//@/ours}" 2>&1) || code_ours=$?
	assert_eq "$code_ours" "$code_stock" "exit code of: $*"
	for side in out_stock out_ours; do
		printf -v "$side" '%s' "$(tidy <<< "${!side}")"
	done
	assert_eq "$out_ours" "$out_stock" "output of: $*"
}

# Removes what must differ: names, target suffixes and device numbers.
tidy()
{
	sed -E "s/ origin-scaled/ snapshot-origin/; s/ snapshot-scaled/ snapshot/; s/stock|ours//g
		s/\b2(5[0-9]|[0-9]{2}):[0-9]+/DEV/g" |
		grep -v -E ' records? |bytes|copied'
}

# compare: all that dmsetup says of the devices of both sides.
compare()
{
	local command stock ours

	for command in status table \
		"info -c --noheadings --separator : -o name,events,open,segments,read_only,suspended,tables_loaded"; do
		# shellcheck disable=SC2086
		dmsetup $command > /tmp/all
		stock=$(grep -E '^[a-z]+stock' /tmp/all | tidy)
		ours=$(grep -E '^[a-z]+ours' /tmp/all | tidy)
		assert_eq "$ours" "$stock" "dmsetup ${command%% *} (line ${BASH_LINENO[0]})"
		assert_eq "$(wc -l <<< "$stock")" 2 "lines of dmsetup ${command%% *}"
	done
}

# setup SIDE ORIGIN_TARGET SNAPSHOT_TARGET STORE CHUNK FEATURES
setup()
{
	local origin cow len

	origin=$(nullb_create size=16 discard=1)
	cow=$(nullb_create size=4 discard=1)
	len=$(sectors "$origin")
	dm_create "origin$1" "0 $len $2 $origin"
	dmsetup suspend "origin$1"
	dm_create "snap$1" "0 $len $3 $origin $cow $4 $5 $6"
	dmsetup resume "origin$1"
	devices+=("$origin" "$cow")
}

# sequence STORE CHUNK [FEATURES]
sequence()
{
	local devices=()

	setup stock snapshot-origin snapshot "$1" "$2" "${3:-}"
	setup ours "$snapshot_origin" "$snapshot" "$1" "$2" "${3:-}"
	compare
	both put /dev/mapper/origin@ 0 1
	compare
	both put /dev/mapper/origin@ 100 300
	compare
	both put /dev/mapper/snap@ 0 8
	both put /dev/mapper/snap@ 4096 4096
	compare
	both blkdiscard -o 0 -l 1048576 /dev/mapper/snap@
	both blkdiscard -o 0 -l 1048576 /dev/mapper/origin@
	both blkdiscard -z -o 0 -l 1048576 /dev/mapper/snap@
	compare
	both dmsetup suspend snap@
	compare
	both dmsetup resume snap@
	both dmsetup message snap@ 0 hello
	both dmsetup message origin@ 0 hello
	both dmsetup rename snap@ renamed@
	both dmsetup status renamed@
	both dmsetup rename renamed@ snap@
	compare
	# Overflow: 16 MB into 4.
	both put_blocks /dev/mapper/origin@ 0 16 2048
	compare
	assert_match "$(dmsetup status snapours)" " Invalid$"
	[[ $1 == N ]] || reopen
	both put /dev/mapper/snap@ 0 8
	both get /dev/mapper/snap@ 0 8
	both put /dev/mapper/origin@ 0 8
	both dmsetup suspend snap@
	both dmsetup resume snap@
	compare
	both get /dev/mapper/snap@ 0 8
	both dmsetup remove snap@
	both dmsetup remove origin@
	cleanup_devices
}

# What is on the COW devices is all that is left of the snapshots.
reopen()
{
	local side table

	for side in stock ours; do
		table=$(dmsetup table snap$side)
		dm_remove snap$side
		dm_create snap$side "$table"
	done
	compare
}

# full_snapshot STORE: it is the snapshot that is written until it is full.
full_snapshot()
{
	local devices=()

	setup stock snapshot-origin snapshot "$1" 16 ""
	setup ours "$snapshot_origin" "$snapshot" "$1" 16 ""
	both put_blocks /dev/mapper/snap@ 0 300 16
	compare
	reopen
	both put_blocks /dev/mapper/snap@ 4800 300 16
	compare
	both get /dev/mapper/snap@ 0 8
	both put /dev/mapper/snap@ 0 8
	reopen
	both put /dev/mapper/snap@ 0 8
	compare
	# A write to the origin then finds no room, either.
	both put_blocks /dev/mapper/origin@ 16384 100 16
	compare
	reopen
	both dmsetup remove snap@
	both dmsetup remove origin@
	cleanup_devices
}

run_test()
{
	local passdown="2 discard_zeroes_cow discard_passdown_origin" zeroes="1 discard_zeroes_cow"

	# Stock takes sectors for the bytes of its granularity, and 7.3 then divides by zero.
	! kernel_is_from 7.0 || passdown='' zeroes=''
	sequence N 256 "$passdown"
	sequence P 8
	sequence PO 32 "$zeroes"
	full_snapshot P
	full_snapshot PO
	if [[ $LONG ]]; then
		sequence N 8
		sequence N 16 "$zeroes"
		sequence N 2048
		sequence P 1
		sequence PO 2048
	fi
}
