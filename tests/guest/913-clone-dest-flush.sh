# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/failing.sh
. "$lib/failing.sh"
DESCRIPTION="a destination whose flush fails has lost its cache: no data of it are believed later, nor old ones shown"
KERNELS=stock

requires()
{
	is_ours || skip "stock shows the source's data after such an error"
}

# What was written to the destination is in the page cache, until a flush writes it to $low, and a flush that fails
# forgets it.
cached()
{
	raw=$(nullb_create size=4)
	dd if="$(pattern g)" of="$raw" bs=1M count=4 oflag=direct status=none
	dest=$(losetup -f --show "$(below low "$raw")")
}

uncached()
{
	dm_remove clone
	losetup -d "$dest"
	wait_for 10 dm_remove low
}

forget()
{
	tables low ok
	echo 3 > /proc/sys/vm/drop_caches
}

mode_is()
{
	[[ $(clone_mode clone) == "$1" ]]
}

# wrong DEVICE: number of bytes that are neither the source's nor written by anybody here
wrong()
{
	dd if="$1" bs=1M iflag=direct status=none | tr -d 'sabc' | wc -c
}

run_test()
{
	local source dest meta raw

	modprobe dm-flakey
	modprobe loop
	clone_devices 4
	cached
	clone_create clone 8 1 no_hydration

	# Region 10 is on the metadata device; region 20 is not when the flush fails.
	put /dev/mapper/clone 80 8 a
	sync /dev/mapper/clone
	tables low writes
	log_mark
	put /dev/mapper/clone 160 8 b
	assert_fails sync /dev/mapper/clone
	forget
	assert_eq "$(clone_mode clone)" ro
	assert_match "$(log_since)" "1 regions may have lost data"
	assert_holds /dev/mapper/clone 80 8 a
	assert_holds /dev/mapper/clone 240 8 s
	assert_fails get /dev/mapper/clone 160 8
	assert_fails put /dev/mapper/clone 160 8 c
	assert_fails put /dev/mapper/clone 240 8 c
	put /dev/mapper/clone 80 8 c
	assert_fails sync /dev/mapper/clone
	# Neither resuming nor a new table makes it right.
	dmsetup suspend clone
	dmsetup resume clone
	assert_eq "$(clone_mode clone)" ro "mode, after resuming"
	assert_fails get /dev/mapper/clone 160 8
	dm_reload clone "$(clone_table 8)"
	assert_eq "$(clone_mode clone)" ro "mode, of a new table"
	assert_fails get /dev/mapper/clone 160 8
	assert_fails sync /dev/mapper/clone
	assert_eq "$(wrong "$raw")" $((4096 * 1024 - 4096)) "bytes of the destination that nobody has written"
	# Created anew it is what it was after the last commit.
	dm_remove clone
	clone_create clone 8 1 no_hydration
	assert_eq "$(clone_mode clone)" rw
	assert_eq "$(wrong /dev/mapper/clone)" 0 "wrong bytes"
	assert_holds /dev/mapper/clone 160 8 s

	# The same with what the background has copied, and the commit of each second.
	tables low writes
	dmsetup message clone 0 enable_hydration
	wait_for 20 mode_is ro
	forget
	dmsetup suspend clone
	dmsetup resume clone
	assert_eq "$(clone_mode clone)" ro
	dm_remove clone
	clone_create clone 8
	wait_for 20 is_hydrated clone
	assert_eq "$(wrong /dev/mapper/clone)" 0 "wrong bytes"
	sync /dev/mapper/clone
	uncached

	# A flush that a user sends takes the error, with nothing to commit: regions being filled are not believed.
	meta_clear
	cached
	clone_create clone 8 1 no_hydration
	put /dev/mapper/clone 80 8 a
	sync /dev/mapper/clone
	tables low writes
	put /dev/mapper/clone 80 8 b
	assert_fails sync /dev/mapper/clone
	wait_for 10 mode_is ro
	assert_fails put /dev/mapper/clone 240 8 c
	forget
	# As there is no region that has lost data it goes on.
	dmsetup suspend clone
	dmsetup resume clone
	assert_eq "$(clone_mode clone)" rw
	put /dev/mapper/clone 240 8 c
	sync /dev/mapper/clone
	uncached
}
