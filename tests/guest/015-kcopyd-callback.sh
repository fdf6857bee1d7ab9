# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="prepared callbacks and items, from tasks and from interrupts"
SELDOM=debug
TIMEOUT=300

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	kcopyd_cases 'callback.*'
	kcopyd_cases 'item*'
}
