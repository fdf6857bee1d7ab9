#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# micro-guest.sh SIZE_MB JOBS SECONDS "COUNT..." "TARGET...": the part of micro.sh that runs in the VM. Leaves
# results.csv: what,count,target,value,unit.
set -euo pipefail
# shellcheck source=tests/guest/lib.sh
. "$(dirname "$0")/../guest/lib.sh"
# shellcheck source=tests/guest/micro.sh
. "$(dirname "$0")/../guest/micro.sh"

size_mb=$1 jobs=$2 seconds=$3
read -ra counts <<< "$4"
read -ra targets <<< "$5"

# result WHAT VALUE UNIT
result()
{
	echo "$1,$count,$target,$2,$3" | tee -a /results/results.csv
}

# per N BEGIN FACTOR: what has passed since then, as in EPOCHREALTIME, times FACTOR, for each of N
per()
{
	awk -v n="$1" -v a="$2" -v f="$3" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", (b - a) * f / n }'
}

# load FIELD OPTION...: a field of what fio says of all jobs together
load()
{
	local field=$1 args=() i

	shift
	for ((i = 1; i <= count && i <= jobs; i++)); do
		args+=(--name="vm$i" --filename="/dev/mapper/vm$i")
	done
	fio --minimal --group_reporting --direct=1 --ioengine=libaio --runtime="$seconds" --time_based --size=64m \
		--randrepeat=0 "$@" "${args[@]}" | tail -n 1 | cut -d ';' -f "$field"
}

one()
{
	local before threads begin

	micro_clear "$count"
	micro_settle
	before=$(micro_memory_kb) threads=$(micro_threads)
	begin=$EPOCHREALTIME
	micro_table "$target" 1 "$count" | dmsetup create --concise
	result "create: each" "$(per "$count" "$begin" 1000)" ms
	micro_settle
	result "memory of an idle one" $((($(micro_memory_kb) - before) / count)) KiB
	result "kernel threads of each" \
		"$(awk -v n="$count" -v t=$(($(micro_threads) - threads)) 'BEGIN { printf "%.2f", t / n }')" threads
	result "boot storm: reads of 16 KiB in all" "$(load 8 --rw=randread --bs=16k --iodepth=4)" IOPS
	result "writes of 4 KiB in all" "$(load 49 --rw=randwrite --bs=4k --iodepth=4 --fdatasync=32)" IOPS
	begin=$EPOCHREALTIME
	micro_names 1 "$count" | xargs dmsetup remove
	result "remove: all one by one" "$(per 1 "$begin" 1)" s

	micro_clear "$count"
	micro_table "$target" 1 "$count" | dmsetup create --concise
	begin=$EPOCHREALTIME
	micro_remove_at_once "$count"
	result "remove: all at once" "$(per 1 "$begin" 1)" s
}

ulimit -n 65536
load_module
modprobe dm-snapshot
micro_devices "$size_mb" "$(printf '%s\n' "${counts[@]}" | sort -n | tail -n 1)"
for count in "${counts[@]}"; do
	for target in "${targets[@]}"; do
		one
	done
done
