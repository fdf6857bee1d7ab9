# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/storm.sh
. "$lib/storm.sh"
DESCRIPTION="requests fail at random below the origin, the COW device or both: right data, or an invalid snapshot"
TIMEOUT=180
KERNELS="debug"

begin()
{
	faults fail_make_request probability=100 interval="$((50 + RANDOM % 300))"
}

end()
{
	faulted=$((faulted + $(fault_count fail_make_request)))
	faults_off
}

# below DEVICE...: where requests fail
below()
{
	local device

	for device in "$@"; do
		echo 1 > "/sys/block/${device#/dev/}/make-it-fail"
	done
}

run_test()
{
	local faulted=0 round

	storm_setup "$(nullb_create size=16)" "$(nullb_create size=17)"
	for ((round = 0; round < $(long_or 30 1); round++)); do
		below "$cow"
		storm 8 2 begin end --allow-snapshot-errors
		below "$dev"
		storm 64 2 begin end --allow-snapshot-errors --allow-origin-errors
		below "$dev" "$cow"
		storm 8 2 begin end --allow-snapshot-errors --allow-origin-errors
	done
	echo "$faulted faults, $invalid snapshots became invalid, $valid did not"
	assert_le 3 "$faulted" "faults"
	assert_le 1 "$invalid" "invalid snapshots"
}
