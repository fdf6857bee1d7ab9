# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Devices that can be told to fail. Needs dm-flakey.

# below NAME DEVICE: one on DEVICE; prints its path.
below()
{
	dm_create "$1" "0 $(sectors "$2") linear $2 0"
	echo "$2" > "/tmp/below.$1"
	echo "/dev/mapper/$1"
}

# tables NAME MODE [FIRST COUNT]: ok, all (each request fails), writes (only those fail), part (those of some sectors)
tables()
{
	local device len

	device=$(< "/tmp/below.$1")
	len=$(sectors "$device")
	{
		case $2 in
		ok) echo "0 $len linear $device 0" ;;
		all) echo "0 $len error" ;;
		writes) echo "0 $len flakey $device 0 0 60 1 error_writes" ;;
		part)
			echo "0 $3 linear $device 0"
			echo "$3 $4 error"
			echo "$(($3 + $4)) $((len - $3 - $4)) linear $device $(($3 + $4))"
			;;
		esac
	} > /tmp/below.table
	# Requests in flight end in the old table.
	dmsetup suspend --noflush --nolockfs "$1"
	dmsetup reload "$1" /tmp/below.table
	dmsetup resume "$1"
}
