#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures on a simulated machine with N equal CPUs of 100 million instructions per second. The result does not depend
# on the speed or load of this machine. See docs/performance.md.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"
# shellcheck source=tests/bench/workloads.sh
. "$top/tests/bench/workloads.sh"

if [[ ${1:-} == -* || $# -eq 0 ]]; then
	cat <<-EOF
	usage: tests/bench/paced.sh CPUS [TARGET...]
	TARGET is raw, linear, stock or ours (default: those that make sense for the workload).
	Environment: WORKLOAD=cow, or one of ${all_workloads[*]:1};
	WINDOW=1000 and RAMP=300 (guest milliseconds that are measured, and before that), OUT= folder for the results,
	ROUND=N (of several runs of the same in OUT, the report gives the median),
	MIPS=100, TURN=100 (instructions per turn; 25 to study short locks), TOP=25 (lines of the profile), KVER=.
	Exit code: 0 only if the simulation was valid; what is not valid is not printed.
	EOF
	exit 2
fi
workload=${WORKLOAD:-cow}
describe_workload "$workload"
cpus=$1
shift
(($#)) || set -- "${targets[@]}"
results=${OUT:-$out/paced/$(date +%H%M%S)}
dir=$results/runs/$(run_name "$workload" "$cpus" "${ROUND:-1}")
log=$results/build.log
mkdir -p "$results"
kver=$(default_kver)
{
	make -s -C "$top" KVER="$kver" O="$out" test-modules pacer
	make -s -C "$top/tools" O="$out" "$out/tools/dmsc-bench"
	[[ $device != merge ]] || make -s -C "$top/tools" O="$out" "$out/tools/dmsc-cow"
	[[ $device != clone ]] || "$top/tests/vm/stock-clone" "$kver"
} > "$log" 2>&1 || {
	tail -n 40 "$log"
	exit 1
}
rm -rf "$dir"
mkdir -p "$dir"
paced "$dir" "${MIPS:-100}" "${TURN:-100}"
"$top/tests/vm/run" --kernel "$kver" --cpus "$cpus" --mem 3072 --timeout "${TIMEOUT:-5400}" --out "$dir" "${paced[@]}" \
	-- env WINDOW="${WINDOW:-1000}" RAMP="${RAMP:-300}" \
	bash /opt/dm-scaled/tests/bench/paced-guest.sh "$workload" "$@" > "$dir/progress" ||
	die "the machine failed: see $dir/console.log, $dir/output.log"
# Does the guest's clock show the time that was simulated?
for window in "$dir"/*/window.json; do
	awk 'FNR == NR && match($0, /"phase": *[0-9]+/) { phase = substr($0, RSTART + 8, RLENGTH - 8) + 0 }
		FNR == NR && match($0, /"ms": *[0-9.]+/) { ms = substr($0, RSTART + 5, RLENGTH - 5) + 0 }
		FNR < NR && $1 == "\"phase\":" { here = $2 + 0 == phase }
		FNR < NR && $1 == "\"guest_us\":" && here { simulated = $2 / 1000 }
		END { exit !(simulated && ms / simulated > 0.97 && ms / simulated < 1.03) }' "$window" "$dir/pacer.json" ||
		die "not valid: the guest's clock is wrong ($window)"
done
# Says why, if the run is not valid.
"$out/tools/dmsc-bench" --run "$dir" --top "${TOP:-25}"
touch "$dir/complete"
