#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A look-up in the table of exceptions costs the same however many there are, in instructions and in loads that wait for
# each other, and a lone exception takes the memory that the README says. The benchmark in small: see
# tests/bench/table.sh.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Pattern random: a device of which in the end four chunks in ten have exceptions.
KVER=$kver O=$out SIZES="1000 100000" BITS=18 LOOKUPS=5000 MEM=1024 LIMIT=1.3 RESULTS=$dir/table tests/bench/table.sh ||
	fail "look-ups do not stay flat, see above"
awk -F, '$3 == "bytes" || $3 == "empty-bytes" { v[$1, $2, $3] = $4 }
	function of_one(pattern) {
		return (v[pattern, 100000, "bytes"] - v[pattern, 100000, "empty-bytes"]) / 100000
	}
	END { exit !v["scattered", 100000, "bytes"] || of_one("scattered") > 48 || of_one("alternating") > 17 ||
	      of_one("sequential") > 1 }' "$dir/table/results.csv" || fail "exceptions take more memory than documented"
