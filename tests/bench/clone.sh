#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures clones in a VM, stock's and ours in turn: how long it takes to hydrate a device with nothing else going on
# (stock at the best of several settings, which are tried first, ours as it is), what a user notices of it, what a
# commit costs, and memory.
# Environment: CPUS=4, ROUNDS=5, GB=8 (the device that is hydrated), KVER=, O=, RESULTS=$O/clone.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"
# shellcheck source=tests/bench/turns.sh
. "$(dirname "$0")/turns.sh"

"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
dir=${RESULTS:-$out/clone}
rm -rf "$dir"
mkdir -p "$dir"
quiet_make "$dir/build.log" KVER="$kver" module
"$top/tests/vm/stock-clone" "$kver" > "$dir/stock-clone.log" 2>&1
"$top/tests/vm/run" --kernel "$kver" --cpus "${CPUS:-4}" --out "$dir" --timeout 7200 \
	-- bash /opt/dm-scaled/tests/bench/clone-guest.sh "${ROUNDS:-5}" "${GB:-8}"

turns_table "$dir/results.csv" "${ROUNDS:-5}"
