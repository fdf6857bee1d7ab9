# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="persistent snapshots under random load, activated again in between; full ones; on a slow disk"
TIMEOUT=600
KERNELS=debug
SOAK=1

# again: all off, and on again: what is on disk is all there is.
again()
{
	local i

	for i in "${!cows[@]}"; do
		dm_remove "snap$i"
	done
	dm_remove origin
	origin_create origin "$dev"
	for i in "${!cows[@]}"; do
		snap_create "snap$i" origin "$dev" "${cows[i]}" P "${sizes[i]}"
	done
}

run_test()
{
	local store=P cows=() sizes=() round seconds slot cow chunk=(8 32 16) mb=(1 10 18)

	seconds=$(long_or 30 4)
	integrity_start 16 18 18 20
	integrity --load $model "${snaps[@]}" --save $model --seconds "$seconds"
	for ((round = 0; round < $(long_or 6 2); round++)); do
		again
		integrity --load $model --save $model --seconds "$seconds" --max-io 65536
	done
	again
	integrity --load $model --verify-only
	cleanup_devices

	# Taken and removed meanwhile; with what is handed over taking its time now and then.
	[[ ! -e $delays ]] || delay_set '*' 1 5
	integrity_start 16
	integrity_under_load "$(long_or 40 "$(slow_or 4 8)")" 8 16 128
	cleanup_devices

	# Too small: errors, but never wrong data, and an origin that is right.
	integrity_start 16
	for slot in 0 1 2; do
		cow=$(nullb_create size="${mb[slot]}")
		snap_create snap$slot origin "$dev" "$cow" "$( ((slot == 2)) && echo PO || echo P)" "${chunk[slot]}"
	done
	integrity --load $model --snapshot /dev/mapper/snap0 --snapshot /dev/mapper/snap1 \
		--snapshot /dev/mapper/snap2 --allow-snapshot-invalid --max-io 65536 --seconds "$seconds" --save $model
	# A slow machine has not written enough yet.
	until [[ $(snap_usage snap0) == Invalid ]]; do
		integrity --load $model --allow-snapshot-invalid --max-io 65536 --seconds 2 --save $model
	done
	dm_remove snap0 snap1 snap2
	integrity --load $model --drop-snapshot /dev/mapper/snap0 --drop-snapshot /dev/mapper/snap1 \
		--drop-snapshot /dev/mapper/snap2 --verify-only
}
