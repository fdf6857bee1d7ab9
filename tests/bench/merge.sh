#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures, on a simulated machine with equal CPUs of MIPS=100 million instructions per second, how fast a persistent
# snapshot is merged that nobody uses meanwhile: chunks of 4 KiB, all in a row, or each by itself; stock's and ours in
# turn. On devices that complete at once, and on ones that take 80 µs for each request and have a volatile cache that
# takes 1 ms to flush.
# Environment: CPUS=2, ROUNDS=3, ROW=60000 and SCATTERED=4000 (chunks), KVER=, O=, RESULTS=$O/merge.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"
# shellcheck source=tests/bench/turns.sh
. "$(dirname "$0")/turns.sh"

"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
dir=${RESULTS:-$out/merge}
rm -rf "$dir"
mkdir -p "$dir"
quiet_make "$dir/build.log" KVER="$kver" module test-modules pacer tools
paced "$dir" "${MIPS:-100}" 100
"$top/tests/vm/run" --kernel "$kver" --cpus "${CPUS:-2}" --mem 2048 --out "$dir" --timeout 3600 "${paced[@]}" \
	-- bash /opt/dm-scaled/tests/bench/merge-guest.sh "${ROUNDS:-3}" "${ROW:-60000}" "${SCATTERED:-4000}"

turns_table "$dir/results.csv" "${ROUNDS:-3}"
