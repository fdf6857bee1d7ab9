# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="stock kcopyd passes the same cases: they ask for nothing that is new"
TIMEOUT=400
KERNELS=stock

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	local zoned

	zoned=$(nullb_create size=32 zoned=1 zone_size=2)
	for cases in 'copy.*' 'seq.*' 'zero.*' 'error.*' 'callback.*' 'flush.*' 'destroy.*' 'throttle.*' \
		     'stress.*' 'hotplug.*'; do
		kcopyd_cases "$cases" engine=stock zoned="$zoned" seconds=2
	done
}
