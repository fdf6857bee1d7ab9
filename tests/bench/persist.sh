#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures, in a VM, how long it takes to activate a persistent snapshot with many exceptions, and to merge one whose
# chunks are scattered: stock's and ours in turn.
# Environment: CPUS=4, MEM=2048 (MiB), ROUNDS=5, EXCEPTIONS=1000000, MERGED=10000 (chunks; 0: none), KVER=, O=,
# RESULTS=$O/persist.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"
# shellcheck source=tests/bench/turns.sh
. "$(dirname "$0")/turns.sh"

"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
dir=${RESULTS:-$out/persist}
rm -rf "$dir"
mkdir -p "$dir"
quiet_make "$dir/build.log" KVER="$kver" module tools
"$top/tests/vm/run" --kernel "$kver" --cpus "${CPUS:-4}" --mem "${MEM:-2048}" --out "$dir" --timeout 3600 \
	-- bash /opt/dm-scaled/tests/bench/persist-guest.sh "${ROUNDS:-5}" "${EXCEPTIONS:-1000000}" "${MERGED:-10000}"

turns_table "$dir/results.csv" "${ROUNDS:-5}"
