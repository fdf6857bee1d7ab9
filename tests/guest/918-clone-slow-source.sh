# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="the first read of a clone after a pause does not wait for much of the background's, if the source is slow"
KERNELS=stock

# read_now_and_then CLONE: 24 reads, with pauses in which the background copies
read_now_and_then()
{
	run_fio "/tmp/reads.$1" --name=reads --filename="/dev/mapper/$1" --rw=read:4m --bs=4k --offset=250m \
		--io_size=96k --size=96k --direct=1 --ioengine=psync --thinktime=280ms
}

# mean CLONE: of what they took, in µs
mean()
{
	awk '/"clat_ns"/ { on = 1 } on && /"mean"/ { gsub(/[^0-9.]/, ""); printf "%d\n", $0 / 1000; exit }' "/tmp/reads.$1"
}

run_test()
{
	local source dest meta have_stock='' pids=()

	modprobe -q dm-persistent-data || true
	! { modprobe -q dm-clone || insmod "$opt/dm-clone.ko" 2> /dev/null; } || have_stock=y

	# As fast as 8 MB/s, which null_blk counts in spans of 20 ms.
	source=$(nullb_create size=400 mbps=8) dest=$(nullb_create size=400) meta=$(nullb_create size=4)
	clone_create clone 8
	read_now_and_then clone &
	pids=($!)
	if [[ $have_stock ]]; then
		source=$(nullb_create size=400 mbps=8) dest=$(nullb_create size=400) meta=$(nullb_create size=4)
		dm_create stock "0 $(sectors "$source") clone $meta $dest $source 8"
		read_now_and_then stock &
		pids+=($!)
	fi
	wait "${pids[@]}"
	echo "ours: $(mean clone) µs, $(dmsetup status clone)"
	# 8 MB/s, most of the time.
	(($(hydrated clone) > 8000)) || fail "not much has been copied"
	if [[ $have_stock ]]; then
		echo "stock: $(mean stock) µs, $(dmsetup status stock)"
		assert_le "$(mean clone)" $(($(mean stock) * 3 / 2)) "µs"
		dmsetup message stock 0 disable_hydration
		dm_remove stock
	else
		assert_le "$(mean clone)" 20000 "µs"
	fi
	dmsetup message clone 0 disable_hydration
	dm_remove clone
}
