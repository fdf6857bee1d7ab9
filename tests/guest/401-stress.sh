# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="create, suspend, resume, reload, status and remove under load, in parallel, then unload the module"
TIMEOUT=1200
SOAK=1

# with_origin COMMAND...: while the origin is suspended. One at a time: nobody can suspend it twice.
with_origin()
{
	(
		flock 9
		dmsetup suspend origin
		"$@"
		dmsetup resume origin
	) 9> /tmp/origin.lock
}

# Each job changes its own snapshot, all share the origin and its load.
job()
{
	local me=$1 end=$2 table len cow=${cows[$1]} number=0

	len=$(sectors "$dev")
	table="0 $len $snapshot $dev $cow N $((8 << me))"
	while ((number < end)); do
		number=$((number + 1))
		if ((me % 2)); then
			with_origin dmsetup create "s$me" --table "$table"
		else
			dmsetup create "s$me" --table "$table"
		fi
		case $((RANDOM % 6)) in
		0)
			dmsetup suspend "s$me"
			dmsetup resume "s$me"
			;;
		1)
			dmsetup reload "s$me" --table "$table"
			dmsetup suspend "s$me"
			dmsetup resume "s$me"
			;;
		2)
			dmsetup reload "s$me" --table "$table"
			dmsetup clear "s$me"
			;;
		3)
			dmsetup reload "s$me" --table "$table"
			;;
		4)
			dmsetup status "s$me" > /dev/null
			dmsetup table "s$me" > /dev/null
			dmsetup status origin > /dev/null
			;;
		5)
			dd if="/dev/mapper/s$me" of=/dev/null bs=64k count=16 iflag=direct status=none
			;;
		esac
		dmsetup remove "s$me"
	done
	echo "job $me: $number rounds"
}

origin_job()
{
	local number

	for ((number = 0; number < $1; number++)); do
		with_origin dmsetup reload origin --table "0 $(sectors "$dev") $snapshot_origin $dev"
		sleep 0.2
	done
}

run_test()
{
	local dev cows=() load pids=() i rounds

	rounds=$(long_or 700 12)
	dev=$(nullb_create size=32)
	for i in 0 1 2; do
		cows+=("$(nullb_create size=33)")
	done
	origin_create origin "$dev"
	integrity --origin /dev/mapper/origin --fill --save $model
	checker_start --load $model --threads 8 --max-io 65536
	for i in 0 1 2; do
		job "$i" "$rounds" &
		pids+=($!)
	done
	origin_job "$rounds" &
	pids+=($!)
	for i in "${pids[@]}"; do
		wait "$i"
	done
	# The origin's data is verified through all of this.
	checker_stop
	dm_remove origin
	if is_ours; then
		rmmod dm_scaled
		load_module
	fi
}
