#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures clones in a VM, stock's and ours in turn: how long it takes to hydrate a device with nothing else going on
# (stock at the best of several settings, which are tried first, ours as it is), what a user notices of it, what a
# commit costs, and memory.
# Environment: CPUS=4, ROUNDS=5, GB=8 (the device that is hydrated), KVER=, O=, RESULTS=$O/clone.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
dir=${RESULTS:-$out/clone}
rm -rf "$dir"
mkdir -p "$dir"
quiet_make "$dir/build.log" KVER="$kver" module
"$top/tests/vm/stock-clone" "$kver" > "$dir/stock-clone.log" 2>&1
"$top/tests/vm/run" --kernel "$kver" --cpus "${CPUS:-4}" --out "$dir" --timeout 7200 \
	-- bash /opt/dm-scaled/tests/bench/clone-guest.sh "${ROUNDS:-5}" "${GB:-8}"

# values WHAT TARGET: of all rounds, in their order
values()
{
	awk -F, -v w="$1" -v t="$2" '$1 == w && $3 == t { print $4 }' "$dir/results.csv"
}

printf '%-34s %12s %12s %14s\n' '' stock dm-scaled 'stock / ours'
while IFS=, read -r what unit; do
	# The ratio is the median of those of the rounds.
	printf '%-34s %12.6g %12.6g %14.2f\n' "$what, $unit" "$(values "$what" stock | median)" \
		"$(values "$what" ours | median)" \
		"$(paste <(values "$what" stock) <(values "$what" ours) | awk '$2 { print $1 / $2 }' | median)"
done < <(awk -F, '!seen[$1]++ { print $1 "," $5 }' "$dir/results.csv")
echo "medians of ${ROUNDS:-5} rounds; all of them: $dir/results.csv"
