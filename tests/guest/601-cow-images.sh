# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/fuzz.sh
. "$lib/fuzz.sh"
DESCRIPTION="damaged COW devices are opened as documented, or refused and left alone"
TIMEOUT=1200
KERNELS=stock

requires()
{
	is_ours || skip "the oracle knows our targets"
}

run_test()
{
	local status=0

	fuzz_begin
	dm_create origin "0 1024 linear $(nullb_create size=1) 0"
	dm_create cow "0 512 linear $(nullb_create size=1) 0"
	fuzz --images "$(long_or 5000 "$(slow_or 100 250)")" \
		--device origin=/dev/mapper/origin --device cow=/dev/mapper/cow || status=$?
	fuzz_end "$status"
}
