# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="the device below goes away under load: errors, no hang, and everything can be removed"
TIMEOUT=600
SOAK=1

# scsi_disk: a disk that can be pulled out; prints its device.
scsi_disk()
{
	scsi_create 1 dev_size_mb=32 delay=0 max_queue=64
}

# pull DEVICE
pull()
{
	echo 1 > "/sys/block/${1#/dev/}/device/delete"
}

# one WHICH: origin or cow
one()
{
	local disk dev cow

	disk=$(scsi_disk)
	case $1 in
	origin) dev=$disk cow=$(nullb_create size=33) ;;
	cow) dev=$(nullb_create size=32) cow=$disk ;;
	esac
	origin_create origin "$dev"
	integrity --origin /dev/mapper/origin --fill --save $model
	snap_create snap origin "$dev" "$cow" N 8
	checker_start --load $model --snapshot /dev/mapper/snap --allow-snapshot-errors --allow-origin-errors \
		--max-io 65536 --hang-timeout 60 --no-verify --save $model
	sleep 2
	pull "$disk"
	sleep 3
	wait_for 30 is_invalid snap
	checker_stop
	assert_fails get /dev/mapper/snap 0 8
	if [[ $1 == origin ]]; then
		assert_fails put /dev/mapper/origin 0 8
	else
		dm_remove snap
		integrity --load $model --drop-snapshot /dev/mapper/snap --seconds 1
	fi
	[[ $1 == cow ]] || dm_remove snap
	dm_remove origin
	modprobe -r scsi_debug
}

run_test()
{
	one cow
	one origin
}
