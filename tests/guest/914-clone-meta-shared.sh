# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a metadata device that hangs blocks its own clone alone; one that is being written is not damaged"
KERNELS=stock

# in_time WHAT COMMAND...: runs it, while "hung" is suspended. A task that waits for a mutex cannot be killed: if the
# command does not end, what it waits for must go on before the test can fail.
in_time()
{
	local what=$1 pid i

	shift
	"$@" &
	pid=$!
	for ((i = 0; i < 200; i++)); do
		if ! kill -0 "$pid" 2> /dev/null; then
			wait "$pid"
			return
		fi
		sleep 0.1
	done
	dmsetup resume hung
	fail "$what"
}

# reads_are NUMBER: so many have ended on the device below "slow" since "before"
reads_are()
{
	(($(reads) - before >= $1))
}

reads()
{
	awk '{ print $1 }' "/sys/block/${raw#/dev/}/stat"
}

# put_sector FILE: makes it the first one of the bitmap
put_sector()
{
	dd if="$1" of="$raw" bs=512 seek=16 count=1 oflag=direct conv=notrunc status=none
}

run_test()
{
	local source dest meta raw first_dest pid before

	# The first clone's metadata device does not answer while its regions are loaded.
	clone_devices 4
	first_dest=$dest
	dm_create hung "0 $(sectors "$meta") linear $meta 0"
	meta=/dev/mapper/hung
	dmsetup create clone --notable
	dmsetup load clone --table "$(clone_table 8 1 no_hydration)"
	dmsetup suspend --noflush --nolockfs hung
	dmsetup resume clone &
	pid=$!
	sleep 1
	kill -0 "$pid" || fail "resumed without its metadata device"
	meta=$(nullb_create size=4)
	dest=$(nullb_create size=4)
	in_time "another clone is blocked" dmsetup create other --table "$(clone_table 8 1 no_hydration)"
	put /dev/mapper/other 8 1 a
	in_time "another clone's removal is blocked" dmsetup remove other
	dmsetup resume hung
	wait "$pid"
	dm_remove clone hung

	# A table is loaded while the first sector of the bitmap is half written: it has the checksum of what was there
	# before. Each read takes half a second, so that the other half comes between two of them.
	modprobe dm-delay
	meta=$(nullb_create size=4)
	dest=$first_dest
	raw=$meta
	clone_create clone 8 1 no_hydration
	dd if="$raw" of=/tmp/old bs=512 skip=16 count=1 iflag=direct status=none
	put /dev/mapper/clone 8 8 a
	dm_remove clone
	dd if="$raw" of=/tmp/new bs=512 skip=16 count=1 iflag=direct status=none
	{ head -c 4 /tmp/old; tail -c +5 /tmp/new; } > /tmp/half
	! cmp -s /tmp/half /tmp/new || fail "nothing was committed"
	dm_create slow "0 $(sectors "$raw") delay $raw 0 500 $raw 0 0"
	meta=/dev/mapper/slow
	put_sector /tmp/half
	before=$(reads)
	log_mark
	dmsetup create clone --notable
	dmsetup load clone --table "$(clone_table 8 1 no_hydration)" &
	pid=$!
	# Two superblocks, and the sector.
	wait_for 20 reads_are 3
	put_sector /tmp/new
	wait "$pid" || fail "called damaged: $(log_since)"
	assert_le 4 "$(($(reads) - before))" "reads"
	dmsetup resume clone
	assert_eq "$(hydrated clone)" 1 "hydrated"
	dm_remove clone

	# What stays as it is is damaged.
	put_sector /tmp/half
	log_mark
	! dmsetup create clone --table "$(clone_table 8 1 no_hydration)" 2> /dev/null || fail "accepted"
	assert_match "$(log_since)" "bitmap sector 0, of regions from 0 on, is damaged"
	dm_remove slow
}
