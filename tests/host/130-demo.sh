#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# make demo, make bench-vm and make bench as the README gives them, short: they end, and what they print has what it
# should.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# has LOG REGEX...
has()
{
	local log=$1 regex

	shift
	for regex in "$@"; do
		grep -qE "$regex" "$log" || fail "no $regex in $log"
	done
}

RESULTS=$dir/demo make KVER="$kver" O="$out" CPUS=2 ROUNDS=1 demo | tee "$dir/demo.log"
has "$dir/demo.log" 'null_blk' 'dm-linear' 'stock' 'dm-scaled' '^ *1 .*%.*%'
"$out/tools/dmsc-report" --check max-share=1.25 "$dir/demo/2-cpus" > /dev/null

RUN=1 RESULTS=$dir/bench make KVER="$kver" O="$out" CPUS=2 ROUNDS=1 bench-vm | tee "$dir/bench.log"
has "$dir/bench.log" '^== 2 CPUs$' '^ *1 .*%.*%' 'the copy engines alone'
has "$dir/bench/all.csv" ',ours,'
[[ -s $dir/bench/all.json ]] || fail "no all.json"

WINDOW=100 RAMP=50 make KVER="$kver" O="$out" CPUS=1 WORKLOADS=cow-16k RESULTS="$dir/lab" bench | tee "$dir/lab.log"
has "$dir/lab.log" '^stock' '^dm-scaled' '^report: '
has "$dir/lab/results.csv" '^cow-16k,1,ours,'
[[ -s $dir/lab/report.html ]] || fail "no report.html"
make KVER="$kver" O="$out" CPUS=1 WORKLOADS=cow-16k RESULTS="$dir/lab" bench | tee "$dir/again.log"
has "$dir/again.log" 'measured before'
