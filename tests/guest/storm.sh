# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Helpers of the tests that let the devices below fail while the checker runs, on top of fault.sh.
# shellcheck source=tests/guest/fault.sh
. "$lib/fault.sh"

# storm_setup ORIGIN COW: "origin" with known contents, on devices that do as they are told later.
storm_setup()
{
	dev=$1
	cow=$2
	origin_create origin "$dev"
	integrity --origin /dev/mapper/origin --fill --save $model
	dropped=()
	valid=0
	invalid=0
	storms=0
}

# storm CHUNK SECONDS ON OFF [CHECKER_OPTION...]: a new snapshot with the checker on it and on its origin, and the
# faults that the command ON begins and OFF ends. Then everything is read again: the origin must be right, and the
# snapshot, too, or invalid.
storm()
{
	local chunk=$1 seconds=$2 on=$3 off=$4 store=N

	shift 4
	# Persistent and transient ones take turns.
	storms=$((storms + 1))
	if ((storms % 2)); then
		store=P
		cow_clear "$cow"
	fi
	snap_create snap origin "$dev" "$cow" "$store" "$chunk"
	checker_start --load $model --save $model ${dropped[@]+"${dropped[@]}"} --snapshot /dev/mapper/snap \
		--no-verify --json /tmp/storm.json --max-io 131072 --hang-timeout 100 "$@"
	$on
	sleep "$seconds"
	$off
	checker_stop
	dropped=(--drop-snapshot /dev/mapper/snap)
	if is_invalid snap; then
		invalid=$((invalid + 1))
		assert_eq "$(events snap)" 1 "events of an invalid snapshot"
		assert_fails get /dev/mapper/snap 0 8
		integrity --load $model --save $model "${dropped[@]}" --verify-only
		dropped=()
	else
		valid=$((valid + 1))
		assert_eq "$(events snap)" 0 "events of a valid snapshot"
		integrity --load $model --save $model --verify-only
	fi
	dm_remove snap
}

# Number of operations of the last storm that failed.
storm_errors()
{
	awk -F '[:,]' '/"errors"/ { sum += $2 } END { print sum }' /tmp/storm.json
}
