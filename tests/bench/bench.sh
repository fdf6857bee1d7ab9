#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures stock's snapshot and ours in VMs, alternating in the same boot, and the copy engines by themselves.
# Environment: CPUS="1 4 8", ROUNDS=5, RUN=3 (seconds of each measurement), KVER=, O=, RESULTS=$O/bench, where all.csv
# and all.json are left.
# For instructions per write, and for what this machine has not enough cores to show, see lab.sh.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

read -ra counts <<< "${CPUS:-1 4 8}"
"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
results=${RESULTS:-$out/bench}
rm -rf "$results"
mkdir -p "$results"
quiet_make "$results/build.log" KVER="$kver" module test-modules tools
dirs=()
for cpus in "${counts[@]}"; do
	dir=$results/$cpus-cpus
	dirs+=("$dir")
	echo "== $cpus CPUs"
	"$top/tests/vm/run" --kernel "$kver" --cpus "$cpus" --out "$dir" --timeout 3600 \
		-- /opt/dm-scaled/tests/bench/guest.sh "${ROUNDS:-5}" "${RUN:-3}" raw linear stock ours engine
done
"$out/tools/dmsc-report" --bench --csv "$results/all.csv" --json "$results/all.json" "${dirs[@]}"
