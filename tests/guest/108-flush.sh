# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="flush and FUA reach the right device; a write with FUA to an uncopied chunk is durable"
SELDOM=debug

# flushes DEVICE: flush requests that it has completed.
flushes()
{
	awk '{ print $16 }' "/sys/class/block/${1#/dev/}/stat"
}

# expect WHAT ORIGIN COW COMMAND...: flushes of each device that the command must cause
expect()
{
	local what=$1 origin=$2 cow=$3 o_before c_before

	shift 3
	o_before=$(flushes "$o")
	c_before=$(flushes "$c")
	"$@"
	assert_eq "$(($(flushes "$o") - o_before)) $(($(flushes "$c") - c_before))" "$origin $cow" \
		"flushes of origin and COW device by $what"
}

run_test()
{
	local o c

	# With a volatile cache, so that flushes are sent on. No FUA: it becomes a flush after the write.
	o=$(nullb_create size=64 cache_size=8)
	c=$(nullb_create size=64 cache_size=8)
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" N 8
	put /dev/mapper/origin 0 128 a
	put /dev/mapper/snap 1024 128 b

	expect "fsync of the origin" 1 0 sync -d /dev/mapper/origin
	expect "fsync of the snapshot" 0 1 sync -d /dev/mapper/snap
	expect "FUA write to the origin, copied" 1 0 \
		dd if=/dev/zero of=/dev/mapper/origin bs=4096 count=1 oflag=direct,dsync status=none
	expect "FUA write to the snapshot, copied" 0 1 \
		dd if=/dev/zero of=/dev/mapper/snap bs=4096 seek=128 count=1 oflag=direct,dsync status=none
	expect "FUA write to the snapshot, whole chunk" 0 1 \
		dd if=/dev/zero of=/dev/mapper/snap bs=4096 seek=200 count=1 oflag=direct,dsync status=none
	expect "FUA write to the snapshot, part of a chunk" 0 1 \
		dd if=/dev/zero of=/dev/mapper/snap bs=512 seek=1701 count=1 oflag=direct,dsync status=none
	expect "FUA write to the origin, not copied" 1 0 \
		dd if=/dev/zero of=/dev/mapper/origin bs=4096 seek=300 count=1 oflag=direct,dsync status=none
	assert_holds /dev/mapper/snap 2400 8 0
	assert_cows snap $((16 + 16 + 1 + 1 + 1))
}
