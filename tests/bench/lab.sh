#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The performance lab: measures workloads on simulated machines with 1 to 16 equal CPUs, and writes a report. What has
# been measured is not measured again. See docs/performance.md.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"
# shellcheck source=tests/bench/workloads.sh
. "$top/tests/bench/workloads.sh"

usage()
{
	cat <<-EOF
	usage: tests/bench/lab.sh [--quick] [--again] [--report]
	  --quick   a few workloads, a shorter time each
	  --again   measure anew what there is already
	  --report  measure nothing, write the report of what there is
	Environment: CPUS="1 2 4 8 16", WORKLOADS="${all_workloads[*]}",
	ROUNDS=1 (runs of each, of which the report gives the median),
	RESULTS=bench/results/DATE, WINDOW= and RAMP= as for paced.sh, KVER=, O=.
	Leaves in RESULTS: report.html, results.csv, runs/WORKLOAD-CPUS[.ROUND]/ with fio's and the simulator's JSON.
	EOF
}

# The plans: a workload and the numbers of CPUs that tell something about it.
full_plan()
{
	echo "cow 1 2 4 8 16"
	echo "rewrite 1 4 16"
	echo "snapshot-write 1 4 16"
	echo "cow-4-snapshots 1 8"
	echo "cow-80us 1 8 16"
	echo "engine 1 16"
	echo "large-write 1 4 16"
	echo "large-rewrite 1 4 16"
	echo "large-snapshot-read 1 4 16"
	echo "large-snapshot-read-copied 1 4 16"
	echo "large-snapshot-read-half 1"
	echo "large-snapshot-write 1 4 16"
	echo "large-write-persistent 1 16"
	echo "large-write-128k 1 16"
	echo "large-write-64k-random 1 16"
	echo "large-write-16k-chunks 1"
	echo "large-write-64k-chunks 1"
	echo "large-rewrite-64k-chunks 1"
	echo "large-snapshot-read-64k-chunks 1"
	echo "large-buffered 1"
	echo "large-ext4 1"
	echo "backup 1 4"
	echo "write-beside-large 1"
	echo "cow-persistent 1 16"
	echo "snapshot-write-persistent 1 16"
	echo "snapshot-write-persistent-depth-1 1"
	echo "snapshot-ext4-fsync 1"
	echo "snapshot-ext4-fsync-no-cache 1"
	echo "cow-persistent-flush 16"
	echo "snapshot-read 1 16"
	echo "snapshot-read-cow 1 8"
	echo "snapshot-write-partial 1 8"
	echo "cow-2-snapshots 1 8"
	echo "cow-16k 1 8"
	echo "cow-64k 1 8"
	echo "cow-softirq 1 8"
	echo "cow-interleaved 4 16"
}

quick_plan()
{
	echo "cow 1 4 16"
	echo "rewrite 1"
	echo "large-write 1"
	echo "large-snapshot-read 1"
	echo "snapshot-write 1 4"
}

quick='' again='' measure=y
while (($#)); do
	case $1 in
	--quick) quick=y ;;
	--again) again=y ;;
	--report) measure='' ;;
	--help|-h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
plan=$(full_plan)
if [[ $quick ]]; then
	plan=$(quick_plan)
	export WINDOW=${WINDOW:-200} RAMP=${RAMP:-100}
fi
results=$(realpath -m "${RESULTS:-$top/bench/results/$(date +%F)${quick:+-quick}}")
mkdir -p "$results"

runs=()
while read -r workload counts; do
	[[ " ${WORKLOADS:-${all_workloads[*]}} " == *" $workload "* ]] || continue
	for cpus in ${CPUS:-$counts}; do
		runs+=("$workload $cpus")
	done
done <<< "$plan"
# What was asked for and is not in the plan.
for workload in ${WORKLOADS:-}; do
	describe_workload "$workload"
	grep -q "^$workload " <<< "$plan" || for cpus in ${CPUS:-1 8}; do
		runs+=("$workload $cpus")
	done
done

[[ ! $measure ]] || "$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
failed=0
begin=$SECONDS
rounds=${ROUNDS:-1}
for ((i = 0; i < ${#runs[@]} * rounds; i++)); do
	[[ $measure ]] || break
	read -r workload cpus <<< "${runs[i % ${#runs[@]}]}"
	round=$((i / ${#runs[@]} + 1))
	progress="$((i + 1)) of $((${#runs[@]} * rounds)): $workload, $cpus CPUs"
	((round == 1)) || progress+=", round $round"
	if [[ ! $again && -e $results/runs/$(run_name "$workload" "$cpus" "$round")/complete ]]; then
		echo "$progress: measured before"
		continue
	fi
	echo "$progress ($((SECONDS - begin)) s since the start)"
	WORKLOAD=$workload ROUND=$round OUT=$results TOP=0 "$top/tests/bench/paced.sh" "$cpus" || {
		echo "$progress: FAILED, not in the report" >&2
		failed=$((failed + 1))
	}
done
kver=$(default_kver)
make -s -C "$top/tools" O="$out" "$out/tools/dmsc-bench"
title="dm-scaled and stock snapshots, $(date -r "$results" +%F), kernel $kver"
"$out/tools/dmsc-bench" --csv "$results/results.csv" --html "$results/report.html" --title "$title" "$results" ||
	failed=1
echo "report: $results/report.html"
((!failed))
