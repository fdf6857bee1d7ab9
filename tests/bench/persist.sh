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
make -C "$top" -j"$(nproc)" KVER="$kver" O="$out" module tools > "$dir/build.log" 2>&1 || {
	tail -n 40 "$dir/build.log"
	exit 1
}
"$top/tests/vm/run" --kernel "$kver" --cpus "${CPUS:-4}" --out "$dir" --timeout 3600 \
	-- bash /opt/dm-scaled/tests/bench/persist-guest.sh "${ROUNDS:-5}" "${EXCEPTIONS:-1000000}" "${MERGED:-10000}"
# Medians, and the median of the ratios within a round.
sort -t, -k1,1 -k3,3 -k2,2n "$dir/results.csv" | awk -F, '
	function median(list, n,   i, j, x) {
		for (i = 2; i <= n; i++)
			for (j = i; j > 1 && list[j] + 0 < list[j - 1] + 0; j--) {
				x = list[j]; list[j] = list[j - 1]; list[j - 1] = x
			}
		return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
	}
	{ t[$1, $3, $2] = $4; what[$1] = 1; if ($2 > rounds) rounds = $2 }
	END {
		printf "%-10s %12s %12s %14s\n", "seconds", "stock", "dm-scaled", "stock / ours"
		for (w in what) {
			for (i = 1; i <= rounds; i++) {
				s[i] = t[w, "stock", i]
				o[i] = t[w, "ours", i]
				r[i] = s[i] / o[i]
			}
			printf "%-10s %12.3f %12.3f %14.2f\n", w, median(s, rounds), median(o, rounds), median(r, rounds)
		}
	}'
echo "medians of ${ROUNDS:-5} rounds; all of them: $dir/results.csv"
