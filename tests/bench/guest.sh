#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# guest.sh ROUNDS SECONDS CONFIG...: the part of demo.sh and bench.sh that runs in the VM.
#
# Leaves CONFIG/round-N/fio.json and, for stock and ours, submissions.json, from a run of its own under blktrace:
# {"origin": {"R": [...], "W": [...]}, "cow": {...}}, the bios of each device counted by the CPU that submitted them.
# "engine" as a CONFIG runs dm-copy-bench.ko: engine/{stock,mq}/round-N/copybench.json.
set -euo pipefail
# shellcheck source=tests/bench/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

# First writes of each job under blktrace.
trace_ios=1500

say()
{
	printf '%6.1f s  %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*"
}

# The first value of a key in the "write" part of fio's result.
fio_value()
{
	awk -v key="\"$2\"" '$1 == "\"write\"" { in_write = 1 }
		in_write && $1 == key { sub(",", "", $3); print $3; exit }' "$1"
}

measure()
{
	local config=$1 dir=$2

	setup_config "$config"
	run_load "$cpus" "$dir/fio.json" --time_based --runtime="$seconds" --ramp_time=500ms --lat_percentiles=1
	teardown_config
	say "$config, round $round of $rounds: $(printf '%.0f' "$(fio_value "$dir/fio.json" iops)") IOPS"
}

run_engine()
{
	local engine=$1 dir=$2

	insmod "$opt/dm-copy-bench.ko"
	echo "engine=$engine src=/dev/nullb0 dst=/dev/nullb1 seconds=$seconds" > $copy_bench/run
	cat $copy_bench/result > "$dir/copybench.json"
	rmmod dm_copy_bench
	say "engine $engine, round $round of $rounds"
}

rounds=$1 seconds=$2
shift 2
bench_start
say "booted $(uname -r), $cpus CPUs"
for ((round = 1; round <= rounds; round++)); do
	for config in "$@"; do
		if [[ $config == engine ]]; then
			for engine in stock mq; do
				dir=/results/engine/$engine/round-$round
				mkdir -p "$dir"
				run_engine "$engine" "$dir"
			done
			continue
		fi
		dir=/results/$config/round-$round
		mkdir -p "$dir"
		measure "$config" "$dir"
		if [[ $config == stock || $config == ours ]] && ((round <= ${TRACE_ROUNDS:-rounds})); then
			trace_submissions "$config" origin "$trace_ios" "$dir/submissions.json"
			say "$config, round $round of $rounds: traced $((trace_ios * cpus)) first writes"
		fi
	done
done
if [[ -d /sys/module/dm_scaled ]]; then
	rmmod dm_scaled
fi
