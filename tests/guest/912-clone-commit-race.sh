# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="the last regions are hydrated during a commit: the next one has them, and the event comes after it"
KERNELS=debug

requires()
{
	is_ours || skip "our delay points"
	requires_delays
}

# on_metadata: number of regions that the metadata device has, with the clone in use
on_metadata()
{
	dd if="$meta" of="$copy" bs=4k count=4 iflag=direct oflag=direct status=none
	dmsc-clone show --json "$copy" | sed -n 's/.*"hydrated": \([0-9]*\).*/\1/p'
}

has_event()
{
	(($(events clone) > before))
}

run_test()
{
	local source dest meta copy before

	clone_devices 4
	copy=$(nullb_create size=4)
	clone_create clone 64 1 no_hydration
	before=$(events clone)
	pattern a > /dev/null
	# The commit of each second has noted the first half of the regions when the second half comes.
	delay_set clone-commit:flush 3000 1000 1
	put_blocks /dev/mapper/clone 0 64 64 a
	wait_for 20 delay_was_hit clone-commit:flush
	put_blocks /dev/mapper/clone 4096 64 64 a
	assert_eq "$(dmsetup status --noflush clone | cut -d' ' -f7)" 128/128
	wait_for 20 has_event
	assert_eq "$(on_metadata)" 128 "regions on the metadata device when user space is told that it has all"
	delays_off
	dm_remove clone
}
