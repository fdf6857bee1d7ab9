#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures, in a VM, how long it takes to activate a persistent snapshot with many exceptions, and to merge one whose
# chunks are scattered: stock's and ours in turn.
# Environment: CPUS=4, ROUNDS=5, EXCEPTIONS=1000000, MERGED=10000 (chunks), KVER=, O=, RESULTS=$O/persist.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
dir=${RESULTS:-$out/persist}
rm -rf "$dir"
mkdir -p "$dir"
quiet_make "$dir/build.log" KVER="$kver" module tools
"$top/tests/vm/run" --kernel "$kver" --cpus "${CPUS:-4}" --out "$dir" --timeout 3600 \
	-- bash /opt/dm-scaled/tests/bench/persist-guest.sh "${ROUNDS:-5}" "${EXCEPTIONS:-1000000}" "${MERGED:-10000}"

# seconds WHAT TARGET: of all rounds, in their order
seconds()
{
	awk -F, -v w="$1" -v t="$2" '$1 == w && $3 == t { print $4 }' "$dir/results.csv"
}

printf '%-10s %12s %12s %14s\n' seconds stock dm-scaled 'stock / ours'
for what in activate merge; do
	# The ratio is the median of those of the rounds.
	printf '%-10s %12.3f %12.3f %14.2f\n' $what "$(seconds $what stock | median)" "$(seconds $what ours | median)" \
		"$(paste <(seconds $what stock) <(seconds $what ours) | awk '{ print $1 / $2 }' | median)"
done
echo "medians of ${ROUNDS:-5} rounds; all of them: $dir/results.csv"
