# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/storm.sh
. "$lib/storm.sh"
DESCRIPTION="bad blocks come and go below the origin or the COW device: right data, or an invalid snapshot"
TIMEOUT=180
# Debian has no dm-dust.
KERNELS="debug"

# dust NAME MB: a device with blocks of 4 KiB that can go bad; prints its path
dust()
{
	local device

	device=$(nullb_create size="$2")
	dm_create "$1" "0 $(sectors "$device") dust $device 0 4096"
	dmsetup message "$1" 0 quiet > /dev/null
	echo "/dev/mapper/$1"
}

begin()
{
	dmsetup message "$which" 0 enable > /dev/null
}

end()
{
	dmsetup message "$which" 0 disable > /dev/null
	dmsetup message "$which" 0 clearbadblocks > /dev/null
}

# on NAME CHUNK [CHECKER_OPTION...]: a storm with bad blocks on that device. They are chosen before it, for all may be
# copied soon after it has begun. Reads of a bad block fail until it is written; some writes fail before that.
on()
{
	local i

	which=$1
	for ((i = 0; i < 24; i++)); do
		dmsetup message "$which" 0 addbadblock $((RANDOM % 4096)) $((RANDOM % 3)) > /dev/null || true
	done
	storm "$2" 2 begin end "${@:3}"
	errors=$((errors + $(storm_errors)))
}

run_test()
{
	local which round errors=0

	modprobe dm-dust
	storm_setup "$(dust low_origin 16)" "$(dust low_cow 17)"
	for ((round = 0; round < $(long_or 30 1); round++)); do
		on low_cow 8 --allow-snapshot-errors
		on low_origin 8 --allow-snapshot-errors --allow-origin-errors
		on low_origin 128 --allow-snapshot-errors --allow-origin-errors
	done
	echo "$errors operations failed, $invalid snapshots became invalid, $valid did not"
	assert_le 1 "$errors" "operations that failed"
	assert_le 1 "$invalid" "invalid snapshots"
}
