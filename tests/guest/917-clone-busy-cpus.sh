# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="where CPUs are busy, who waits for the background waits no longer than for a copy of his own"
KERNELS=stock
TIMEOUT=180
# Each CPU more takes as long again. The guest's clock counts instructions: two waits are compared, of which the
# machine may not have stood still in one.
VM="--cpus 1 --mem 1024 --accel thread=single --qemu -icount --qemu shift=2,sleep=off"

busy=()

# busy_start N: N tasks for each CPU, stopped for now
busy_start()
{
	local i cpu

	busy=()
	for ((i = 0; i < $1; i++)); do
		for ((cpu = 0; cpu < $(nproc); cpu++)); do
			taskset -c "$cpu" bash -c 'kill -STOP $$; while :; do :; done' &
			busy+=($!)
		done
	done
}

busy_end()
{
	kill -KILL "${busy[@]}"
	wait "${busy[@]}" 2> /dev/null || true
}

# waiting WHO: how long a write takes, in ms, to a region of 2 MiB that WHO copies, a quarter of a second without
# others, and then the removal, while all CPUs are busy
waiting()
{
	local source dest meta begin middle region

	source=$(nullb_create mbps=8) dest=$(nullb_create) meta=$(nullb_create size=4)
	clone_create clone 4096 1 no_hydration
	if [[ $1 == background ]]; then
		dmsetup message clone 0 enable_hydration
		wait_for 10 is_copying clone -gt 0
	fi
	region=$(hydrated clone)
	kill -CONT "${busy[@]}"
	begin=$(date +%s%N)
	put /dev/mapper/clone $((region * 4096 + 1)) 1 a
	middle=$(date +%s%N)
	dm_remove clone
	took=$(((middle - begin) / 1000000)) removal=$((($(date +%s%N) - middle) / 1000000))
	kill -STOP "${busy[@]}"
	cleanup_devices > /dev/null
}

run_test()
{
	local n took removal own end

	pattern a > /dev/null
	for n in 1 4 16; do
		busy_start "$n"
		waiting writer
		own=$took end=$removal
		waiting background
		echo "$n busy: writer $own, its removal $end, background $took, its removal $removal"
		assert_le "$took" $((2 * own)) "ms for a write, $n tasks on each CPU"
		# As much as is being copied has to end.
		assert_le "$removal" $((2 * end + 1000)) "ms for removal, $n tasks on each CPU"
		busy_end
	done
}
