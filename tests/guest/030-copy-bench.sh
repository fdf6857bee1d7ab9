# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="the copy benchmark: every copy is counted once, and ends early when it is told to"
SELDOM="stock"
TIMEOUT=300
KERNELS=stock

requires()
{
	need_test_module dm-copy-bench
}

# list KEY: numbers of an array, one for each CPU
list()
{
	sed -n "s/.*\"$1\": \[\(.*\)\].*/\1/p" <<< "$result" | tr -d ,
}

total()
{
	local n sum=0

	for n in $(list "$1"); do
		sum=$((sum + n))
	done
	echo "$sum"
}

# least KEY, most KEY
least()
{
	list "$1" | tr ' ' '\n' | sort -n | head -n 1
}

most()
{
	list "$1" | tr ' ' '\n' | sort -n | tail -n 1
}

check_sums()
{
	assert_eq "$(number errors)" 0
	assert_eq "$(total callbacks_on)" "$(number copies)" "callbacks"
	assert_eq "$(total reads_on)" "$(number copies)" "reads"
	assert_eq "$(total writes_on)" "$(number copies)" "writes"
	assert_eq "$(total submitted_on)" $((2 * $(number copies))) "bios"
	awk -v a="$(number p50)" -v b="$(number p99)" -v c="$(number max)" -v m="$(number mean)" \
		'BEGIN { exit !(0 < a && a <= b && b <= c && 0 < m && m <= c) }' || fail "latencies out of order"
}

run_test()
{
	local engine line cpus

	cpus=$(nproc)
	src=$(nullb_create size=16)
	dst=$(nullb_create size=16)
	fill "$src" 1
	fill "$dst" 2
	insmod "$opt/dm-copy-bench.ko"

	for engine in stock mq; do
		# As many copies as there are blocks, each once: then the contents are the same. The areas of
		# the submitters leave a rest if the blocks cannot be divided.
		fill "$dst" 2
		bench engine="$engine" copies=4096 cpus=0
		check_sums
		assert_eq "$(number copies)" 4096
		assert_eq "$(checksum "$dst")" "$(checksum "$src")" "contents after $engine"
		fill "$dst" 2
		bench engine="$engine" copies=1024 size_kb=16 pattern=seq depth=4 cpus=0
		check_sums
		assert_eq "$(checksum "$dst")" "$(checksum "$src")" "contents after $engine, in sequence"

		bench engine="$engine" seconds=1
		check_sums
		bench engine="$engine" copies=$((cpus * 1000))
		check_sums
		assert_eq "$(number copies)" $((cpus * 1000))
		bench engine="$engine" copies=100 size_kb=1024 depth=3 trace=0
		assert_eq "$(number copies)" 100
		assert_eq "$(list submitted_on)" ""
	done

	# Ours: each CPU does its own copies, and nobody else's.
	bench engine=mq copies=$((cpus * 1000))
	for line in reads_on writes_on callbacks_on; do
		assert_eq "$(least $line)" 1000 "$line"
		assert_eq "$(most $line)" 1000 "$line"
	done

	for line in nonsense "src=$src" "src=$src dst=/dev/no-such-device" "src=$src dst=$dst engine=other" \
		    "src=$src dst=$dst depth=0" "src=$src dst=$dst size_kb=0" "src=$src dst=$dst size_kb=32768" \
		    "src=$src dst=$dst cpus=4095" "src=$src dst=$dst cpus=x" "src=$src dst=$dst pattern=other" \
		    "src=$src dst=$dst seconds=0"; do
		kcopyd_line_fails "$copy_bench/run" "$line"
	done

	# A signal ends it.
	SECONDS=0
	dd of="$copy_bench/run" status=none <<< "src=$src dst=$dst seconds=60" &
	sleep 1
	kill -TERM $!
	wait $! || true
	assert_le "$SECONDS" 20 "seconds until a signal was heeded"

	# CPUs go away and come back under it.
	echo "src=$src dst=$dst seconds=4" > "$copy_bench/run" &
	for n in 1 2 3 4; do
		sleep 0.3
		cpu_online $((cpus - 1)) 0
		sleep 0.3
		cpu_online $((cpus - 1)) 1
	done
	wait $!
	result=$(< "$copy_bench/result")
	check_sums
	rmmod dm_copy_bench
}
