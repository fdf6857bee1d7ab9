#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# clone-guest.sh ROUNDS GB: the part of clone.sh that runs in the VM. Leaves results.csv, a line for each measurement:
# what,round,target,value,unit.
set -euo pipefail
# shellcheck source=tests/guest/lib.sh
. "$(dirname "$0")/../guest/lib.sh"

elapsed()
{
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.4f", b - a }'
}

# result WHAT TARGET VALUE UNIT
result()
{
	echo "$1,$round,$2,$3,$4" | tee -a /results/results.csv
}

# clone_make TARGET REGION [ARGUMENT...]: a new one
clone_make()
{
	local target=$1

	shift
	dd if=/dev/zero of="$meta" bs=4k count=2 oflag=direct status=none
	dm_create clone "0 $size ${names[$target]} $meta $dest $source $*"
}

is_complete()
{
	local fields

	read -ra fields < <(dmsetup status clone)
	[[ ${fields[6]%/*} == "${fields[6]#*/}" ]]
}

# hydrate TARGET REGION [ARGUMENT...]: prints how long it takes
hydrate()
{
	local begin

	clone_make "$@"
	begin=$EPOCHREALTIME
	until is_complete; do
		sleep 0.02
	done
	elapsed "$begin"
	dm_remove clone
}

# Of stock's settings that are tried, the one that takes the shortest time with regions of a size.
best_of_stock()
{
	local threshold batch

	for threshold in 16 256 4096; do
		for batch in 1 16 256; do
			((batch > threshold)) ||
				echo "$(hydrate stock "$1" 0 4 hydration_threshold "$threshold" \
					hydration_batch_size "$batch") $threshold $batch"
		done
	done | tee /dev/stderr | sort -n | head -n 1
}

measure_hydration()
{
	local region best

	for region in 8 128; do
		read -ra best <<< "$(best_of_stock "$region")"
		echo "regions of $region sectors: stock's best are ${best[*]:1}, of threshold and batch size"
		for ((round = 1; round <= rounds; round++)); do
			result "all hydrated, regions of $region" stock "$(hydrate stock "$region" 0 4 \
				hydration_threshold "${best[1]}" hydration_batch_size "${best[2]}")" seconds
			result "all hydrated, regions of $region" ours "$(hydrate ours "$region")" seconds
		done
	done
}

# user_p99 TARGET ARGUMENT...: 99 % of a user's I/Os take at most so long, in microseconds. He writes and reads where
# all is hydrated.
user_p99()
{
	clone_make "$@"
	blkdiscard -l $((64 << 20)) /dev/mapper/clone
	run_fio /tmp/user.json --name=user --filename=/dev/mapper/clone --rw=randrw --bs=4k --size=64m --direct=1 \
		--ioengine=libaio --iodepth=4 --rate_iops=400,400 --time_based --runtime=6 --ramp_time=1 --lat_percentiles=1
	dm_remove clone
	awk '/"lat_ns" *: *\{/ { on = 1 }
		on && /"99.000000"/ { gsub(/[^0-9 ]/, " "); split($0, f, " "); print f[3] / 1000; on = 0 }
	' /tmp/user.json | sort -n | tail -n 1
}

measure_users()
{
	local target

	for ((round = 1; round <= rounds; round++)); do
		for target in stock ours; do
			result "p99 of a user, no hydration" $target "$(user_p99 $target 8 1 no_hydration)" us
			result "p99 of a user, hydration" $target "$(user_p99 $target 8)" us
		done
	done
}

# commit TARGET REGIONS: how long a flush takes when so many have been hydrated
commit()
{
	local begin

	clone_make "$1" 8 1 no_hydration
	blkdiscard -o $((size * 256)) -l 4096 /dev/mapper/clone
	sync /dev/mapper/clone
	blkdiscard -l $(($2 * 4096)) /dev/mapper/clone
	begin=$EPOCHREALTIME
	sync /dev/mapper/clone
	elapsed "$begin"
	dm_remove clone
}

measure_commits()
{
	local target

	for ((round = 1; round <= rounds; round++)); do
		for target in stock ours; do
			result "commit of 1 region" $target "$(commit $target 1)" seconds
			result "commit of 1000000 regions" $target "$(commit $target 1000000)" seconds
		done
	done
}

available()
{
	sync
	echo 3 > /proc/sys/vm/drop_caches
	sleep 1
	awk '/^MemAvailable/ { print $2 * 1024 }' /proc/meminfo
}

# Of regions of 4 KiB, all of the device's; per region.
measure_memory()
{
	local target before

	for ((round = 1; round <= rounds; round++)); do
		for target in stock ours; do
			before=$(available)
			clone_make $target 8 1 no_hydration
			result "memory of a region" $target "$(awk -v a="$before" -v b="$(available)" -v n=$((size / 8)) \
				'BEGIN { print (a - b) * 8 / n }')" bits
			dm_remove clone
		done
	done
}

rounds=$1 gb=$2 round=1
declare -A names=([stock]=clone [ours]=clone-scaled)
load_module
modprobe dm-persistent-data
insmod /opt/dm-scaled/dm-clone.ko
meta=$(nullb_create size=64 blocksize=4096)
# No data are in these.
source=$(nullb_create size=$((gb * 1024)) blocksize=4096 memory_backed=0 discard=1)
dest=$(nullb_create size=$((gb * 1024)) blocksize=4096 memory_backed=0 discard=1)
size=$(sectors "$source")
measure_hydration
measure_commits
source=$(nullb_create size=$((gb * 1024)) blocksize=4096 memory_backed=0 irqmode=2 completion_nsec=80000)
dest=$(nullb_create size=$((gb * 1024)) blocksize=4096 memory_backed=0 irqmode=2 completion_nsec=80000 discard=1)
measure_users
source=$(nullb_create size=$((32 * 1024)) blocksize=4096 memory_backed=0)
dest=$(nullb_create size=$((32 * 1024)) blocksize=4096 memory_backed=0)
size=$(sectors "$source")
measure_memory
unload_module
