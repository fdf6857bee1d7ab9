#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures, in a VM, what hosts of micro-VMs do: many persistent snapshots of one read-only base, each with its COW
# device in a sparse file on a loop device, and no origin target. What dm-linear devices cost in their place is shown as
# well: it is device-mapper's own part.
# Environment: COUNTS="1 12 100 1000" (snapshots), TARGETS="linear stock ours", SIZE_MB=2048 (of the base and of each
# COW device), JOBS=8 (snapshots that are written or read at the same time, at most), SECONDS_EACH=5, CPUS=4,
# MEM=4096 (MiB), KVER=, O=, RESULTS=$O/micro.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
dir=${RESULTS:-$out/micro}
rm -rf "$dir"
mkdir -p "$dir"
quiet_make "$dir/build.log" KVER="$kver" module tools
"$top/tests/vm/run" --kernel "$kver" --cpus "${CPUS:-4}" --mem "${MEM:-4096}" --out "$dir" --timeout 3600 \
	-- bash /opt/dm-scaled/tests/bench/micro-guest.sh "${SIZE_MB:-2048}" "${JOBS:-8}" "${SECONDS_EACH:-5}" \
	"${COUNTS:-1 12 100 1000}" "${TARGETS:-linear stock ours}" > "$dir/progress"

awk -F, '
{
	if (!($1 in seen))
		order[++n] = $1
	seen[$1] = 1
	if (!($2 in known))
		counts[++c] = $2
	known[$2] = 1
	unit[$1] = $5
	v[$1, $2, $3] = $4
}
END {
	printf "%-40s %9s %10s %10s %10s\n", "", "snapshots", "linear", "stock", "dm-scaled"
	for (i = 1; i <= n; i++)
		for (j = 1; j <= c; j++)
			printf "%-40s %9s %10s %10s %10s\n", order[i] ", " unit[order[i]], counts[j],
				v[order[i], counts[j], "linear"], v[order[i], counts[j], "stock"],
				v[order[i], counts[j], "ours"]
}' "$dir/results.csv"
