# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="memory runs out: I/O becomes slow, but goes on, and the data is right"
TIMEOUT=600
# How much memory is to be had is known for this one.
KERNELS=stock
VM="--cpus 4 --mem 512"

# hog MB: takes so much memory, and is the first that the kernel kills when there is none left.
hog()
{
	echo 1000 > /proc/self/oom_score_adj
	# tail keeps in memory what it may have to print.
	exec tail -c "$1M" < <(head -c "$1M" /dev/zero; exec sleep 1000) > /dev/null
}

# squeeze MB: a file in memory, which cannot be reclaimed as there is no swap, leaves so much.
squeeze()
{
	local have

	have=$(available_mb)
	echo "$have MB available"
	(
		echo 1000 > /proc/self/oom_score_adj
		((have <= $1)) || dd if=/dev/zero bs=1M count=$((have - $1)) status=none >> /tmp/hog
	)
}

available_mb()
{
	awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo
}

# written DEVICE: the sectors written to it so far
written()
{
	awk '{ print $7 }' "/sys/class/block/${1#/dev/}/stat"
}

oom_kills()
{
	awk '$1 == "oom_kill" { print $2 }' /proc/vmstat
}

run_test()
{
	local c i pid before kills

	(($(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) < 700)) || skip "needs a VM of 512 MB"
	# Inherited by the checker and by dmsetup.
	echo -1000 > /proc/self/oom_score_adj
	integrity_start 24
	c=$(nullb_create size=25)
	# null_blk takes memory for what is written for the first time, and fails the write if there is none.
	dd if=/dev/zero of="$c" bs=1M count=25 oflag=direct status=none
	snap_create snap origin "$dev" "$c" N 8
	checker_start --load $model --snapshot /dev/mapper/snap --threads 16 --max-io 262144 --hang-timeout 90 \
		--lock-memory --save $model --json /tmp/memory.json
	sleep 3
	echo 512 > /proc/sys/vm/min_free_kbytes
	# The rest is in part not usable: the kernel's reserves, caches of each CPU, pages of programs.
	squeeze 56
	for ((i = 0; i < $(long_or 60 5); i++)); do
		kills=$(oom_kills)
		before=$(written "$dev")
		hog 96 2> /dev/null & pid=$!
		wait_for 120 eval '(($(oom_kills) > kills))'
		wait "$pid" 2> /dev/null || true
		echo "$(available_mb) MB left; $(($(written "$dev") - before)) sectors written"
		assert_le 1 "$(($(written "$dev") - before))" "sectors written while there was no memory"
	done
	rm /tmp/hog
	checker_stop
	integrity --load $model --verify-only
}
