#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# persist-guest.sh ROUNDS EXCEPTIONS MERGED: the part of persist.sh that runs in the VM.
set -euo pipefail
# shellcheck source=tests/guest/lib.sh
. "$(dirname "$0")/../guest/lib.sh"
# shellcheck source=tests/bench/turns-guest.sh
. "$(dirname "$0")/turns-guest.sh"

# activate WHAT TARGET: a snapshot with many exceptions
activate()
{
	local begin target=snapshot

	[[ $2 == stock ]] || target="snapshot-scaled"
	begin=$EPOCHREALTIME
	dm_create s "0 $size $target $origin $cow P 8"
	result "$1" "$2" "$(elapsed "$begin")" seconds
	dm_remove s
}

# merge TARGET: scattered chunks
merge()
{
	local begin target=snapshot-merge

	[[ $1 == stock ]] || target="merge-scaled"
	dmsc-cow "$cow" --exceptions "$merged"
	begin=$EPOCHREALTIME
	dm_create m "0 $size $target $origin $cow P 8"
	until is_merged m; do
		sleep 0.05
	done
	result merge "$1" "$(elapsed "$begin")" seconds
	dm_remove m
}

rounds=$1 exceptions=$2 merged=$3
load_module
modprobe dm-snapshot
# Chunks of 4 KiB; no data is in either device, only lists of exceptions.
origin=$(nullb_create size=$((exceptions / 128 + 8)) blocksize=4096 memory_backed=0)
cow=$(nullb_create size=$((exceptions / 256 + exceptions / 65536 + 8)) blocksize=4096)
size=$(blockdev --getsz "$origin")
# Every second chunk was copied, in an order that jumps about: the worst there is.
dmsc-cow "$cow" --exceptions "$exceptions"
in_turns "$rounds" activate "activate"
# All of a part, one after the other: what a sequential writer leaves.
dmsc-cow "$cow" --exceptions "$exceptions" --stride 1 --in-order
in_turns "$rounds" activate "activate sequential"
((!merged)) || in_turns "$rounds" merge
unload_module
