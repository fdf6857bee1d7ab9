# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# VMs whose power fails. A test that sources this makes the VM's disk, $dir/disk. What runs in the VM prints "loading"
# when its power may fail, and "durable COUNT" for what must not be lost; its output is in $dir/vm/output.log.
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
vm=''
trap '[[ ! -s $dir/pid ]] || kill -9 "$(< "$dir/pid")" 2> /dev/null || true; wait; rm -rf "$dir"' EXIT
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "SEED=$seed"

# start SCRIPT ARGUMENT...: tests/guest/SCRIPT in a VM with the disk, in the background. QEMU logs what is written, and
# when it is flushed.
start()
{
	local script=$1
	local disk="driver=raw,node-name=image,cache.no-flush=on,file.driver=file,file.filename=$dir/disk"
	local log="driver=raw,node-name=log,cache.no-flush=on,file.driver=file,file.filename=$dir/log"
	# With one thread for I/O the log has no gaps when it is killed.
	local thread="-object main-loop,id=main-loop,thread-pool-max=1"
	# What QEMU has merged may have too many pieces for the log, from which it then is missing without a word.
	local device="write-cache=on,request-merging=off"

	shift
	rm -rf "$dir/log" "$dir/pid" "$dir/vm"
	truncate -s 16G "$dir/log"
	disk="-blockdev $disk -blockdev $log -blockdev driver=blklogwrites,node-name=power,file=image,log=log"
	disk+=",log-sector-size=512,log-super-update-interval=1"
	"$top/tests/vm/run" --kernel "$kver" --cpus 4 --mem 1024 --timeout 300 --out "$dir/vm" \
		--qemu "-pidfile $dir/pid $thread $disk -device virtio-blk-pci,drive=power,serial=power,$device" \
		-- bash "/opt/dm-scaled/tests/guest/$script" "$@" > "$dir/out" 2> "$dir/err" &
	vm=$!
}

# printed PATTERN: lines of what runs in the VM
printed()
{
	grep -aE "$1" "$dir/vm/output.log" 2> /dev/null || true
}

# broken WHAT: shows what the VM did, keeps what is left of it, and ends.
broken()
{
	local kept=$out/check/${0##*/}

	kept=${kept%.sh}.vm
	rm -rf "$kept"
	mkdir -p "$kept"
	cp "$dir/out" "$dir/err" "$dir/vm"/*.log "$kept/" || true
	wc -c "$kept"/*
	tail -n 20 "$kept/output.log" || true
	tail -n 1 "$dir/err"
	# If it hangs: who waits for what.
	grep -aA 12 -E 'task:(bash|fio|dd|dmsetup|kworker)' "$kept/console.log" |
		grep -aE 'task:|\]  [_a-z]' | head -n 150 || true
	fail "$*"
}

# cut NAME SCRIPT ARGUMENT...: starts a VM, lets its power fail, and makes of the disk what that leaves. Sets count.
cut()
{
	local name=$1

	shift
	cp --sparse=always "$dir/disk" "$dir/left"
	start "$@"
	until [[ $(printed '^loading') ]]; do
		kill -0 "$vm" 2> /dev/null || broken "$name: it ended before its power was cut"
		sleep 0.1
	done
	sleep "$(awk -v r="$RANDOM" 'BEGIN { print 0.1 + 4 * r / 32768 }')"
	kill -9 "$(< "$dir/pid")"
	! wait "$vm" || broken "$name: it has come to its end"
	! grep -qaEf "$top/tests/guest/trouble" "$dir/vm/console.log" || broken "$name: the kernel had trouble"
	[[ ! $(printed FAILED) ]] || broken "$name: failed"
	count=$(printed '^durable ' | sed -n '$s/durable //p')
	echo "$name: $(printed '^seen'), durable ${count:-nothing}, $("$out/tools/dmsc-replay" --cut \
		--log "$dir/log" --to "$dir/left" --seed "$RANDOM")"
	mv "$dir/left" "$dir/disk"
}
