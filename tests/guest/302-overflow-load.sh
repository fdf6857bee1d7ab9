# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="snapshots that overflow under random load: from then on errors, never wrong data; others unharmed"
TIMEOUT=600
SELDOM="debug"
SOAK=1

run_test()
{
	local round cow mb=(8 3 20) chunk=(8 128 16) slot last

	for ((round = 0; round < $(long_or 20 "$(slow_or 2 3)"); round++)); do
		integrity_start 32
		for slot in 0 1 2; do
			cow=$(nullb_create size="${mb[slot]}")
			snap_create snap$slot origin "$dev" "$cow" N "${chunk[slot]}"
		done
		integrity --load $model --snapshot /dev/mapper/snap0 --snapshot /dev/mapper/snap1 \
			--snapshot /dev/mapper/snap2 --allow-snapshot-invalid --max-io 65536 \
			--seconds "$(long_or 20 6)" --save $model
		# A slow machine has not written enough yet.
		until [[ $(snap_usage snap0) == Invalid && $(snap_usage snap1) == Invalid ]]; do
			integrity --load $model --allow-snapshot-invalid --max-io 65536 --seconds 3 --save $model
		done
		for slot in 0 1; do
			assert_eq "$(events snap$slot)" 1 "events"
		done
		# A fourth one, that is large enough, beside the invalid ones.
		cow=$(nullb_create size=33)
		snap_create last origin "$dev" "$cow" N 32
		last=$(for slot in 0 1 2; do echo "--drop-snapshot /dev/mapper/snap$slot"; done)
		# shellcheck disable=SC2086
		integrity --load $model $last --add-snapshot /dev/mapper/last --seconds 3
		dm_remove last snap0 snap1 snap2 origin
	done
}
