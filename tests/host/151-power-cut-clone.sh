#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The power of a VM fails while a clone is written to and hydrated, as in 150. No region that counts as hydrated has old
# data, and what was said to be durable is there. 2 cuts, LONG=1: 150.
set -euo pipefail
# shellcheck source=tests/host/power-cut.sh
. "$(dirname "$0")/power-cut.sh"

cuts=${LONG:+150}
cuts=${cuts:-2}
# Of source and destination each, as in power-cut-clone.sh; and there is no room for more writes that are durable.
mb=16 most=3000

count=$most
for ((i = 0; i < cuts; i++)); do
	if ((i % 3 == 0 || count >= most)); then
		head -c "${mb}M" /dev/zero | tr '\0' s > "$dir/disk"
		head -c "${mb}M" /dev/zero | tr '\0' g >> "$dir/disk"
		truncate -s $((2 * mb + 1))M "$dir/disk"
		count=0
	fi
	was=$count
	cut "cut $i" power-cut-clone.sh "$count" load
	count=${count:-$was}
done
start power-cut-clone.sh "$count" end
wait "$vm" || broken "the last cut has not left what it should"
