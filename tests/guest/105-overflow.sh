# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="overflow: at the chunk after the last, exactly, with an event, on one and on all CPUs"
SELDOM=debug
TIMEOUT=300

invalid()
{
	assert_eq "$(snap_usage snap)" "Invalid"
	assert_eq "$(events snap)" 1 "events"
	assert_fails get /dev/mapper/snap 0 8
	assert_fails put /dev/mapper/snap 0 8
	# It is of no account to the origin any more.
	put /dev/mapper/origin 0 8 z
	assert_holds /dev/mapper/origin 0 8 z
}

# overflow WAY CHUNK COW_SECTORS: the COW device holds COW_SECTORS / CHUNK chunks, rounded down.
overflow()
{
	local way=$1 chunk=$2 size=$3 chunks=$(($3 / $2)) waiter

	dm_create cow "0 $size linear $backing 0"
	origin_create origin "$o"
	snap_create snap origin "$o" /dev/mapper/cow N "$chunk"
	put_blocks "/dev/mapper/$way" 0 "$chunks" "$chunk"
	assert_eq "$(snap_usage snap)" "$((chunks * chunk))/$size 0" "full, chunk size $chunk"
	assert_eq "$(events snap)" 0 "events"
	# Full is not invalid: what has a copy can be written, everything can be read.
	put /dev/mapper/snap 0 1
	put /dev/mapper/origin 0 "$chunk" y
	get /dev/mapper/snap "$((chunks * chunk))" "$chunk" > /dev/null

	dmsetup wait snap 0 & waiter=$!
	sleep 0.1
	if [[ $way == origin ]]; then
		put /dev/mapper/origin "$((chunks * chunk))" 1 w
		assert_holds /dev/mapper/origin "$((chunks * chunk))" 1 w
	else
		assert_fails put /dev/mapper/snap "$((chunks * chunk))" 1
	fi
	wait "$waiter"
	invalid
	dm_remove snap origin cow
}

# With chunks handed out to CPUs in batches, the last ones must still be found by whoever needs them.
overflow_parallel()
{
	local chunks=$1 cpu cpus pids=() per

	cpus=$(nproc)
	per=$((chunks / cpus))
	dm_create cow "0 $((chunks * 8)) linear $backing 0"
	origin_create origin "$o"
	snap_create snap origin "$o" /dev/mapper/cow N 8
	for ((cpu = 0; cpu < cpus; cpu++)); do
		taskset -c "$cpu" fio --name=cow --filename=/dev/mapper/origin --rw=randwrite --bs=4k \
			--direct=1 --ioengine=libaio --iodepth=8 --offset="$((cpu * per * 4))k" \
			--size="$((per * 4))k" --output=/dev/null &
		pids+=($!)
	done
	for cpu in "${pids[@]}"; do
		wait "$cpu"
	done
	assert_cows snap $((per * cpus))
	put_blocks /dev/mapper/origin $((per * cpus * 8)) $((chunks - per * cpus)) 8
	assert_eq "$(snap_usage snap)" "$((chunks * 8))/$((chunks * 8)) 0" "full"
	assert_eq "$(events snap)" 0 "events"
	put /dev/mapper/origin $((chunks * 8)) 8 w
	invalid
	dm_remove snap origin cow
}

run_test()
{
	local o backing cpu

	o=$(nullb_create size=64)
	backing=$(nullb_create size=32)
	overflow origin 8 800
	overflow snap 8 8
	overflow snap 16 807
	overflow origin 128 1300
	overflow snap 2048 8192
	# Nothing fits at all.
	dm_create cow "0 8 linear $backing 0"
	origin_create origin "$o"
	snap_create snap origin "$o" /dev/mapper/cow N 16
	put /dev/mapper/origin 100 1
	invalid
	dm_remove snap origin cow

	overflow_parallel "$(slow_or 150 1000)"
	overflow_parallel 37
	# One CPU has to use what the others were handed.
	dm_create cow "0 8000 linear $backing 0"
	origin_create origin "$o"
	snap_create snap origin "$o" /dev/mapper/cow N 8
	for ((cpu = 0; cpu < $(nproc); cpu++)); do
		taskset -c "$cpu" bash -c '. "$lib/lib.sh"; . "$lib/snap.sh"; put /dev/mapper/origin "$1" 8' \
			put $((cpu * 8))
	done
	put_blocks /dev/mapper/origin $(($(nproc) * 8)) $((1000 - $(nproc))) 8
	assert_eq "$(snap_usage snap)" "8000/8000 0"
	put /dev/mapper/origin 8000 8
	invalid
}
