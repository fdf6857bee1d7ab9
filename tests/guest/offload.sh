# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Helpers of the tests on NVMe disks that copy, on top of kcopyd.sh and snap.sh. The disks are those of tests/vm/run
# --nvme; all have memory behind them, and lose their partitions when a test begins.
#
# As a disk is known only as long as somebody uses it, so are its statistics. A test that wants to see those of a
# client which is gone has a snapshot on the disk meanwhile: nvme_keep().
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"

offload_file=/sys/kernel/debug/dm-scaled/offload
fault_parameters=/sys/module/copy_offload_fault/parameters

# nvme_start: the driver is there, and the disks are as they were made.
nvme_start()
{
	local dir n

	modprobe nvme
	for dir in /sys/class/nvme/nvme*/; do
		wait_for 30 controller_is live "$dir"
	done
	# Namespaces are scanned after their controller is live.
	wait_for 30 all_disks
	for dir in /sys/block/nvme*n*/nvme*p*/; do
		[[ -e $dir/partition ]] || continue
		n=$(< "$dir/partition")
		dir=${dir%/*/}
		delpart "/dev/${dir##*/}" "$n"
	done
	mkdir -p /run/dm-scaled
	rm -f /run/dm-scaled/next-*
}

controller_is()
{
	[[ $(< "$2/state") == "$1" ]]
}

all_disks()
{
	local dir

	for dir in /sys/class/nvme/nvme*/; do
		compgen -G "$dir/nvme*n*" > /dev/null || return 1
	done
}

# nvme_disk SERIAL [NSID]: prints the device
nvme_disk()
{
	local dir serial

	for dir in /sys/block/nvme*; do
		[[ ${dir##*/} != *c*n* ]] || continue
		serial=$(< "$dir/device/serial")
		if [[ ${serial// /} == "$1" && $(< "$dir/nsid") == "${2:-1}" ]]; then
			echo "/dev/${dir##*/}"
			return
		fi
	done
	fail "no NVMe disk of serial number $1, namespace ${2:-1}"
}

# nvme_partition DISK MB: makes one behind the others, prints its device
nvme_partition()
{
	local disk=$1 count=$(($2 * 2048)) file=/run/dm-scaled/next-${1##*/} n=1 start=2048

	[[ ! -e $file ]] || read -r n start < "$file"
	addpart "$disk" "$n" "$start" "$count"
	echo "$((n + 1)) $((start + count))" > "$file"
	echo "${disk}p$n"
}

# nvme_keep DISK: a snapshot "keep", which does nothing
nvme_keep()
{
	local o

	o=$(nvme_partition "$1" 1)
	snap_create keep - "$o" "$(nvme_partition "$1" 2)"
}

# The devices of the data checker are on the test's $disk.
disk_create()
{
	nvme_partition "$disk" "$1"
}

# offload_line NAME: what the snapshot's disk tells
offload_line()
{
	dmsetup message "$1" 0 stats
}

# offload NAME KEY: a number of that
offload()
{
	offload_line "$1" | sed -n "s/.* $2 \([0-9]*\).*/\1/p"
}

# copies_by_itself ORIGIN COW: whether a snapshot on these has the device copy
copies_by_itself()
{
	local line

	# Whoever asks in a condition has no errexit.
	snap_create probe - "$1" "$2" || fail "no snapshot of $1 on $2"
	line=$(offload_line probe)
	dm_remove probe
	[[ $line != - ]]
}

# fault_nth N: each Nth Copy command fails
fault_nth()
{
	[[ -e $fault_parameters ]] || insmod "$opt/copy-offload-fault.ko"
	echo "$1" > "$fault_parameters/nth"
}
