#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Does dmsc-bench compute what it should, and is what is not valid left out? Usage: bench.sh PATH-TO-DMSC-BENCH [DIR]
# DIR: keep the sample there, to look at its report.
set -euo pipefail

bench=$1
if [[ ${2:-} ]]; then
	dir=$2
	mkdir -p "$dir"
else
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
fi
failed=0

# list VALUE COUNT
list()
{
	local text=$1 i

	for ((i = 1; i < $2; i++)); do
		text+=", $1"
	done
	echo "[$text]"
}

# sample WORKLOAD CPUS TARGET PHASE IOPS LATENCY_NS INSTRUCTIONS: one measurement; instructions per operation
sample()
{
	local run=$dir/runs/$1-$2 cpus=${2%.*} target=$3 phase=$4 iops=$5 ns=$6 instructions=$7 device=dm-0

	mkdir -p "$run/$target"
	[[ $target != raw ]] || device=nullb0
	cat > "$run/$target/fio.json" <<-END
	{"jobs": [{"error": 0, "read": {"total_ios": 0}, "trim": {"total_ios": 0},
	"write": {"total_ios": 9, "iops": $iops, "lat_ns": {"mean": $ns, "percentile":
	{"50.000000": $((ns - 1000)), "99.000000": $((ns * 2)), "99.900000": $((ns * 3))}}}}]}
	END
	echo "{\"phase\": $phase, \"ms\": 1000, \"devices\": {\"$device\": {\"reads\": 0, \"writes\": $iops},
		\"nullb1\": {\"reads\": $iops, \"writes\": $iops}}}" > "$run/$target/window.json"
	cat > "$run/phase-$phase" <<-END
	{"phase": $phase, "valid": true, "problems": [], "guest_us": 1000000, "cpus": [
	{"user": 0, "kernel": $((iops * instructions)), "idle_us": 250000,
	"profile": {"ffffffff81000010": 30, "ffffffffc0000001": 10, "0000000000400000": 60}}
	$(for ((i = 1; i < cpus; i++)); do
		echo ', {"user": 0, "kernel": 0, "idle_us": 750000, "profile": {}}'
	done)]}
	END
	printf '%s\n' 'ffffffff81000000 T schedule' 'ffffffff81000100 t idle' \
		'ffffffffc0000000 t copy	[dm_mod]' > "$run/kallsyms.txt"
	pacer_json "$run" true
}

# pacer_json RUN VALID
pacer_json()
{
	local phases

	phases=$(cat "$1"/phase-* | tr '\n' ' ' | sed 's/} {"phase"/}, {"phase"/g')
	echo "{\"valid\": $2, \"problems\": [], \"phases\": [$phases]}" > "$1/pacer.json"
}

expect()
{
	if grep -qF -- "$2" <<< "$1"; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		failed=1
	fi
}

for cpus in 1 2 4 8 16; do
	sample cow $cpus raw 0 $((10000 * cpus)) 1600000 10000
	sample cow $cpus linear 1 $((8400 * cpus)) 1900000 12000
	sample cow $cpus stock 2 $((7000 - 2800 / cpus)) $((3800000 * cpus * 6 / 10)) 29000
	sample cow $cpus ours 3 $((5300 * cpus)) 3000000 18800
done
echo "{\"origin\": {\"R\": [1, 1, 400, $(list 1 13 | tr -d '[]')], \"W\": []}, \"cow\": {\"R\": [],
	\"W\": $(list 0 16)}}" > "$dir/runs/cow-16/stock/submissions.json"
echo "{\"origin\": {\"R\": $(list 25 16), \"W\": []}, \"cow\": {\"R\": [], \"W\": $(list 25 16)}}" \
	> "$dir/runs/cow-16/ours/submissions.json"
sample rewrite 1 linear 0 8000 1900000 12000
sample rewrite 1 stock 1 7000 2000000 14000
sample rewrite 1 ours 2 7900 1900000 12100
for n in '' .2; do
	sample large-write 1$n linear 0 900 1000000 90000
	sample large-write 1$n stock 1 30 30000000 900000
	sample large-write 1$n ours 2 450 2000000 180000
	sample backup 1$n ours 0 100 1000000 90000
done
cp "$dir/runs/cow-1/ours/fio.json" "$dir/runs/backup-1/ours/beside.json"
cp "$dir/runs/cow-2/ours/fio.json" "$dir/runs/backup-1.2/ours/beside.json"
mkdir -p "$dir/runs/engine-2/ours"
sample engine 2 ours 0 1000 1 5000
rm "$dir/runs/engine-2/ours/fio.json"
echo '{"copies_per_s": 500.5, "lat_us": {"mean": 3.5, "p50": 3, "p99": 9}}' \
	> "$dir/runs/engine-2/ours/copybench.json"

csv=$("$bench" --csv - --html "$dir/report.html" --title 'A <sample>' "$dir")
expect "$csv" "cow,16,ours,84800,3000,2999,6000,9000,18800,1,2,0.71875,0.75,1"
expect "$csv" "cow,16,stock,6825,36480,36479,72960,109440,29000,1,2,0.71875,0.75,15.4217"
expect "$csv" "engine,2,ours,500.5,3.5,3,9,,5000,"
# What others do meanwhile is a median of the rounds, too.
expect "$csv" "backup,1,ours,100,1000,999,2000,3000,90000,1,2,0.25,0.75,,7950,3000,6000"
expect "$csv" "large-write,1,ours,450,2000,1999,4000,6000,180000,1,2,0.25,0.75,,,,"
html=$(< "$dir/report.html")
expect "$html" "A &lt;sample&gt;"
expect "$html" "12.4 ×"
expect "$html" "84,800 against 6,825"
expect "$html" "Large I/O, in percent of what dm-linear does"
expect "$html" "<td>7,950</td><td>6.00</td>"
expect "$html" "does 15.42 × its fair share"
expect "$html" "</html>"
if grep -qE '(src|href)=|https?://[^w]|url\(' <<< "$html"; then
	echo "not ok - the report needs something else"
	failed=1
fi
text=$("$bench" --run --top 3 "$dir/runs/cow-16")
expect "$text" "11280  (user space)"
expect "$text" "1880  copy [dm_mod]"
text=$("$bench" --run "$dir/runs/backup-1")
expect "$text" "75.0          5300          6000"

text=$("$bench" --markdown cow --top 2 "$dir")
expect "$text" "| 16 | 160000 | 134400 | 6825 | 84800 | 12.42 | 36.48 | 3.00 | 72.96 | 6.00 | 29000 | 18800 |"
expect "$text" "| schedule | 8700 | 5640 | 8700 | 5640 |"
expect "$text" "| 1 others | 2900 | 1880 | 2900 | 1880 |"

# Of several rounds the medians count, and the median of the ratios within a round.
sample cow 2.2 stock 2 1000 5000000 31000
sample cow 2.2 ours 3 2000 4000000 18000
sample cow 2.3 stock 2 6000 2000000 27000
sample cow 2.3 ours 3 60000 1000000 19000
csv=$("$bench" --csv - "$dir")
expect "$csv" "cow,2,stock,5600,4560,4559,9120,13680,29000,"
expect "$csv" "cow,2,ours,10600,3000,2999,6000,9000,18800,"
text=$("$bench" --markdown cow "$dir")
expect "$text" "| 2 | 20000 | 16800 | 5600 | 10600 | 2.00 | 4.56 |"

pacer_json "$dir/runs/rewrite-1" false
code=0
csv=$("$bench" --csv - "$dir" 2> "$dir/errors") || code=$?
expect "exit code $code" "exit code 1"
expect "$(< "$dir/errors")" "not valid: rewrite-1"
if grep -q rewrite <<< "$csv"; then
	echo "not ok - what is not valid was quoted"
	failed=1
fi
echo '{' > "$dir/runs/cow-1/raw/fio.json"
code=0
"$bench" "$dir" 2> "$dir/errors" || code=$?
expect "exit code $code" "exit code 2"
expect "$(< "$dir/errors")" "cow-1/raw/fio.json"
exit "$failed"
