#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The power of a VM fails while chunks are copied or merged: QEMU is killed, and of its virtual disk, which has a
# volatile cache, only what was flushed is sure to be left. The snapshot opens, with ours and with stock in turn, and
# shows what the origin was; and what was said to be durable in the origin is. 2 cuts, LONG=1: 50.
set -euo pipefail
# shellcheck source=tests/host/power-cut.sh
. "$(dirname "$0")/power-cut.sh"

cuts=${LONG:+50}
cuts=${cuts:-2}
# Of origin and COW device, as in power-cut.sh.
origin_mb=64 cow_mb=80

head -c "${origin_mb}M" /dev/urandom > "$dir/disk"
truncate -s $((origin_mb + cow_mb))M "$dir/disk"
target=none sum=- count=0
actions=(fresh continue merge)
[[ ${LONG:-} ]] || ((RANDOM % 2)) || actions[1]=merge
for ((i = 0; i < cuts; i++)); do
	action=${actions[i % 3]}
	cut "cut $i, $action" power-cut.sh "$target" "$sum" "$count" "$action"
	if [[ $action == fresh ]]; then
		sum=$(printed '^sum ' | sed 's/sum //')
	fi
	# A merge puts the counter back to what it was.
	count=${count:-0}
	target=snapshot-scaled
	((RANDOM % 2)) || target=snapshot
done
start power-cut.sh "$target" "$sum" "$count" end
wait "$vm" || broken "the last cut has not left what it should"
