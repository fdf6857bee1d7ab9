# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="snapshots taken and removed under random load, one to eight at a time"
TIMEOUT=600
SOAK=1

run_test()
{
	integrity_start "$(slow_or 16 64)"
	integrity_under_load "$(long_or 60 "$(slow_or 4 5)")" 8
	integrity_under_load "$(long_or 60 "$(slow_or 4 5)")" 8 128 2048
	integrity_under_load "$(long_or 80 "$(slow_or 5 7)")" 8 8 16 16 32 256 1024 2048
	integrity --load $model "${dropped[@]}" --verify-only
}
