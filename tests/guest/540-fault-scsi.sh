# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/storm.sh
. "$lib/storm.sh"
DESCRIPTION="a disk that is slow, loses commands, aborts them, or has bad sectors, below the origin or the COW device"
SELDOM=stock
TIMEOUT=240

# As for scsi_debug's "opts".
medium_error=2 timeout=4 recovered=8 transport=16

disk()
{
	local found file

	found=$(scsi_create 1 dev_size_mb=17 ndelay=100000 max_queue=64 \
		medium_error_start=256 medium_error_count=1024)
	# Seconds until a lost command is aborted and sent again.
	echo 1 > "/sys/block/${found#/dev/}/device/timeout"
	# This command has a limit of its own, two minutes, for which others wait as well if one of them has failed.
	for file in "/sys/block/${found#/dev/}"/device/scsi_disk/*/max_write_same_blocks; do
		echo 0 > "$file"
	done
	echo "$found"
}

# Milliseconds that the slowest operation of the last storm took.
slowest()
{
	awk -F '[:,]' '/"longest_ms"/ && $2 > max { max = $2 } END { print int(max) }' /tmp/storm.json
}

# scsi NAME=VALUE...: settings of scsi_debug
scsi()
{
	local arg

	for arg in "$@"; do
		echo "${arg#*=}" > "/sys/bus/pseudo/drivers/scsi_debug/${arg%%=*}"
	done
}

begin()
{
	scsi every_nth="$nth" opts="$opts"
}

# A bad sector has been met.
begin_bad()
{
	begin
	wait_for 60 bad_was_met
}

bad_was_met()
{
	log_since | grep "critical medium error"
}

end()
{
	scsi opts=0 every_nth=0
}

# each [CHECKER_OPTION...]: all faults in turn; the options are for errors that reach us.
each()
{
	local nth opts

	# What the SCSI layer makes good: late, but right.
	nth=20 opts=$((recovered | transport))
	storm 8 2 begin end
	nth=$(slow_or 40 200) opts=$timeout
	storm 64 "$(long_or 60 "$(slow_or 4 1)")" begin end
	assert_le 1000 "$(slowest)" "milliseconds of the slowest operation"
	assert_eq "$invalid" 0 "invalid snapshots"

	# What it does not. Reads fail, of some sectors, of which we may copy some.
	nth=0 opts=$medium_error
	log_mark
	storm 8 2 begin_bad end "$@"
	assert_le 1 "$(storm_errors)" "operations that failed"
	invalid=0
}

run_test()
{
	local scsi_disk

	scsi_disk=$(disk)
	storm_setup "$(nullb_create size=16)" "$scsi_disk"
	each --allow-snapshot-errors
	dm_remove origin
	modprobe -r scsi_debug

	scsi_disk=$(disk)
	storm_setup "$scsi_disk" "$(nullb_create size=18)"
	each --allow-snapshot-errors --allow-origin-errors
}
