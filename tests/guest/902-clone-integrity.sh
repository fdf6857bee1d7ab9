# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a clone's data under random load, while it is hydrated, reloaded, told what to do, and CPUs go and come"
TIMEOUT=600
SOAK=1

# load_and MB REGION FEATURES COMMAND: see clone_load_and()
load_and()
{
	region=$2 features=$3

	clone_devices "$1" discard=1
	clone_load_and "$region" "$features" "$4"
	cleanup_devices
}

messages()
{
	local values=(0 1 3 100 100000)

	dmsetup message origin 0 disable_hydration
	sleep 0.1
	dmsetup message origin 0 hydration_threshold "${values[RANDOM % 5]}"
	dmsetup message origin 0 hydration_batch_size "${values[RANDOM % 5]}"
	dmsetup message origin 0 enable_hydration
	sleep 0.1
	dmsetup message origin 0 hydration_threshold 256
}

reload()
{
	dmsetup reload origin --table "$(clone_table "$region" ${features:+"$features"})"
	sleep 0.1
	if ((RANDOM % 2)); then
		dmsetup suspend origin
		sleep 0.1
	fi
	dmsetup resume origin
	sleep 0.2
}

# What a CPU has begun goes on elsewhere.
hotplug()
{
	local cpu=$((1 + RANDOM % ($(nproc --all) - 1)))

	cpu_online "$cpu" 0
	reload
	cpu_online "$cpu" 1
	sleep 0.1
	echo x >> /tmp/hotplug
}

run_test()
{
	local source dest meta region features mb

	mb=$(slow_or 24 64)
	if [[ $(slow_or '' y) ]]; then
		load_and 32 8 "1 no_hydration" "sleep 0.5"
		load_and "$mb" 8 "" "sleep 0.5"
		load_and 96 1024 "" reload
	fi
	load_and "$mb" 64 "1 no_discard_passdown 4 hydration_threshold 16 hydration_batch_size 4" messages
	load_and "$mb" 8 "0 2 hydration_threshold 8" reload
	: > /tmp/hotplug
	load_and "$mb" 8 "0 2 hydration_threshold 16" hotplug
	assert_le 1 "$(wc -l < /tmp/hotplug)" "CPUs that went"
}
