#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# paced-guest.sh WORKLOAD TARGET...: the part of paced.sh that runs in the simulated machine. Leaves for each TARGET
# TARGET/{fio,window}.json, beside.json, what others did meanwhile, and submissions.json, the bios by CPU from a short
# run of its own under blktrace.
set -euo pipefail
# shellcheck source=tests/bench/workloads.sh
. "$(dirname "$0")/workloads.sh"
workload=$1
shift
describe_workload "$workload"
IRQMODE=$irqmode COMPLETION_NSEC=$latency_ns QUEUE_DEPTH=$depth CHUNK=$chunk SNAPSHOTS=$snapshots STORE=$store
FLUSH_MS=$flush_ms DISK=$disk
[[ $device != merge ]] || EXCEPTIONS=$exceptions
# shellcheck source=tests/bench/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

window=${WINDOW:-1000} ramp=${RAMP:-300}
# First writes of each job under blktrace.
trace_ios=150

# kernel_name DEVICE: there is no udev, and nodes of device-mapper are not links
kernel_name()
{
	basename "$(readlink "/sys/dev/block/$(stat -c %Hr:%Lr "$1")")"
}

# run_beside FILE: what others do, from a ramp before what is measured until a ramp after it
run_beside()
{
	local on rw bs depth jobs rate args=() dev

	IFS=: read -r on rw bs depth jobs rate <<< "$beside"
	jobs=${jobs:-$cpus}
	[[ ! $rate ]] || args+=(--rate_iops="$((rate / jobs))")
	dev=$bench_dev
	if [[ $bench_dev == /dev/mapper/snap1 ]]; then
		dev=${bench_dev/snap1/$on}
	elif [[ $on == "$device" ]]; then
		args+=(--offset="$((disk_gb / 2))g" --size="$((disk_gb / 2))g" --offset_increment=0)
	fi
	bench_dev=$dev run_load "$jobs" "$1" --rw="$rw" --bs="$bs" --iodepth="$depth" --time_based \
		--runtime="$((window + 4 * ramp))ms" --lat_percentiles=1 "${args[@]}"
}

measure()
{
	local dir=$1 phase=$2 args=() devices=() node other='' load i part on=$bench_dev

	# The first is the one whose I/Os count.
	for node in "$bench_dev" "${disk_dev}0" "${disk_dev}1"; do
		node=$(kernel_name "$node")
		[[ " ${devices[*]} " == *" $node "* ]] || devices+=("$node")
	done
	args=(--rw="$rw" --bs="$bs" --time_based --runtime="$((window + 2 * ramp))ms" --ramp_time="${ramp}ms"
		--lat_percentiles=1)
	((!rate)) || args+=(--rate_iops="$rate")
	[[ ! $interleaved ]] || args+=(--rw="write:$((4 * (cpus - 1)))k" --offset_increment=4k --size="$((disk_gb / 2))g")
	[[ ! $buffered ]] || args+=(--direct=0 --ioengine=psync --fsync="$fsync")
	[[ $beside != "$device":* ]] || args+=(--size="$((disk_gb / 2))g")
	case $before in
	fill)
		args+=(--size="${used_kb}k")
		bench_dev=${bench_dev/snap1/origin} run_load "$cpus" /tmp/fill.json --size="${used_kb}k" \
			--rw="$fill_rw" ;;
	discard)
		[[ $bench_dev != */clone ]] || blkdiscard "$bench_dev" ;;
	discard-used)
		args+=(--size="${used_kb}k")
		for ((i = 0; i < cpus; i++)); do
			blkdiscard -o $((i * (disk_gb * 1024 / cpus) << 20)) -l "${used_kb}K" "$bench_dev"
		done ;;
	esac
	if [[ $buffered == ext4 ]]; then
		mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 "$bench_dev"
		mount "$bench_dev" /mnt
		part=$((disk_gb * 768 / ${jobs:-$cpus}))m
		on=/mnt/file
		args+=(--size="$part" --offset_increment="$part" --fallocate=none)
	fi
	"$opt/pace" on
	[[ ! $hydrates ]] || dmsetup message "$bench_dev" 0 enable_hydration
	if [[ $beside ]]; then
		run_beside "$dir/beside.json" &
		other=$!
	fi
	bench_dev=$on run_load "${jobs:-$cpus}" "$dir/fio.json" "${args[@]}" &
	load=$!
	"$opt/pace" measure "$phase" $((ramp + 100)) "$window" "$dir/window.json" "${devices[@]}"
	wait $load $other
	"$opt/pace" off
	[[ $buffered != ext4 ]] || umount /mnt
	[[ ! $hydrates && $device != merge ]] || dmsetup status "$bench_dev" > "$dir/status"
}

engine()
{
	local dir=$1 phase=$2 engine=$3

	insmod "$opt/dm-copy-bench.ko"
	"$opt/pace" on
	echo "engine=$engine src=/dev/nullb0 dst=/dev/nullb1 trace=0 seconds=1" > $copy_bench/run &
	"$opt/pace" measure "$phase" 100 500 "$dir/window.json" nullb1 nullb0
	wait $!
	"$opt/pace" off
	cat $copy_bench/result > "$dir/copybench.json"
	rmmod dm_copy_bench
}

bench_start "$device"
# Where functions are, to read the profile with.
grep -E ' [tTwW] ' /proc/kallsyms > /results/kallsyms.txt
phase=0
for target in "$@"; do
	dir=/results/$target
	mkdir -p "$dir"
	if [[ $before == engine ]]; then
		name=${target/ours/mq}
		engine "$dir" "$phase" "$name"
	else
		setup_config "$target" "$device"
		measure "$dir" "$phase"
		teardown_config
		# With more CPUs, blktrace does not come to an end in QEMU's one thread.
		if [[ ($workload == cow || $workload == snapshot-write) && ($target == stock || $target == ours) ]] &&
		   ((cpus <= 16)); then
			trace_submissions "$target" "$device" "$trace_ios" "$dir/submissions.json"
		fi
	fi
	echo "$target: measured"
	phase=$((phase + 1))
done
