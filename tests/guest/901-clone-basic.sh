# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="clones: what reads and writes of hydrated and other regions do, and what the status says of it"
EACH=1
KERNELS="stock debug rt"
SELDOM=debug

run_test()
{
	local source dest meta region

	for region in 8 64 2048; do
		clone_devices 16
		clone_create clone "$region" 1 no_hydration
		assert_eq "$(clone_status clone 1)" 8 "metadata block size"
		assert_eq "$(clone_status clone 3)" "$region" "region size"
		assert_eq "$(hydrated clone)" 0 "hydrated"
		assert_holds /dev/mapper/clone 0 32768 s

		# A part of a region: all of it is copied, and nothing else.
		put /dev/mapper/clone $((3 * region + 1)) 3 x
		assert_eq "$(hydrated clone)" 1 "hydrated by a write"
		assert_holds /dev/mapper/clone $((3 * region)) 1 s
		assert_holds /dev/mapper/clone $((3 * region + 1)) 3 x
		assert_holds /dev/mapper/clone $((3 * region + 4)) $((region - 4)) s
		assert_holds "$dest" $((3 * region)) 1 s
		assert_holds "$dest" $((3 * region + 1)) 3 x
		assert_holds "$dest" $((2 * region)) "$region" 0
		assert_holds "$dest" $((4 * region)) "$region" 0

		# All of a region: nothing is copied.
		put /dev/mapper/clone $((5 * region)) "$region" y
		assert_eq "$(hydrated clone)" 2 "hydrated by a whole region"
		assert_holds "$dest" $((5 * region)) "$region" y

		# Into a region that is hydrated.
		put /dev/mapper/clone $((5 * region + 2)) 1 z
		assert_eq "$(hydrated clone)" 2 "hydrated"
		assert_holds /dev/mapper/clone $((5 * region + 2)) 1 z
		assert_holds "$source" 0 32768 s

		# All the rest.
		dmsetup message clone 0 enable_hydration
		wait_for 60 is_hydrated clone
		dm_remove clone
		assert_holds "$dest" $((3 * region + 1)) 3 x
		assert_holds "$dest" $((5 * region + 2)) 1 z
		assert_holds "$dest" $((6 * region)) $((32768 - 6 * region)) s
		assert_holds "$dest" 0 $((3 * region + 1)) s
		cleanup_devices
	done
}
