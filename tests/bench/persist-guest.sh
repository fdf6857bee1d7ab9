#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# persist-guest.sh ROUNDS EXCEPTIONS MERGED: the part of persist.sh that runs in the VM. Leaves results.csv, a line for
# each measurement: what,round,target,seconds.
set -euo pipefail
opt=/opt/dm-scaled

# nullb NAME MEGABYTES MEMORY: makes one and prints its node
nullb()
{
	local dir=/sys/kernel/config/nullb/$1

	mkdir "$dir"
	echo "$2" > "$dir/size"
	echo "$3" > "$dir/memory_backed"
	echo 0 > "$dir/irqmode"
	echo 4096 > "$dir/blocksize"
	echo 1 > "$dir/power"
	echo "/dev/$1"
}

seconds()
{
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f", b - a }'
}

is_merged()
{
	[[ $(dmsetup status m) =~ \ ([0-9]+)/[0-9]+\ ([0-9]+)$ && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]]
}

# activate TARGET ROUND: a snapshot with many exceptions
activate()
{
	local begin target=snapshot

	[[ $1 == stock ]] || target=snapshot-scaled
	begin=$EPOCHREALTIME
	dmsetup create s --table "0 $size $target $origin $cow P 8"
	echo "activate,$2,$1,$(seconds "$begin")" >> /results/results.csv
	dmsetup remove s
}

# merge TARGET ROUND: scattered chunks
merge()
{
	local begin target=snapshot-merge

	[[ $1 == stock ]] || target=merge-scaled
	dmsc-cow "$cow" --exceptions "$merged"
	begin=$EPOCHREALTIME
	dmsetup create m --table "0 $size $target $origin $cow P 8"
	until is_merged; do
		sleep 0.05
	done
	echo "merge,$2,$1,$(seconds "$begin")" >> /results/results.csv
	dmsetup remove m
}

rounds=$1 exceptions=$2 merged=$3
modprobe dm-mod
modprobe dm-snapshot
modprobe null_blk nr_devices=0
insmod $opt/dm-scaled.ko
# Chunks of 4 KiB, every second one was copied; no data is in either device, only lists of exceptions.
origin=$(nullb origin $((exceptions / 128 + 8)) 0)
cow=$(nullb cow $((exceptions / 256 + exceptions / 65536 + 8)) 1)
size=$(blockdev --getsz "$origin")
dmsc-cow "$cow" --exceptions "$exceptions"
for ((round = 1; round <= rounds; round++)); do
	activate stock "$round"
	activate ours "$round"
done
for ((round = 1; round <= rounds; round++)); do
	merge stock "$round"
	merge ours "$round"
done
rmmod dm_scaled
