# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="ordered writes, and host-managed zoned destinations"
SELDOM=debug
TIMEOUT=300

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	kcopyd_cases 'seq.*' zoned="$(nullb_create size=32 zoned=1 zone_size=2)"
}
