# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="everything at once in few chunks, watched by KCSAN, which finds no data race in our code"
KERNELS="kcsan"
TIMEOUT=200

requires()
{
	[[ -e /sys/kernel/debug/kcsan ]] || skip "the kernel has no KCSAN"
	need_test_module dm-kcopyd-mq-test
}

# counter NAME: of KCSAN's statistics.
counter()
{
	awk -v n="$1" -F': *' '$1 == n { print $2 }' /sys/kernel/debug/kcsan
}

# What is asked of a snapshot while it is written: status, a new table that takes it over, more of them.
poke()
{
	local name

	for name in $(dmsetup ls | awk '/^snap/ { print $1 }'); do
		dmsetup status "$name" > /dev/null
		dmsetup reload "$name" --table "$(dmsetup table "$name")"
		dmsetup suspend "$name"
		dmsetup resume "$name"
	done
	dmsetup table > /dev/null
	module_param snapshot_cow_threshold $((1 + RANDOM % 32))
	module_param snapshot_copy_throttle $((RANDOM % 2 ? 100 : 60))
}

# The same of a clone.
poke_clone()
{
	dmsetup status origin > /dev/null
	dmsetup message origin 0 hydration_threshold $((RANDOM % 20))
	dmsetup reload origin --table "$(dmsetup table origin)"
	dmsetup suspend origin
	dmsetup resume origin
	dmsetup message origin 0 hydration_threshold 64
}

# CPUs go and come back until the end.
hotplug()
{
	local cpu

	trap 'exit 0' TERM
	while :; do
		cpu=$((1 + RANDOM % ($(nproc --all) - 1)))
		cpu_online "$cpu" 0
		sleep 0.5
		cpu_online "$cpu" 1
		sleep 0.5
	done
}

# second_client DEVICE COW: another origin with a snapshot, so with another client of the engine, that is kept busy and
# removed.
second_client()
{
	local dev=$1 cow=$2

	trap 'exit 0' TERM
	origin_create second "$dev"
	while :; do
		snap_create second-snap second "$dev" "$cow" N 8
		fio --name=second --filename=/dev/mapper/second --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
			--iodepth=16 --size=2m --output=/dev/null
		dm_remove second-snap
		echo x >> /tmp/second
	done
}

run_test()
{
	local before pids=() pid reports cpu cases second second_cow source dest meta

	log_mark
	# It is off until now, so that the machine comes up soon; and it takes a dense sample of the accesses.
	echo on > /sys/kernel/debug/kcsan
	echo 300 > /sys/module/kcsan/parameters/skip_watch
	before=$(counter setup_watchpoints)

	integrity_start 2
	second=$(nullb_create size=2)
	second_cow=$(nullb_create size=3)
	: > /tmp/second
	hotplug & pids+=($!)
	second_client "$second" "$second_cow" & pids+=($!)
	between=poke
	load_options=(--max-io 8192 --threads 16 --origin-share 60)
	integrity_under_load 6 8 8 64
	# Of the copies some are in several segments, which add up their errors and hand on their pages.
	module_param kcopyd_subjob_size_kb 4
	load_options=(--max-io 65536 --threads 16)
	integrity_under_load 4 64 128
	dm_remove origin
	clone_devices 4 discard=1
	clone_load_and 8 "" poke_clone
	for pid in "${pids[@]}"; do
		kill "$pid"
		wait "$pid" || true
	done
	assert_le 1 "$(wc -l < /tmp/second)" "rounds of the second client"

	for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do
		[[ $(< "$cpu") == 1 ]] || echo 1 > "$cpu"
	done
	# Other errors come one at a time, for which this is not the place.
	for cases in 'stress.*' error.random 'flush.*' 'destroy.*' 'callback.*'; do
		kcopyd_cases "$cases"
	done

	echo off > /sys/kernel/debug/kcsan
	echo "$(($(counter setup_watchpoints) - before)) watchpoints, $(counter data_races) races seen"
	assert_le 5000 "$(($(counter setup_watchpoints) - before))" "accesses watched"
	reports=$(log_since | awk -v foreign="$lib/kcsan-foreign" -f "$lib/kcsan.awk" |
		awk '/BUG: KCSAN:/ { on = 1 } on { print } /==========/ { on = 0 }')
	[[ ! $reports ]] || fail "KCSAN reports:"$'\n'"$reports"
}
