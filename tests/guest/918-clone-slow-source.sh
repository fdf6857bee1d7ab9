# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="reads after a pause in which a slow source is copied from wait about as long as with dm-clone"
KERNELS=stock

requires()
{
	requires_stock_clone
}

# slow_devices: the source does one thing at a time, 4 KiB in half a millisecond
slow_devices()
{
	source=$(nullb_create size=200 submit_queues=1 hw_queue_depth=1 irqmode=2 completion_nsec=500000 max_sectors=8)
	dest=$(nullb_create size=200) meta=$(nullb_create size=4)
}

# read_now_and_then CLONE: 12 reads; dm-clone looks each second whether it may copy
read_now_and_then()
{
	run_fio "/tmp/reads.$1" --name=reads --filename="/dev/mapper/$1" --rw=read:4m --bs=4k --offset=120m \
		--io_size=48k --size=48k --direct=1 --ioengine=psync --thinktime=2s
}

# median CLONE: of what they took, in µs
median()
{
	awk '/"clat_ns"/ { on = 1 } on && /"50.000000"/ { gsub(/.*:|[^0-9]/, ""); printf "%d\n", $0 / 1000; exit }' \
		"/tmp/reads.$1"
}

run_test()
{
	local source dest meta

	slow_devices
	dm_create ours "0 $(sectors "$source") clone-scaled $meta $dest $source 8"
	slow_devices
	dm_create stock "0 $(sectors "$source") clone $meta $dest $source 8"
	read_now_and_then ours &
	read_now_and_then stock
	wait $!
	echo "ours: $(median ours) µs, $(hydrated ours) regions; stock: $(median stock) µs, $(hydrated stock) regions"
	assert_le "$(hydrated stock)" "$(hydrated ours)" "regions hydrated by stock and ours"
	# CPUs of a VM may be late by a millisecond.
	assert_le "$(median ours)" $(($(median stock) * 3 / 2 + 1000)) "µs"
	dmsetup message ours 0 disable_hydration
	dmsetup message stock 0 disable_hydration
	dm_remove ours
	dm_remove stock
}
