#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# paced-guest.sh WORKLOAD TARGET...: the part of paced.sh that runs in the simulated machine. Leaves for each TARGET
# TARGET/{fio,window}.json, and submissions.json, the bios by CPU from a short run of its own under blktrace.
set -euo pipefail
# shellcheck source=tests/bench/workloads.sh
. "$(dirname "$0")/workloads.sh"
workload=$1
shift
describe_workload "$workload"
IRQMODE=$irqmode COMPLETION_NSEC=$latency_ns QUEUE_DEPTH=$depth CHUNK=$chunk SNAPSHOTS=$snapshots STORE=$store
FLUSH_MS=$flush_ms
# shellcheck source=tests/bench/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

window=${WINDOW:-1000} ramp=${RAMP:-300}
# First writes of each job under blktrace.
trace_ios=150

measure()
{
	local dir=$1 phase=$2 args=() devices=() device other='' load i

	# The first is the one whose I/Os count. There is no udev: nodes of device-mapper are not links.
	for device in "$bench_dev" /dev/nullb0 /dev/nullb1; do
		device=$(lsblk -dno KNAME "$device")
		[[ " ${devices[*]} " == *" $device "* ]] || devices+=("$device")
	done
	args=(--rw="$rw" --bs="$bs" --time_based --runtime="$((window + 2 * ramp))ms" --ramp_time="${ramp}ms"
		--lat_percentiles=1)
	((!rate)) || args+=(--rate_iops="$rate")
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
	"$opt/pace" on
	[[ ! $hydrates ]] || dmsetup message "$bench_dev" 0 enable_hydration
	if [[ $before == cow ]]; then
		# Somewhat longer than what is measured.
		bench_dev=/dev/mapper/origin run_load "$cpus" /tmp/cow.json --rw=randwrite --time_based \
			--runtime="$((window + 4 * ramp))ms" &
		other=$!
	fi
	run_load "$cpus" "$dir/fio.json" "${args[@]}" &
	load=$!
	"$opt/pace" measure "$phase" $((ramp + 100)) "$window" "$dir/window.json" "${devices[@]}"
	wait $load $other
	"$opt/pace" off
	[[ ! $hydrates ]] || dmsetup status "$bench_dev" > "$dir/status"
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
