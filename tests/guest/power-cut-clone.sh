#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# power-cut-clone.sh COUNT ACTION: the part of tests/host/151-power-cut-clone.sh that runs in the VM, until its power
# fails.
#
# COUNT    writes that were durable before
# ACTION   load: more of them, while others write and the background hydrates; end: hydrate all, power stays
#
# The source is full of "s", the destination was of "g", which nobody may ever see, and what is written is "u".
set -euo pipefail
# shellcheck source=tests/guest/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"

count=$1 action=$2
size=$((16 * 2048))

# holds_count DEVICE: each fourth sector of the first half, so that each region has two of them
holds_count()
{
	local lost

	assert_eq "$(dd if="$1" bs=1M iflag=direct status=none | tr -d su | wc -c)" 0 "bytes of $1 that nobody wrote"
	lost=$(dd if="$1" bs=1M count=8 iflag=direct status=none | fold -w 2048 | head -n "$count" | cut -c 1-512 |
		grep -cvE '^u{512}$') || true
	assert_eq "$lost" 0 "of $count durable writes, those that $1 has not"
}

load()
{
	local first=$((count + 1))

	# So slowly that there is something left to do.
	clone_create clone 8 0 4 hydration_threshold 1 hydration_batch_size 1
	fio --name=load --filename=/dev/mapper/clone --rw=randwrite --bsrange=512-16k --blockalign=512 --direct=1 \
		--ioengine=libaio --iodepth=4 --numjobs=2 --rate_iops=200 --randrepeat=0 --norandommap --fsync=50 \
		--offset=$((size * 256)) --size=$((size * 256)) --buffer_pattern='"u"' --time_based --runtime=600 \
		--eta=never --output=/dev/null &
	while true; do
		dd if="$(pattern u)" of=/dev/mapper/clone bs=512 count=1 seek=$((count * 4)) oflag=direct,dsync \
			conv=notrunc status=none
		count=$((count + 1))
		echo "durable $count"
		((count > first)) || echo loading
	done
}

load_module
disk=$(virtio_disk power)
dm_create s "0 $size linear $disk 0"
dm_create d "0 $size linear $disk $size"
dm_create m "0 2048 linear $disk $((2 * size))"
source=/dev/mapper/s dest=/dev/mapper/d meta=/dev/mapper/m
if has_metadata "$meta"; then
	"$opt/tools/dmsc-clone" check "$meta"
fi
clone_create clone 8 1 no_hydration
holds_count /dev/mapper/clone
echo "seen with $(hydrated clone) regions hydrated"
dm_remove clone
case $action in
load)
	load ;;
end)
	clone_create clone 8
	wait_for 100 is_hydrated clone
	dm_remove clone
	holds_count "$dest"
	dm_remove s d m
	unload_module ;;
esac
