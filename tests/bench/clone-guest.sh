#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# clone-guest.sh ROUNDS GB: the part of clone.sh that runs in the VM.
set -euo pipefail
# shellcheck source=tests/guest/lib.sh
. "$(dirname "$0")/../guest/lib.sh"
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/bench/turns-guest.sh
. "$(dirname "$0")/turns-guest.sh"

# clone_make TARGET REGION [ARGUMENT...]: a new one
clone_make()
{
	local clone_target=${names[$1]}

	shift
	meta_clear
	clone_create clone "$@"
}

# hydrate TARGET REGION [ARGUMENT...]: prints how long it takes
hydrate()
{
	local begin

	clone_make "$@"
	begin=$EPOCHREALTIME
	until is_hydrated clone; do
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

# hydrate_all REGION THRESHOLD BATCH TARGET: stock with these settings, ours as it is
hydrate_all()
{
	local settings=(0 4 hydration_threshold "$2" hydration_batch_size "$3")

	[[ $4 == stock ]] || settings=()
	result "all hydrated: regions of $1" "$4" "$(hydrate "$4" "$1" ${settings[@]+"${settings[@]}"})" seconds
}

measure_hydration()
{
	local region best

	for region in 8 128; do
		read -ra best <<< "$(best_of_stock "$region")"
		echo "regions of $region sectors: stock's best are ${best[*]:1}, of threshold and batch size"
		in_turns "$rounds" hydrate_all "$region" "${best[@]:1}"
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

users()
{
	result "p99 of a user without hydration" "$1" "$(user_p99 "$1" 8 1 no_hydration)" us
	result "p99 of a user during hydration" "$1" "$(user_p99 "$1" 8)" us
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

commits()
{
	result "commit of 1 region" "$1" "$(commit "$1" 1)" seconds
	result "commit of 1000000 regions" "$1" "$(commit "$1" 1000000)" seconds
}

available()
{
	sync
	echo 3 > /proc/sys/vm/drop_caches
	sleep 1
	awk '/^MemAvailable/ { print $2 * 1024 }' /proc/meminfo
}

# memory TARGET: of regions of 4 KiB, all of the device's; per region
memory()
{
	local before

	before=$(available)
	clone_make "$1" 8 1 no_hydration
	result "memory of a region" "$1" "$(awk -v a="$before" -v b="$(available)" -v n=$((size / 8)) \
		'BEGIN { print (a - b) * 8 / n }')" bits
	dm_remove clone
}

rounds=$1 gb=$2
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
in_turns "$rounds" commits
source=$(nullb_create size=$((gb * 1024)) blocksize=4096 memory_backed=0 irqmode=2 completion_nsec=80000)
dest=$(nullb_create size=$((gb * 1024)) blocksize=4096 memory_backed=0 irqmode=2 completion_nsec=80000 discard=1)
in_turns "$rounds" users
source=$(nullb_create size=$((32 * 1024)) blocksize=4096 memory_backed=0)
dest=$(nullb_create size=$((32 * 1024)) blocksize=4096 memory_backed=0)
size=$(sectors "$source")
in_turns "$rounds" memory
unload_module
