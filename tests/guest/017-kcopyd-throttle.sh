# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="the throttle bounds the time in which copies are in flight"
SELDOM=debug
TIMEOUT=300

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	kcopyd_cases 'throttle.*'
}
