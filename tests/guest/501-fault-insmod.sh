# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/fault.sh
. "$lib/fault.sh"
DESCRIPTION="loading the module with each of its allocations failing: an error, nothing lost, and then it loads"
TIMEOUT=120
KERNELS="debug"
VM="--cpus 4 --mem 2048 --append kmemleak=on"

run_test()
{
	unload_module
	nth_setup ours
	nth --after "rmmod dm_scaled" "insmod $module"
	assert_seen "scaled: Cannot set up the copy engine: error -12" \
		"snapshot-scaled: No memory for the cache of pending exceptions"
	load_module
	nth_end
}
