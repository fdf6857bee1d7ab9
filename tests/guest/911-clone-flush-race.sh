# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a flush or FUA behind a write to a region that another write is just hydrating commits the region"
KERNELS=debug

requires()
{
	is_ours || skip "our delay points"
	requires_delays
}

# acknowledged HOW SECTOR POINT: a write of "b" that is said to be durable, beside one whose region stops at POINT, is
# found after a power cut.
acknowledged()
{
	local how=$1 sector=$2 point=$3 pid

	delay_set "$point" 5000 1000 1
	put /dev/mapper/clone "$sector" 1 a &
	pid=$!
	wait_for 20 delay_was_hit "$point"
	if [[ $how == fua ]]; then
		dd if="$(pattern b)" of=/dev/mapper/clone bs=512 count=1 seek=$((sector + 10)) oflag=direct,dsync \
			conv=notrunc status=none
	else
		put /dev/mapper/clone $((sector + 10)) 1 b
		sync /dev/mapper/clone
	fi
	# What the devices have now is what a power cut leaves.
	dd if="$meta" of="$after_meta" bs=4k count=4 iflag=direct oflag=direct status=none
	dd if="$dest" of="$after_dest" bs=1M count=4 iflag=direct oflag=direct status=none
	wait "$pid"
	delays_off
	dm_create after "0 $(sectors "$source") $clone_target $after_meta $after_dest $source 64 1 no_hydration"
	assert_holds /dev/mapper/after $((sector + 10)) 1 b
	dm_remove after
	assert_holds /dev/mapper/clone "$sector" 1 a
}

run_test()
{
	local source dest meta after_meta after_dest

	clone_devices 4
	after_meta=$(nullb_create size=4)
	after_dest=$(nullb_create size=4 discard=1)
	clone_create clone 64 1 no_hydration
	# The sector of the bitmap has been committed once.
	put /dev/mapper/clone 0 64 z
	sync /dev/mapper/clone
	pattern a > /dev/null
	pattern b > /dev/null
	acknowledged flush 640 clone-bitmap:set-dirty
	acknowledged fua 704 clone-bitmap:set-changed
	dm_remove clone
}
