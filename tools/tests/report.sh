#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Does dmsc-report compute what it should? Usage: report.sh PATH-TO-DMSC-REPORT
set -euo pipefail

report=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# fio CONFIG ROUND IOPS MEAN_NS P99_NS
fio() {
	mkdir -p "$dir/r/$1/round-$2"
	cat > "$dir/r/$1/round-$2/fio.json" <<-EOF
	{"jobs": [{"error": 0,
	"read": {"total_ios": 0, "iops": 0, "lat_ns": {"mean": 0}, "clat_ns": {"mean": 0}},
	"trim": {"total_ios": 0, "iops": 0, "lat_ns": {"mean": 0}, "clat_ns": {"mean": 0}},
	"write": {"total_ios": 9, "iops": $3, "lat_ns": {"mean": $4},
	"clat_ns": {"mean": 1, "percentile": {"99.000000": $5}}}}]}
	EOF
}

# submissions CONFIG ROUND READS WRITES
submissions() {
	echo "{\"origin\": {\"R\": $3, \"W\": []}, \"cow\": {\"R\": [], \"W\": $4}}" \
		> "$dir/r/$1/round-$2/submissions.json"
}

expect() {
	if grep -qF -- "$2" <<< "$1"; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		failed=1
	fi
}

expect_exit() {
	local want=$1 got=0
	shift
	"$report" "$@" > "$dir/out" 2>&1 || got=$?
	if [ "$got" -eq "$want" ]; then
		echo "ok - exit $want: ${*#"$dir"/}"
	else
		echo "not ok - exit $got instead of $want: $*"
		cat "$dir/out"
		failed=1
	fi
}

for round in 1 2 3; do
	fio raw $round 40000 100000 200000
	fio stock $round "${round}000" 8000000 16000000
	fio ours $round $((round * round * 1000)) 2000000 4000000
	submissions stock $round '[0,400,0,0]' '[400,0,0,0]'
	submissions ours $round '[100,100,100,100]' '[110,90,100,100]'
done

csv=$("$report" --csv - "$dir/r")
expect "$csv" "r,dm,stock,rate,2000,1000,3000,3"
# Each round against its neighbour: 1, 2 and 3, not the ratio of the medians, 4000 / 2000.
expect "$csv" "r,dm,ours,rate_to_stock,2,1,3,3"
expect "$csv" "r,dm,ours,mean_us,2000,2000,2000,3"
expect "$csv" "r,dm,ours,p99_us,4000,4000,4000,3"
expect "$csv" "r,dm,stock,max_read_share,4,4,4,3"
expect "$csv" "r,dm,ours,max_write_share,1.1,1.1,1.1,3"

text=$("$report" --ascii "$dir/r")
expect "$text" "dm-scaled   4,000      2.00  2,000.0   4,000.0"
expect "$text" "    0  ########################  50.0 %  #############             26.2 %"
text=$("$report" --unicode --bench "$dir/r")
expect "$text" "2.00 (1.00 - 3.00)"
expect "$text" "█"

expect_exit 0 --check max-share=1.25 --check min-iops-ratio=2 --check max-latency-ratio=0.25 "$dir/r"
expect_exit 1 --check max-share=1.05 "$dir/r"
expect_exit 1 --check min-iops-ratio=2.1 "$dir/r"
expect_exit 2 --check max-share "$dir/r"
expect_exit 2 --check no-such=1 "$dir/r"
expect_exit 2 "$dir"
rm -r "$dir/r/ours"
expect_exit 1 --check max-share=1.25 "$dir/r"

for engine in stock mq; do
	mkdir -p "$dir/r/engine/$engine/round-1"
	echo '{"engine": "x", "cpus": 2, "copies_per_s": 500.5,
		"lat_us": {"mean": 3.5, "p50": 3, "p99": 9}, "reads_on": [10, 30], "writes_on": [10, 30]}' \
		> "$dir/r/engine/$engine/round-1/copybench.json"
done
csv=$("$report" --csv - "$dir/r")
expect "$csv" "r,engine,mq,rate,500.5,500.5,500.5,1"
expect "$csv" "r,engine,mq,max_write_share,1.5,1.5,1.5,1"

echo '{' > "$dir/r/raw/round-1/fio.json"
expect_exit 2 "$dir/r"
grep -q 'raw/round-1/fio.json' "$dir/out" || { echo "not ok - names the bad file"; failed=1; }
exit "$failed"
