# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
DESCRIPTION="the module loads, offers its targets and unloads, many times"
EACH=1

run_test()
{
	local n target

	for target in "$snapshot" "$snapshot_origin"; do
		have_target "$target" || fail "no target $target"
	done
	assert_eq "$(modinfo -F license "$module")" GPL
	for n in 1 2 3 4 5; do
		unload_module
		! have_target "$snapshot" || fail "target still there"
		load_module
	done
	# By name, as device-mapper asks for it.
	unload_module
	install_module
	assert_fails dmsetup create t --table "0 8 $snapshot_origin /dev/no-such-device"
	have_target "$snapshot_origin" || fail "not loaded by its alias"
}
