#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# tests/vm/run itself: results and exit codes come out, and no kind of failure is taken for success.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# vm CODE NAME COMMAND...: the command must end with the exit code
vm()
{
	local want=$1 name=$2 code=0

	shift 2
	"$top/tests/vm/run" --kernel "$kver" --cpus 1 --mem 1024 --out "$dir/$name" "${options[@]}" -- "$@" \
		> "$dir/$name.out" 2> "$dir/$name.err" || code=$?
	if ((code != want)); then
		cat "$dir/$name.out" "$dir/$name.err"
		fail "$name: exit code $code, not $want"
	fi
}

options=(--append quiet)
vm 7 result bash -c 'test -r /opt/dm-scaled/dm-scaled.ko && test "$(nproc)" = 1 || exit; uname -r > /results/kernel
	echo "said $1"; echo data > /results/file; mkdir /results/d; echo x > "/results/d/a b"
	exit 7' _ "a  b"
[[ $(< "$dir/result/file") == data && $(< "$dir/result/d/a b") == x ]] || fail "results did not come out"
[[ $(< "$dir/result.out") == 'said a  b' ]] || fail "output did not come out"
[[ $(< "$dir/result/kernel") == "$kver" ]] || fail "another kernel"

vm 1 warning bash -c 'echo "WARNING: CPU: 0 PID: 1 at test" > /dev/kmsg; echo "tail of it" > /dev/kmsg'
grep -q 'tail of it' "$dir/warning.err" || fail "the log was not shown"

vm 1 panic bash -c 'echo c > /proc/sysrq-trigger'
grep -q 'Kernel panic' "$dir/panic.err" || fail "the panic was not shown"

options=(--timeout 25)
vm 1 hang bash -c 'sleep 1000'
grep -q 'hung: no end after 25 s' "$dir/hang.err" || fail "not reported as hung"
grep -q 'Show Blocked State' "$dir/hang/console.log" || fail "blocked tasks were not asked for"
grep -q 'task:sleep' "$dir/hang/console.log" || fail "tasks were not listed"

options=(--timeout 60 --idle 10)
vm 1 idle bash -c 'sleep 1000'
grep -q 'hung: no output for 10 s' "$dir/idle.err" || fail "silence was not noticed"
