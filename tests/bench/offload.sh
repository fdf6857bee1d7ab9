#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures, on an NVMe disk of QEMU's that copies by itself, what copies cost with and without that: copies of several
# sizes by the engine, and first writes to an origin whose snapshot is on the same disk. Instructions are counted on a
# simulated machine as in paced.sh; its throughput means nothing, and is measured on an ordinary VM after that.
# Environment: CPUS=4, ROUNDS=5, KVER=, O=, RESULTS=$O/offload.
set -euo pipefail
# shellcheck source=tests/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

"$top/scripts/install-deps.sh" ${KVER:+"linux-headers-$KVER"}
kver=$(default_kver)
dir=${RESULTS:-$out/offload}
rounds=${ROUNDS:-5}
rm -rf "$dir"
mkdir -p "$dir"
quiet_make "$dir/build.log" KVER="$kver" test-modules pacer
# boot NAME OPTION...: one run of the guest's part
boot()
{
	local name=$1

	shift
	"$top/tests/vm/run" --kernel "$kver" --cpus "${CPUS:-4}" --mem 2048 --out "$dir/$name" --timeout 3600 \
		--nvme a:512,mssrl=2048,mcl=2048,msrc=127 "$@" \
		-- bash /opt/dm-scaled/tests/bench/offload-guest.sh "$name" "$rounds" > "$dir/$name.log" 2>&1 ||
		die "the VM failed: see $dir/$name.log"
}
paced "$dir" 100 100
boot paced "${paced[@]}"
boot free
# Instructions of each phase, in the order in which the guest had them.
awk '$1 == "\"phase\":" { n++ } $1 == "\"user\":" || $1 == "\"kernel\":" { sum[n] += $2 }
	END { for (i = 1; i <= n; i++) print sum[i] }' "$dir/pacer.json" > "$dir/instructions"
paste -d, "$dir/paced/results.csv" "$dir/instructions" > "$dir/paced.csv"

# value FILE WHAT SWITCH EXPRESSION: of all rounds. Fields: what, switch, copies per second, MiB per copy, bytes over
# PCIe per copy, commands per copy, copies, instructions
value()
{
	awk -F, -v w="$2" -v s="$3" '$1 == w && $2 == s { print '"$4"' }' "$dir/$1" | median
}

printf '%-16s %-5s %12s %14s %14s %14s %12s\n' '' '' 'copies/s' 'instr./copy' 'instr./MiB' 'PCIe bytes' 'commands'
for what in copy-4 copy-64 copy-1024 cow-4 cow-1024; do
	for switch in off auto; do
		printf '%-16s %-5s %12.0f %14.0f %14.0f %14.0f %12.2f\n' $what $switch \
			"$(value free/results.csv $what $switch '$3')" \
			"$(value paced.csv $what $switch '$8 / $7')" \
			"$(value paced.csv $what $switch '$8 / $7 / $4')" \
			"$(value free/results.csv $what $switch '$5')" "$(value free/results.csv $what $switch '$6')"
	done
done
echo "medians of $rounds rounds, for each copy; all of them: $dir/paced.csv, $dir/free/results.csv"
