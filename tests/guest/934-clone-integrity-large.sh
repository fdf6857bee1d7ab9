# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a clone's data under I/O of up to 8 MiB to regions that are not hydrated, with some of the background"
TIMEOUT=600
SOAK=1

# What has been submitted or has ended goes on late here and there, on debug kernels.
delays()
{
	[[ -e $delays ]] || return 0
	delay_set "clone-region:copy-ends" 3 200
	delay_set "clone-region:range-write" 3 200
	delay_set "clone-region:range-copied" 3 200
	delay_set "clone-region:range-written" 1 100
	delay_set "clone-region:clear-busy" 1 5
}

# with MAX_IO REGION FEATURES COMMAND: see clone_load_and()
with()
{
	local MAX_IO=$1

	clone_devices "$mb" discard=1
	delays
	clone_load_and "$2" "$3" "$4"
	delays_off
	cleanup_devices
}

now_and_then()
{
	dmsetup message origin 0 enable_hydration
	sleep 0.03
	dmsetup message origin 0 disable_hydration
	sleep 0.2
}

starved()
{
	[[ ! -e ${delays%/*}/no_memory ]] || echo "$((RANDOM % 2))" > "${delays%/*}/no_memory"
	now_and_then
}

run_test()
{
	local source dest meta mb

	mb=$(slow_or 48 64)
	with 65536 8 "1 no_hydration" "sleep 0.2"
	with 8388608 8 "1 no_hydration" now_and_then
	with 1048576 32 "1 no_hydration" starved
	with 8388608 128 "1 no_hydration" now_and_then
}
