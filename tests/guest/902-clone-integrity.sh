# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a clone's data under random load, while it is hydrated, reloaded, suspended and told what to do"
TIMEOUT=600
SOAK=1

# load_and MB REGION DISCARD COMMAND: the data checker writes to a clone of a device full of known data, with COMMAND
# again and again beside it; in the end everything is hydrated and the destination is right by itself.
load_and()
{
	local mb=$1 region=$2 features=$3 command=$4 pid

	clone_devices "$mb" discard=1
	dm_create origin "0 $(sectors "$source") linear $source 0"
	integrity --origin /dev/mapper/origin --fill --save $model
	dm_remove origin
	# shellcheck disable=SC2086
	clone_create origin "$region" $features
	dmsc-integrity --seed "${SEED:-$RANDOM$RANDOM}" --load $model --save $model --max-io 262144 \
		--seconds "$(long_or 30 "$(slow_or 5 6)")" &
	pid=$!
	while kill -0 "$pid" 2> /dev/null; do
		$command
	done
	wait "$pid"
	integrity --load $model --verify-only
	dmsetup message origin 0 enable_hydration
	wait_for 120 is_hydrated origin
	assert_eq "$(clone_status origin 5)" 0 "hydrating"
	dm_remove origin
	dm_create origin "0 $(sectors "$source") linear $dest 0"
	integrity --load $model --verify-only
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

run_test()
{
	local source dest meta

	load_and 32 8 "1 no_hydration" "sleep 0.5"
	load_and 64 8 "" "sleep 0.5"
	load_and 64 64 "1 no_discard_passdown 4 hydration_threshold 16 hydration_batch_size 4" messages
	load_and 64 8 "0 2 hydration_threshold 8" reload
	load_and 96 1024 "" reload
}
