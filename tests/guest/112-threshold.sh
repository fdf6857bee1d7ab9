# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="the COW threshold bounds the copies in flight and lets everybody through in the end"
SELDOM=debug
TIMEOUT=240

# Most copies in flight at the COW device while fio writes COUNT chunks: most_in_flight COUNT
# Chunks of half a page have a write each, so that these can be counted.
most_in_flight()
{
	local pid most=0 now disk

	disk=dm-$(dmsetup info -c --noheadings -o minor slow)
	fio --name=cow --filename=/dev/mapper/origin --rw=randwrite --bs=2k --direct=1 --ioengine=libaio \
		--iodepth=64 --numjobs=4 --offset_increment=4m --size="$(($1 / 2))k" --output=/tmp/fio & pid=$!
	while kill -0 "$pid" 2> /dev/null; do
		read -r _ now < "/sys/block/$disk/inflight"
		((now <= most)) || most=$now
	done
	wait "$pid"
	echo "$most"
}

# bounded THRESHOLD COUNT LEAST MOST
bounded()
{
	local most

	snap_param snapshot_cow_threshold "$1"
	snap_create snap origin "$o" /dev/mapper/slow N 4
	most=$(most_in_flight "$2")
	echo "threshold $1: at most $most in flight"
	assert_cows snap "$2" 4
	assert_le "$most" "$4" "copies in flight"
	assert_le "$3" "$most" "copies in flight"
	dm_remove snap
}

run_test()
{
	local o c extra

	modprobe dm-delay
	o=$(nullb_create size=32)
	c=$(nullb_create size=32)
	# Writes to the COW device take 100 ms. dm-delay counts requests only when it passes them on, so that there
	# is a device on top that counts them.
	dm_create delay "0 $(sectors "$c") delay $c 0 0 $c 0 100"
	dm_create slow "0 $(sectors "$c") linear /dev/mapper/delay 0"
	origin_create origin "$o"
	# A writer on each CPU may have passed the test before the others' copies began.
	extra=$((1 + 2 * $(nproc)))
	bounded 2048 512 65 512
	bounded 16 160 4 $((16 + extra))
	bounded 1 16 1 $((1 + extra))
	# Nobody is held back for ever.
	bounded 0 16 1 $((0 + extra))
}
