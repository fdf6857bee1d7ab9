# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/micro.sh
. "$lib/micro.sh"
DESCRIPTION="hosts of micro-VMs: many snapshots of a read-only base need little each, do not mix, and go all at once"
TIMEOUT=400
KERNELS="stock debug"

# What a single one takes is less than what comes and goes meanwhile.
count=$(slow_or 30 100)

# measure TARGET: sets $kb and $threads to the KiB and the kernel threads that $count devices need
measure()
{
	local before

	micro_settle
	kb=$(micro_memory_kb) before=$(micro_threads)
	micro_table "$1" 1 "$count" | dmsetup create --concise
	micro_settle
	kb=$(($(micro_memory_kb) - kb)) threads=$(($(micro_threads) - before))
	micro_names 1 "$count" | xargs dmsetup remove
}

letter()
{
	local letters=acdefghijklmnopqrstuvwxyz

	echo "${letters:$(($1 % 25)):1}"
}

# Chunks of its own, as many as are its number.
write_all()
{
	local i

	for ((i = 1; i <= count; i += 7)); do
		put_blocks "/dev/mapper/vm$i" 64 "$i" 8 "$(letter $i)"
	done
}

check_all()
{
	local i

	for ((i = 1; i <= count; i += 7)); do
		assert_holds "/dev/mapper/vm$i" 64 $((i * 8)) "$(letter $i)"
		assert_holds "/dev/mapper/vm$i" $((64 + i * 8)) 512 b
		# One that is not written.
		assert_holds "/dev/mapper/vm$((i > 1 ? i - 1 : 2))" 0 1024 b
	done
}

run_test()
{
	local kb threads linear target=ours

	is_ours || target=stock
	modprobe dm-mod
	modprobe dm-bufio
	micro_devices 2048 "$count"
	# What is made once.
	micro_table $target 1 1 | dmsetup create --concise
	micro_names 1 1 | xargs dmsetup remove
	micro_clear 1
	if [[ $variant == stock ]]; then
		measure linear
		linear=$kb
		measure $target
		echo "$count snapshots: $kb KiB, $threads kernel threads; as many of dm-linear: $linear KiB"
		assert_le $(((kb - linear) / count)) 64 "KiB of an idle snapshot"
		assert_le "$threads" $((2 * count)) "kernel threads, half of them device-mapper's own"
		micro_clear "$count"
	fi

	micro_table $target 1 "$count" | dmsetup create --concise
	write_all
	check_all
	micro_remove_at_once "$count"
	micro_table $target 1 "$count" | dmsetup create --concise
	check_all
	write_all
	check_all
	micro_remove_at_once "$count"
	micro_devices_remove
}
