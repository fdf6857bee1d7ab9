#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures stock's snapshot and ours in VMs, alternating in the same boot, and the copy engines by themselves.
# Environment: CPUS="1 4 8", ROUNDS=5, KVER=, O=, RESULTS=$O/bench, where all.csv and all.json are left.
# PACED="1 16": numbers of CPUs to be simulated, too, if the simulator is there (see paced.sh): for instructions per
# write, and for what this machine has not enough cores to show.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

read -ra counts <<< "${CPUS:-1 4 8}"
"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
results=${RESULTS:-$out/bench}
rm -rf "$results"
mkdir -p "$results"
make -C "$top" -j"$(nproc)" KVER="$kver" O="$out" module test-modules tools > "$results/build.log" 2>&1 || {
	tail -n 40 "$results/build.log"
	exit 1
}
dirs=()
for cpus in "${counts[@]}"; do
	dir=$results/$cpus-cpus
	dirs+=("$dir")
	echo "== $cpus CPUs"
	"$top/tests/vm/run" --kernel "$kver" --cpus "$cpus" --out "$dir" --timeout 3600 \
		-- /opt/dm-scaled/tests/bench/guest.sh "${ROUNDS:-5}" 3 raw linear stock ours engine
done
"$out/tools/dmsc-report" --bench --csv "$results/all.csv" --json "$results/all.json" "${dirs[@]}"

if [[ ! -r $top/../shared/lab/pace.cpp ]]; then
	echo "no simulator in $top/../shared/lab: instructions per write are not measured"
	exit
fi
n=' *([0-9]+)'
for cpus in ${PACED-1 16}; do
	echo "== $cpus equal CPUs, simulated; one run, as others would differ by less than 1 %"
	OUT=$results/paced-$cpus PROFILE=0 KVER=$kver O=$out "$top/tests/bench/paced.sh" "$cpus" raw stock ours |
		sed -nE "s/^\S* (raw|stock|ours) .*fioIOPS=$n mean=${n}us p99=${n}us.*insn\/IO=$n.*/\1 \2 \3 \4 \5/p" |
		awk '
			NR == 1 { printf "%-8s%14s%14s%14s%20s\n", "", "writes/s", "mean us", "p99 us", "instructions/write" }
			{
				printf "%-8s%14d%14d%14d%20d\n", $1, $2, $3, $4, $5
				for (i = 2; i <= 5; i++)
					value[$1, i] = $i
			}
			END {
				printf "ratio   "
				for (i = 2; i <= 5; i++)
					printf i < 5 ? "%14.2f" : "%20.2f\n", value["ours", i] / value["stock", i]
			}'
done
