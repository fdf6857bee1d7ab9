#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# merge-guest.sh ROUNDS ROW SCATTERED: the part of merge.sh that runs in the VM.
set -euo pipefail
# shellcheck source=tests/guest/lib.sh
. "$(dirname "$0")/../guest/lib.sh"
# shellcheck source=tests/bench/turns-guest.sh
. "$(dirname "$0")/turns-guest.sh"

# devices [ATTRIBUTE=VALUE...]: of the origin and of the COW device. Of both, only the lists of exceptions are kept,
# each of which has 256 chunks of data behind it: copying in memory would be what an emulated CPU does most of the
# time.
devices()
{
	local lists data areas at

	origin=$(nullb_create size=1024 blocksize=4096 memory_backed=0 "$@")
	lists=$(nullb_create size=64 blocksize=4096 "$@")
	data=$(nullb_create size=1024 blocksize=4096 memory_backed=0 "$@")
	size=$(blockdev --getsz "$origin")
	areas=$(((row > scattered ? row : scattered) / 256 + 2))
	echo "0 8 linear $lists 0" > /tmp/cow.table
	for ((at = 0; at < areas; at++)); do
		echo "$((8 + at * 2056)) 8 linear $lists $((8 + at * 8))"
		echo "$((16 + at * 2056)) 2048 linear $data $((at * 2048))"
	done >> /tmp/cow.table
	dmsetup create lists$((++nr_devices)) /tmp/cow.table
	cow=/dev/mapper/lists$nr_devices
}

# cached: both get a cache
cached()
{
	local dev

	for dev in origin cow; do
		dm_create "$dev" "0 $(blockdev --getsz "${!dev}") volatile ${!dev} 0 1000"
	done
	origin=/dev/mapper/origin cow=/dev/mapper/cow
}

# merge WHAT CHUNKS OPTIONS TARGET
merge()
{
	local begin target=snapshot-merge

	[[ $4 == stock ]] || target="merge-scaled"
	# shellcheck disable=SC2086
	dmsc-cow "$cow" --exceptions "$2" $3
	# Loading the list is not what is measured.
	dmsetup create m --notable
	dmsetup reload m --table "0 $size $target $origin $cow P 8"
	begin=$EPOCHREALTIME
	dmsetup resume m
	until is_merged m; do
		sleep 0.02
	done
	result "$1" "$4" "$(elapsed "$begin")" seconds
	dm_remove m
}

rounds=$1 row=$2 scattered=$3 nr_devices=0
load_module
modprobe dm-snapshot
insmod "$opt/dm-volatile.ko"
# All that follows is simulated.
"$opt/pace" on
devices
in_turns "$rounds" merge "$row in a row" "$row" "--stride 1 --in-order"
in_turns "$rounds" merge "$scattered scattered" "$scattered" ""
devices irqmode=2 completion_nsec=80000
cached
in_turns "$rounds" merge "$row in a row: 80 µs and flushes" "$row" "--stride 1 --in-order"
in_turns "$rounds" merge "$((scattered / 10)) scattered: 80 µs and flushes" "$((scattered / 10))" ""
"$opt/pace" off
dm_remove origin cow lists1 lists2
rmmod dm_volatile
unload_module
