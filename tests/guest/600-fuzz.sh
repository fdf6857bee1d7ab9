# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/fuzz.sh
. "$lib/fuzz.sh"
DESCRIPTION="generated tables, messages and sequences of ioctls: what is refused, accepted and shown is as documented"
TIMEOUT=600
SELDOM="stock"
# Makes the slab allocator keep the call site of each object; where there is kmemleak, it looks instead.
VM="--cpus 4 --mem 2048 --append slub_debug=U --append kmemleak=on"

requires()
{
	is_ours || skip "the oracle knows our targets"
}

# Live objects that our module has allocated, by slab cache and call site. The debug kernel counts what KASAN keeps
# after it was freed.
ours_alive()
{
	local cache

	[[ ! -e /sys/kernel/debug/kmemleak ]] || return 0
	for cache in /sys/kernel/debug/slab/*/alloc_traces; do
		# debugfs' files for slab caches, on which the kernel sits as it likes; and our caches, of which CPUs keep
		# objects at hand as long as there is a snapshot.
		[[ $cache != */@(dentry|inode_cache|lsm_inode_cache|dm_kcopyd*|dm_snap*)/* ]] || continue
		awk -v cache="$cache" '/\[dm_scaled\]/ && $1 ~ /^[0-9]+$/ { print cache, $2, $1 }' "$cache"
	done | sort
}

# Frees wait for a grace period.
settled()
{
	[[ $(ours_alive) == "$before" ]]
}

# kmemleak_scan: prints what it has found.
kmemleak_scan()
{
	local file=/sys/kernel/debug/kmemleak i

	[[ -e $file ]] || return 0
	# It takes for a leak only what it has seen twice, and not what is young.
	for i in 1 2 3; do
		sleep 3
		echo scan > $file
	done
	cat $file
}

run_test()
{
	local devices=() name before hotplug status=0 i

	devices+=(--device "origin=$(nullb_create size=64 discard=1)")
	devices+=(--device "cow=$(nullb_create size=32 discard=1)")
	devices+=(--device "block=$(nullb_create size=64 blocksize=4096)")
	devices+=(--device "huge=$(nullb_create size=137438953472 memory_backed=0)")
	devices+=(--device "vast=$(nullb_create size=137438953472 memory_backed=0)")
	devices+=(--device "meta=$(nullb_create size=4)")
	devices+=(--device "dest=$(nullb_create size=64 discard=1)")
	devices+=(--device "source=$(nullb_create size=64)")
	name=$(nullb_create size=32)
	blockdev --setro "$name"
	devices+=(--device "readonly=$name")
	modprobe loop
	devices+=(--device zero=/dev/loop7)
	dm_create mapped "0 65536 linear $(nullb_create size=32) 0"
	devices+=(--device "mapped=/dev/dm-$(dmsetup info -c --noheadings -o minor mapped)")

	# What a table needs of the block layer is made once, and kept by a table that stays.
	name=$(nullb_create size=32)
	dm_create keep "0 8 snapshot-scaled $name /dev/loop6 N 8"
	dm_create keep-origin "0 8 origin-scaled $name"

	# The kernel looks for modules with the names of targets that do not exist, which takes long.
	hotplug=$(< /proc/sys/kernel/modprobe)
	echo > /proc/sys/kernel/modprobe
	fuzz_begin
	# Whatever is allocated once, at first use.
	dmsc-fuzz "${devices[@]}" --trouble "$lib/trouble" --seed 1 --tries 50
	before=$(ours_alive)
	echo "in use by the module itself: $before"
	[[ ! -e /sys/kernel/debug/kmemleak ]] || echo clear > /sys/kernel/debug/kmemleak

	fuzz "${devices[@]}" --trouble "$lib/trouble" --corpus "$lib/../fuzz/tables.txt" \
		--tries "$(long_or "$(slow_or 1000 10000)" "$(slow_or 250 700)")" || status=$?
	echo "$hotplug" > /proc/sys/kernel/modprobe
	fuzz_log_read
	fuzz_end "$status"

	for ((i = 0; i < 40; i++)); do
		! settled || break
		sleep 0.5
	done
	assert_eq "$(ours_alive)" "$before" "allocations after all"
	assert_eq "$(kmemleak_scan)" "" "leaks"
}
