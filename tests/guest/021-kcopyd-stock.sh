# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="stock kcopyd passes the same cases: they ask for nothing that is new"
SELDOM=stock
TIMEOUT=400
KERNELS=stock

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	local zoned cases all=('copy.*' 'seq.*' 'zero.*' 'error.*')

	zoned=$(nullb_create size=32 zoned=1 zone_size=2)
	[[ ! ${LONG:-} ]] || all+=('callback.*' 'flush.*' 'destroy.*' 'throttle.*' 'stress.*' 'hotplug.*')
	for cases in "${all[@]}"; do
		kcopyd_cases "$cases" engine=stock zoned="$zoned" seconds=2
	done
}
