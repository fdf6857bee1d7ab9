# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="copies of all kinds on all CPUs at once, contents checked"
TIMEOUT=300
SOAK=1

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	local dst n

	kcopyd_cases 'stress.*'

	dst=$(nullb_create size=16)
	for n in 2 3 4 5 6 7 8; do
		dst+=,$(nullb_create size=16)
	done
	kcopyd_cases 'stress.*' src="$(nullb_create size=16)" dst="$dst"
	brd_create 4 16
	kcopyd_cases 'stress.*' src=/dev/ram0 dst=/dev/ram1,/dev/ram2,/dev/ram3
}
