# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="large requests of any alignment, which overlap in flight: ranges of chunks, of several sizes at once"
TIMEOUT=400
SOAK=1

run_test()
{
	local store

	integrity_start 32
	# 8 MiB is many cuts, 256 KiB a few ranges; 1 KiB chunks make ranges of 256 chunks in one log entry.
	load_options=(--max-io 8388608 --threads 6 --origin-share 60)
	integrity_under_load "$(long_or 30 "$(slow_or 3 5)")" 8 8 32
	[[ ! -e $delays ]] || delay_set '*' 1 10
	for store in N P; do
		load_options=(--max-io 262144 --threads 12 --origin-share 50)
		integrity_under_load "$(long_or 30 "$(slow_or 3 4)")" 8 2 256
	done
}
