#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The power of a VM fails while chunks are copied or merged: QEMU is killed, and of its virtual disk, which has a
# volatile cache, only what was flushed is sure to be left. The snapshot opens, with ours and with stock in turn, and
# shows what the origin was; and what was said to be durable in the origin is. 2 cuts, LONG=1: 50.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

cuts=${LONG:+50}
cuts=${cuts:-2}
# Of origin and COW device, as in power-cut.sh.
origin_mb=64 cow_mb=80
seed=${SEED:-$RANDOM}
RANDOM=$seed
dir=$(mktemp -d)
vm=''
trap '[[ ! -s $dir/pid ]] || kill -9 "$(< "$dir/pid")" 2> /dev/null || true; wait; rm -rf "$dir"' EXIT

# start ARGUMENT...: the VM on the disk, in the background. QEMU logs what is written, and when it is flushed.
start()
{
	local disk="driver=raw,node-name=image,cache.no-flush=on,file.driver=file,file.filename=$dir/disk"
	local log="driver=raw,node-name=log,cache.no-flush=on,file.driver=file,file.filename=$dir/log"

	rm -f "$dir/log" "$dir/pid"
	truncate -s 16G "$dir/log"
	disk="-blockdev $disk -blockdev $log -blockdev driver=blklogwrites,node-name=power,file=image,log=log"
	disk+=",log-sector-size=512,log-super-update-interval=1"
	"$top/tests/vm/run" --kernel "$kver" --cpus 4 --mem 1024 --timeout 300 --out "$dir/vm" \
		--qemu "-pidfile $dir/pid $disk -device virtio-blk-pci,drive=power,serial=power,write-cache=on" \
		-- bash /opt/dm-scaled/tests/guest/power-cut.sh "$@" > "$dir/out" 2> "$dir/err" &
	vm=$!
}

# Shows what the VM did, and ends.
broken()
{
	tail -n 40 "$dir/out" "$dir/err" "$dir/vm/console.log"
	fail "$*"
}

echo "SEED=$seed"
head -c "${origin_mb}M" /dev/urandom > "$dir/disk"
truncate -s $((origin_mb + cow_mb))M "$dir/disk"
target=none sum=- count=0
actions=(fresh continue merge)
[[ ${LONG:-} ]] || ((RANDOM % 2)) || actions[1]=merge
for ((cut = 0; cut < cuts; cut++)); do
	action=${actions[cut % 3]}
	cp --sparse=always "$dir/disk" "$dir/left"
	start "$target" "$sum" "$count" "$action"
	until grep -q '^loading' "$dir/out"; do
		kill -0 "$vm" 2> /dev/null || broken "cut $cut, $action: it ended before its power was cut"
		sleep 0.1
	done
	sleep "$(awk -v r="$RANDOM" 'BEGIN { print 0.1 + 4 * r / 32768 }')"
	kill -9 "$(< "$dir/pid")"
	! wait "$vm" || broken "cut $cut, $action: it has come to its end"
	! grep -qaEf "$top/tests/guest/trouble" "$dir/vm/console.log" || broken "cut $cut, $action: the kernel had trouble"
	! grep -q FAILED "$dir/out" || broken "cut $cut, $action: failed"
	if [[ $action == fresh ]]; then
		sum=$(sed -n 's/^sum //p' "$dir/out")
	fi
	# A merge puts the counter back to what it was.
	count=$(sed -n 's/^durable //p' "$dir/out" | tail -n 1)
	count=${count:-0}
	echo "cut $cut, $action: $(grep '^seen' "$dir/out" || true), durable $count, $("$out/tools/dmsc-replay" --cut \
		--log "$dir/log" --to "$dir/left" --seed "$RANDOM")"
	mv "$dir/left" "$dir/disk"
	target=snapshot-scaled
	((RANDOM % 2)) || target=snapshot
done
start "$target" "$sum" "$count" end
wait "$vm" || broken "the last cut has not left what it should"
