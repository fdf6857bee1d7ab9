#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# make bench-vm and make bench as the README gives them, short: they end, and what they print has what it should.
# A plain check leaves it out, as it takes long.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck disable=SC2034
SELDOM=host

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

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
