#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The simulator: what is independent is linear in the number of CPUs, what shares a lock is not, and two runs are equal.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
make -s -C tests/bench/pacer O="$out"
pacer=$out/pacer

# simulate NAME CPUS COMMAND: its output is in NAME.out, the pacer's report in NAME.json
simulate()
{
	local name=$1

	"$top/tests/vm/run" --kernel "$kver" --cpus "$2" --mem 1024 --accel thread=single --out "$dir/$name" --timeout 900 \
		--plugin "$pacer/pacer.so,out=$dir/$name.json" --add "$pacer/pace" --add "$pacer/spin" \
		--append 'nowatchdog nosoftlockup no_timer_check idle=halt' \
		-- bash -euc "cd /opt/dm-scaled; ./pace on; $3; ./pace off" > "$dir/$name.out" ||
		fail "$name: exit code $?"
}

valid()
{
	grep -q '^	"valid": true' "$dir/$1.json"
}

# speed NAME MODE THREADS
speed()
{
	awk -v mode="$2" -v threads="$3" '$1 == mode && $2 == threads { print $3 }' "$dir/$1.out"
}

# within WHAT VALUE LEAST MOST
within()
{
	awk -v value="$2" -v least="$3" -v most="$4" -v what="$1" 'BEGIN {
		ok = value != "" && value + 0 >= least + 0 && value + 0 <= most + 0
		printf "%s: %s is %.3f, must be %s to %s\n", ok ? "ok" : "not ok", what, value, least, most
		exit !ok
	}' || fail "$1"
}

ratio()
{
	awk -v a="$1" -v b="$2" 'BEGIN { print (b ? a / b : 0) }'
}

phase=0
command='true'
for mode in loop syscall lock short-lock; do
	for threads in 1 2 8; do
		command+="; ./spin $mode $threads 50 $phase"
		phase=$((phase + 1))
	done
done
simulate first 8 "$command"
simulate second 8 "$command"
cat "$dir/first.out"
valid first || fail "the run is not valid: $(grep -A5 problems "$dir/first.json")"
valid second || fail "the second run is not valid: $(grep -A5 problems "$dir/second.json")"
for mode in loop syscall; do
	one=$(speed first $mode 1)
	for threads in 2 8; do
		within "$mode with $threads CPUs to 1" "$(ratio "$(speed first $mode $threads)" "$one")" \
			"$(ratio $((threads * 98)) 100)" "$(ratio $((threads * 102)) 100)"
	done
done
within "lock with 8 CPUs to 1" "$(ratio "$(speed first lock 8)" "$(speed first lock 1)")" 1.7 2.3
within "short-lock with 8 CPUs to 1" "$(ratio "$(speed first short-lock 8)" "$(speed first short-lock 1)")" 6.5 8.1
for mode in loop syscall lock short-lock; do
	for threads in 1 2 8; do
		within "$mode with $threads CPUs, second run to first" \
			"$(ratio "$(speed second $mode $threads)" "$(speed first $mode $threads)")" 0.99 1.01
	done
done

# What must not be quoted says so.
simulate unpaced 1 './spin loop 1 20 1; ./pace off; ./spin loop 1 20 2'
! valid unpaced || fail "a phase without pacing counts as valid"

# start_qemu ARGUMENT...: with the plugin, for a moment, without executing anything
start_qemu()
{
	timeout 10 qemu-system-x86_64 -display none -nodefaults -S -accel tcg,thread=single \
		-plugin "file=$pacer/pacer.so,$*" > "$dir/log" 2>&1
}
start_qemu "out=$dir/nothing.json" || true
[[ -s $dir/nothing.json ]] || fail "no report"
! valid nothing || fail "a run without a phase counts as valid"
if start_qemu "out=$dir/x,nonsense=1"; then
	fail "started with a bad argument"
fi
grep -q 'pacer: no such argument: nonsense=1' "$dir/log" || fail "no message about a bad argument"
