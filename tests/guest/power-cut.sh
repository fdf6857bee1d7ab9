#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# power-cut.sh TARGET SUM COUNT ACTION: the part of tests/host/150-power-cut.sh that runs in the VM, until its power
# fails.
#
# TARGET   none at first, else what opens the snapshot that the last cut has left: snapshot or snapshot-scaled
# SUM      of the snapshot
# COUNT    up to which the counter in the origin's last sector is durable
# ACTION   fresh: a new snapshot, with first writes; continue: more of them; merge; end: nothing, power stays
#
# Prints "sum SUM" of a new snapshot, "loading" when power may fail, and "durable COUNT" whenever that is so.
set -euo pipefail
# shellcheck source=tests/guest/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"

target=$1 sum=$2 count=$3 action=$4
size=$((64 * 2048)) cow_size=$((80 * 2048)) chunk=8

# What the last cut has left.
look()
{
	local seen

	[[ $target != snapshot ]] || modprobe dm-snapshot
	dm_create seen "0 $size $target $o $c P $chunk"
	assert_match "$(snap_usage seen)" "^[0-9]+/$cow_size [0-9]+$"
	assert_eq "$(checksum /dev/mapper/seen)" "$sum" "the snapshot, opened by $target"
	dm_remove seen
	if ((count)); then
		seen=$(dd if="$o" bs=512 skip=$((size - 1)) count=1 iflag=direct status=none | head -c 40)
		assert_match "$seen" "^count ([0-9]+) " "the counter"
		assert_le "$count" "${BASH_REMATCH[1]}" "the counter was durable"
	fi
	echo "seen by $target"
}

# Each of these is durable when it is said.
counter()
{
	while true; do
		count=$((count + 1))
		printf '%-512s' "count $count" | dd of=/dev/mapper/origin bs=512 count=1 seek=$((size - 1)) \
			iflag=fullblock oflag=direct conv=fsync,notrunc status=none
		echo "durable $count"
	done
}

load()
{
	local was

	origin_create origin "$o"
	snap_create snap origin "$o" "$c" P "$chunk"
	was=$(cows snap)
	counter &
	fio --name=load --filename=/dev/mapper/origin --rw=randwrite --bsrange=512-16k --blockalign=512 --direct=1 \
		--ioengine=libaio --iodepth=8 --numjobs=4 --rate_iops=400 --randrepeat=0 --norandommap --fsync=50 \
		--size=$((size * 512 - 4096)) --time_based --runtime=600 --eta=never --output=/dev/null &
	wait_for 60 has_grown
	echo loading
	wait
}

has_grown()
{
	(($(cows snap) > was + 50))
}

load_module
disk=$(virtio_disk power)
dm_create o "0 $size linear $disk 0"
dm_create c "0 $cow_size linear $disk $size"
o=/dev/mapper/o c=/dev/mapper/c
[[ $target == none ]] || look
case $action in
fresh)
	cow_clear "$c"
	echo "sum $(checksum "$o")"
	load ;;
continue)
	load ;;
merge)
	dm_create origin "0 $size merge-scaled $o $c P $chunk"
	echo loading
	sleep 600 ;;
end)
	dm_remove o c
	unload_module ;;
esac
