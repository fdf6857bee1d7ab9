#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Shows in a VM, in a few minutes, what a first write to an origin costs with stock's snapshot and with ours.
# Environment: CPUS=4, ROUNDS=3, KVER=, O=, RESULTS=$O/demo.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

cpus=${CPUS:-4}
begin=$SECONDS
"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
dir=${RESULTS:-$out/demo}/$cpus-cpus
rm -rf "$dir"
mkdir -p "$dir"
echo "building dm-scaled.ko for $kver, and the report tool"
quiet_make "$dir/build.log" KVER="$kver" module tools
echo "booting $kver with $cpus CPUs in QEMU; 4 KiB random first writes, one job on each CPU"
# Traced once: the CPU that does stock's work is another one each time, which a sum of rounds would hide.
"$top/tests/vm/run" --kernel "$kver" --cpus "$cpus" --out "$dir" --timeout 900 \
	-- env TRACE_ROUNDS=1 /opt/dm-scaled/tests/bench/guest.sh "${ROUNDS:-3}" 3 raw linear stock ours
echo
"$out/tools/dmsc-report" "$dir"
echo "all of it took $((SECONDS - begin)) s; what was measured is in $dir"
