#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# offload-guest.sh paced|free ROUNDS: the part of offload.sh that runs in the VM. Leaves results.csv, a line for each
# measurement: what, switch, copies per second, MiB per copy, bytes over PCIe per copy, commands per copy, copies.
set -euo pipefail
mode=$1 rounds=$2
opt=/opt/dm-scaled
lib=$opt/tests/guest
# shellcheck source=tests/guest/lib.sh
. "$lib/lib.sh"
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
phase=0

# moved: sectors that were read from and written to the disk, with how many I/Os, and ranges and commands of its own
# copies
moved()
{
	awk '{ print $3 + $7; print $1 + $5 }' "/sys/block/${disk#/dev/}/stat"
	offload keep ranges
	offload keep commands
}

# measure WHAT SWITCH KIB COMMAND...: runs the load, which prints how many copies it made in a second, and in all
measure()
{
	local what=$1 switch=$2 kib=$3 before after rate copies

	shift 3
	echo "$switch" > /sys/module/dm_scaled/parameters/offload
	mapfile -t before < <(moved)
	[[ $mode == free ]] || { "$opt/pace" on && "$opt/pace" begin "$phase"; }
	"$@" > /tmp/load
	[[ $mode == free ]] || { "$opt/pace" end "$phase" && "$opt/pace" off; }
	phase=$((phase + 1))
	read -r rate copies < /tmp/load
	mapfile -t after < <(moved)
	awk -v OFS=, -v what="$what" -v switch="$switch" -v rate="$rate" -v n="$copies" -v kib="$kib" \
		-v sectors=$((after[0] - before[0])) -v ios=$((after[1] - before[1])) \
		-v ranges=$((after[2] - before[2])) -v commands=$((after[3] - before[3])) 'BEGIN {
			# A range is 32 bytes; a command and its completion 64 and 16.
			bytes = sectors * 512 + ranges * 32 + (ios + commands) * 80
			print what, switch, rate, kib / 1024, bytes / n, (ios + commands) / n, n
		}' | tee -a /results/results.csv
}

# copies KIB NUMBER: by the engine
copies()
{
	echo "engine=mq src=$src dst=$dst size_kb=$1 depth=16 trace=0 copies=$2" > "$copy_bench/run"
	result=$(< "$copy_bench/result")
	echo "$(number copies_per_s) $(number copies)"
}

# first_writes KIB NUMBER: the origin's own writes are counted, too.
first_writes()
{
	local rw=randwrite

	(($1 == 4)) || rw="write"
	fio --name=load --filename=/dev/mapper/origin --ioengine=libaio --direct=1 --bs="$1k" --rw=$rw --iodepth=16 \
		--norandommap=0 --numjobs="$(nproc)" --size=$((128 / $(nproc)))m --offset_increment=$((128 / $(nproc)))m \
		--number_ios=$(($2 / $(nproc))) --cpus_allowed_policy=split --cpus_allowed="0-$(($(nproc) - 1))" \
		--group_reporting --eta=never --output-format=json --output=/tmp/fio.json
	awk '/"write" :/ { here = 1 } here && $1 == "\"iops\"" { print $3 + 0; exit }' /tmp/fio.json | tr '\n' ' '
	echo $(($(cows snap) * 4 / $1))
}

load_module
nvme_start
insmod "$opt/dm-copy-bench.ko"
disk=$(nvme_disk a)
nvme_keep "$disk"
src=$(nvme_partition "$disk" 128) dst=$(nvme_partition "$disk" 160)
for ((round = 0; round < rounds; round++)); do
	for switch in off auto; do
		measure copy-4 $switch 4 copies 4 20000
		measure copy-64 $switch 64 copies 64 4000
		measure copy-1024 $switch 1024 copies 1024 400
	done
	for switch in off auto; do
		for kib in 4 1024; do
			origin_create origin "$src"
			snap_create snap origin "$src" "$dst"
			measure cow-$kib $switch $kib first_writes $kib $((kib == 4 ? 24000 : 120))
			dm_remove snap origin
		done
	done
done
