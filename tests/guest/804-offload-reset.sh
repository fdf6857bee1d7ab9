# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="the controller is reset, and the disk pulled out, while it copies"
TIMEOUT=200
SELDOM="debug"
VM="--cpus 4 --mem 2048 --nvme @tests/guest/offload.disks"

requires()
{
	need_test_module dm-copy-bench
}

# An eighth of the origin.
has_copied()
{
	(($(cows snap0) > 40 * 256 / 8))
}

run_test()
{
	local disk dir n pid

	nvme_start
	insmod "$opt/dm-copy-bench.ko"
	disk=$(nvme_disk reset)
	dir=/sys/block/${disk#/dev/}/device
	nvme_keep "$disk"
	src=$(nvme_partition "$disk" 8) dst=$(nvme_partition "$disk" 8)
	fill "$src" 1
	fill "$dst" 2
	# The disk is slow, so that commands are under way. One on each queue: of those that have to be sent once more
	# after a reset, whoever they are from, the driver of 6.1 and QEMU's shadow doorbells lose some if there are
	# more. QEMU says of those it cancels that it has failed.
	bench engine=mq depth=1 size_kb=4 copies=2048 > /tmp/bench &
	pid=$!
	n=0
	while kill -0 "$pid" 2> /dev/null; do
		sleep 2
		echo 1 > "$dir/reset_controller"
		wait_for 60 controller_is live "$dir"
		n=$((n + 1))
	done
	wait "$pid"
	result=$(< /tmp/bench)
	offload_line keep
	assert_eq "$(number errors)" 0 "errors"
	assert_eq "$(checksum "$dst")" "$(checksum "$src")" "contents"
	assert_le 2 "$n" "resets"
	assert_le 1 "$(offload keep commands)" "commands"
	assert_eq "$(offload keep gave-up)" 0 "the device is not given up for that"
	dm_remove keep
	rmmod dm_copy_bench

	# Pulled out, while there is much left to copy.
	disk=$(nvme_disk pull)
	integrity_start 40 41
	checker_start --load $model "${snaps[@]}" --allow-snapshot-errors --allow-origin-errors --hang-timeout 120 \
		--no-verify
	wait_for 60 has_copied
	echo 1 > "/sys/block/${disk#/dev/}/device/device/remove"
	wait_for 30 is_invalid snap0
	checker_stop
	assert_fails get /dev/mapper/snap0 0 8
	assert_fails put /dev/mapper/origin 0 8
	dm_remove snap0 origin
}
