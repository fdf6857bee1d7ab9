# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="the controller is reset, and the disk pulled out, while it copies"
TIMEOUT=200
VM="--cpus 4 --mem 2048 --nvme @tests/guest/offload.disks"

run_test()
{
	local disk dir n

	nvme_start
	disk=$(nvme_disk reset)
	disk_create()
	{
		nvme_partition "$disk" "$1"
	}
	integrity_start 16 17
	checker_start --load $model "${snaps[@]}" --hang-timeout 120 --save $model
	dir=/sys/block/${disk#/dev/}/device
	for ((n = 0; n < $(slow_or 3 6); n++)); do
		sleep 0.7
		echo 1 > "$dir/reset_controller"
		wait_for 60 controller_is live "$dir"
	done
	sleep 1
	checker_stop
	offload_line snap0
	assert_le 1 "$(offload snap0 commands)" "commands"
	assert_eq "$(offload snap0 gave-up) $(offload snap0 failed)" "0 0" "a reset is no failure of the device"
	dm_remove snap0 origin

	# Pulled out.
	disk=$(nvme_disk pull)
	integrity_start 16 17
	checker_start --load $model "${snaps[@]}" --allow-snapshot-errors --allow-origin-errors --hang-timeout 120 \
		--no-verify
	sleep 2
	echo 1 > "/sys/block/${disk#/dev/}/device/device/remove"
	sleep 2
	wait_for 30 is_invalid snap0
	checker_stop
	assert_fails get /dev/mapper/snap0 0 8
	assert_fails put /dev/mapper/origin 0 8
	dm_remove snap0 origin
}
