# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="which devices copy by themselves, and how that is switched off and told"
EACH=1
SELDOM=debug
TIMEOUT=120
VM="--cpus 4 --mem 2048 --nvme @tests/guest/offload.disks"

# writes FIRST: 64 chunks of the origin, from a block of 4 KiB on
writes()
{
	put_blocks /dev/mapper/origin $(($1 * 8)) 64 8
}

run_test()
{
	local disk other o c message sum disks

	nvme_start
	# Beside each other on one disk.
	for disk in "$(nvme_disk a 1)" "$(nvme_disk a 2)" "$(nvme_disk a 3)" "$(nvme_disk a 4)" "$(nvme_disk large)"; do
		o=$(nvme_partition "$disk" 4) c=$(nvme_partition "$disk" 5)
		copies_by_itself "$o" "$c" || fail "$disk does not copy"
	done
	# No limits; a block at a time; several paths; metadata; zones; two disks.
	disks=("$(nvme_disk none)" "$(nvme_disk block)" "$(nvme_disk meta)")
	# Without multipath each path is a disk of its own.
	[[ ! -e /sys/module/nvme_core/parameters/multipath ]] || disks+=("$(nvme_disk one+two)")
	for disk in "${disks[@]}"; do
		o=$(nvme_partition "$disk" 4) c=$(nvme_partition "$disk" 5)
		! copies_by_itself "$o" "$c" || fail "$disk copies"
	done
	log_mark
	dmsetup create zones --table "0 8192 $snapshot $(nvme_disk zones) $(nvme_disk zones) N 8" 2> /dev/null || true
	! log_since | grep 'copies by itself' || fail "zones are copied"
	disk=$(nvme_disk a 1) other=$(nvme_disk a 2)
	! copies_by_itself "${disk}p1" "${other}p2" || fail "from one namespace to another"
	! copies_by_itself "${disk}p1" "$(nullb_create size=5)" || fail "from NVMe to another disk"

	# Switches: of the module, of the device in two ways.
	o=${disk}p1 c=${disk}p2
	fill "$o" 1
	sum=$(checksum "$o")
	origin_create origin "$o"
	snap_create snap origin "$o" "$c"
	assert_match "$(offload_line snap)" "^${disk#/dev/} nvme auto commands 0 ranges 0 sectors 0 off 0 "
	assert_eq "$(cat $offload_file)" "$(offload_line snap)" "line in debugfs"
	writes 0
	assert_eq "$(offload snap ranges)" 64 "ranges"
	assert_eq "$(offload snap sectors)" 512 "sectors"
	module_param offload off
	assert_eq "$(< /sys/module/dm_scaled/parameters/offload)" off
	writes 64
	assert_match "$(offload_line snap)" " nvme off commands .* off 64 "
	module_param offload auto
	assert_fails dd of=/sys/module/dm_scaled/parameters/offload status=none <<< sometimes
	dmsetup message snap 0 offload off
	writes 128
	assert_eq "$(offload snap off)" 128 "copies that were not left to the device"
	echo "${disk#/dev/} auto" > $offload_file
	writes 192
	echo "${disk#/dev/} off" > $offload_file
	writes 256
	dmsetup message snap 0 offload auto
	assert_eq "$(offload snap ranges) $(offload snap off)" "128 192" "ranges copied and not"
	assert_fails dd of=$offload_file status=none <<< "nvme99n1 off"
	assert_fails dd of=$offload_file status=none <<< "${disk#/dev/} on"
	for message in nonsense "offload" "offload on" "stats now"; do
		# Words of the message.
		# shellcheck disable=SC2086
		assert_fails dmsetup message snap 0 $message
	done

	# The block layer does not look whether such a command may write.
	blockdev --setro "$c"
	writes 320
	blockdev --setrw "$c"
	assert_eq "$(offload snap read-only)" 64 "copies to what is read-only"
	writes 384
	assert_eq "$(offload snap ranges) $(offload snap failed)" "192 0" "ranges"
	assert_eq "$(checksum /dev/mapper/snap)" "$sum" "contents of the snapshot"

	# A snapshot whose devices are on two disks says that it has none.
	snap_create two - "$o" "$(nullb_create size=5)"
	assert_eq "$(offload_line two)" "-"
	assert_fails dmsetup message two 0 offload off
}
