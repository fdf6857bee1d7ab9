# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="errors: who is told what, what is still copied, where a copy ends early"
TIMEOUT=240

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	kcopyd_cases 'error.*'
}
