# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="zeroes, by command and by pages"
SELDOM=debug
TIMEOUT=240

requires()
{
	need_test_module dm-kcopyd-mq-test
}

run_test()
{
	kcopyd_cases 'zero.*'

	# A loop device zeroes by command, brd does not, a SCSI disk does by WRITE SAME.
	disk=$(scsi_create 1 dev_size_mb=16 lbpws=1 write_same_length=512)
	brd_create 1 16
	assert_le 1 "$(cat "/sys/block/${disk##*/}/queue/write_zeroes_max_bytes")" "no command"
	kcopyd_cases zero.sizes src="$(nullb_create size=16)" dst="$disk"
	kcopyd_cases zero.sizes src="$(nullb_create size=16)" dst="$(loop_create 16)"
	kcopyd_cases zero.sizes src="$(nullb_create size=16)" dst=/dev/ram0,"$(loop_create 16)"
}
