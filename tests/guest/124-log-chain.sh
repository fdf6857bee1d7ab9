# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a snapshot is removed while another one's worker still has its log in hand"
KERNELS=debug

requires()
{
	requires_delays
}

has_waited_twice()
{
	(($(delay_waited snap-log:look) == 2))
}

# One copy serves both snapshots. Where it has ended, the worker of the first gives an exception to the log of each;
# behind each it stops for a while. The second log makes its exception durable meanwhile, and is removed.
run_test()
{
	local o c1 c2 write

	o=$(nullb_create size=4)
	c1=$(nullb_create size=4)
	c2=$(nullb_create size=4)
	put_blocks "$o" 0 4 2048 a
	cow_clear "$c1"
	cow_clear "$c2"
	origin_create origin "$o"
	snap_create s1 origin "$o" "$c1" P 8
	snap_create s2 origin "$o" "$c2" P 8
	pattern b > /dev/null
	delay_set snap-log:look 4000 1000 2
	put /dev/mapper/origin 80 8 b & write=$!
	wait_for 100 has_waited_twice
	put /dev/mapper/s2 800 8 s
	dm_remove s2
	wait "$write"
	assert_holds /dev/mapper/s1 80 8 a
	delays_off
	dm_remove s1 origin
}
