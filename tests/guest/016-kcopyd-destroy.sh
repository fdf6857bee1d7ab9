# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="flush and destruction wait for what they must, and for no more"
TIMEOUT=240

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	kcopyd_cases 'flush.*'
	kcopyd_cases 'destroy.*'
}
