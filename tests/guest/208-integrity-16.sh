# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="sixteen snapshots at once under random load, ten of them with chunks of one size"
TIMEOUT=300
KERNELS=stock
SELDOM=stock
SOAK=1

run_test()
{
	integrity_start 8
	load_options=(--origin-share 40 --max-io 8192)
	integrity_under_load "$(long_or 80 20)" 8 8 8 8 8 8 8 8 8 8 16 16 64 128 512 2048
	integrity --load $model "${dropped[@]}" --verify-only
}
