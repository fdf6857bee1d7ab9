#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures what a look-up in the table of exceptions costs as the table grows, and what memory it takes. The VM has one
# CPU, whose TSC counts instructions (QEMU's -icount): results do not depend on this machine's speed or load.
# Environment: SIZES="1000 10000 100000 1000000 10000000 100000000" (exceptions),
# PATTERNS="scattered random alternating sequential" (see tests/modules/dm-table-bench.c), BITS=27 (pattern random: any
# chunks of a device of 2^27), LOOKUPS=20000 of each kind, MEM=6144 (MiB of the VM), KVER=, O=, RESULTS=$O/table.
# LIMIT=1.3: fails if a look-up costs more than so many times what finding one costs at the smallest size. (One that
# finds nothing costs less in an almost empty table, where it ends at an empty list.)
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
dir=${RESULTS:-$out/table}
rm -rf "$dir"
mkdir -p "$dir"
quiet_make "$dir/build.log" KVER="$kver" test-modules
read -ra sizes <<< "${SIZES:-1000 10000 100000 1000000 10000000 100000000}"
read -ra patterns <<< "${PATTERNS:-scattered random alternating sequential}"
runs=()
for size in "${sizes[@]}"; do
	for pattern in "${patterns[@]}"; do
		runs+=("$pattern:$size")
	done
done
"$top/tests/vm/run" --kernel "$kver" --cpus 1 --mem "${MEM:-6144}" --out "$dir" --timeout "${TIMEOUT:-14400}" \
	--accel thread=single --qemu "-icount shift=0" \
	-- bash /opt/dm-scaled/tests/bench/table-guest.sh "${LOOKUPS:-20000}" "${BITS:-27}" "${runs[@]}" \
	> "$dir/progress" ||
	die "the measurement failed: see $dir/output.log, $dir/console.log"

awk -F, -v limit="${LIMIT:-1.3}" '
function value(size, name) { return v[pattern, size, name] }
# The most that it is at any size, in terms of what finding one is at the smallest.
function most_times(name, base,   j, most) {
	for (j = 1; j <= nr; j++)
		if (value(sizes[j], name) / value(sizes[1], base) > most)
			most = value(sizes[j], name) / value(sizes[1], base)
	if (most > limit)
		failed = failed sprintf("%s: %s is up to %.2f times %s at %s exceptions\n", pattern, name, most, base,
			sizes[1])
	return most
}
{
	if (!($1 in all)) {
		order[++patterns] = $1
		all[$1] = ""
	}
	if ($3 == "exceptions")
		all[$1] = all[$1] " " $2
	v[$1, $2, $3] = $4
}
END {
	format = "%-12s %10s %8s %10s %8s %10s %8s %12s %10s\n"
	printf format, "", "", "instruc-", "tions", "depend-", "ent loads", "instruc-", "bytes of an", "MiB of"
	printf format, "", "", "found", "not found", "found", "not found", "tions to", "exception", "memory"
	printf format, "pattern", "exceptions", "", "", "", "", "add one", "", "in all"
	for (i = 1; i <= patterns; i++) {
		pattern = order[i]
		nr = split(all[pattern], sizes, " ")
		for (j = 1; j <= nr; j++)
			printf format, pattern, sizes[j], value(sizes[j], "hit-ticks"), value(sizes[j], "miss-ticks"),
				value(sizes[j], "hit-loads"), value(sizes[j], "miss-loads"),
				int(value(sizes[j], "add-ticks")), sprintf("%.1f",
				(value(sizes[j], "bytes") - value(sizes[j], "empty-bytes")) / sizes[j]),
				sprintf("%.1f", value(sizes[j], "taken-bytes") / 1048576)
		printf "%-12s %10s %8.2f %10.2f %8.2f %10.2f\n", pattern, "ratio", most_times("hit-ticks", "hit-ticks"),
			most_times("miss-ticks", "hit-ticks"), most_times("hit-loads", "hit-loads"),
			most_times("miss-loads", "hit-loads")
	}
	printf "%s", failed
	exit failed != ""
}' "$dir/results.csv"
