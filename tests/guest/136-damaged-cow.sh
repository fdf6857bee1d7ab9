# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a snapshot whose COW device is damaged or cut off is loaded as invalid; device and origin stay usable"
TIMEOUT=200
KERNELS=stock

requires()
{
	is_ours || skip "stock believes what is on the COW device"
}

lv()
{
	"$@" -qq < /dev/null || fail "failed: $*"
}

# le VALUE BYTES: in binary, little endian
le()
{
	local value=$1 i

	for ((i = 0; i < $2; i++)); do
		printf '%b' "\\x$(printf %02x $((value & 255)))"
		value=$((value >> 8))
	done
}

# poke DEVICE OFFSET BYTES VALUE
poke()
{
	le "$4" "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc,fsync status=none
	blockdev --flushbufs "$1"
}

# damaged MESSAGE: what is on $cow is loaded as an invalid snapshot, and not changed.
damaged()
{
	local before

	before=$(checksum "$cow")
	log_mark
	snap_create snap origin "$o" "$cow" P 0
	assert_match "$(log_since)" "$1"
	assert_eq "$(snap_usage snap)" Invalid "status"
	assert_fails dd if=/dev/mapper/snap of=/dev/null bs=4k count=1 iflag=direct status=none
	put /dev/mapper/origin 160 8 z
	assert_holds /dev/mapper/origin 160 8 z
	# Another table for it has it as it is.
	dm_reload snap "0 $(sectors "$o") $snapshot $o $cow P 0"
	assert_eq "$(snap_usage snap)" Invalid "status of another table"
	dm_remove snap
	assert_eq "$(checksum "$cow")" "$before" "COW device"
	log_mark
	# The origin of a merge is a mixture.
	assert_fails dmsetup reload origin --table "0 $(sectors "$o") merge-scaled $o $cow P 8"
	assert_match "$(log_since)" "COW device"
	dmsetup clear origin
	assert_eq "$(checksum "$cow")" "$before" "COW device"
}

run_test()
{
	local o c cow=/dev/mapper/cow pv sum

	o=$(nullb_create size=4)
	c=$(nullb_create size=4)
	dm_create cow "0 8192 linear $c 0"
	cow_clear $cow
	origin_create origin "$o"
	snap_create snap origin "$o" $cow P 8
	put_blocks /dev/mapper/origin 0 300 8 x
	dm_remove snap
	dd if="$c" of=/run/image bs=1M iflag=direct status=none

	# The second area is in chunk 258: exception 260 is the fifth there.
	poke $cow $((258 * 4096 + 4 * 16 + 8)) 8 $((1 << 40))
	damaged "Exception 260, in sector 2064, of chunk 260 in .*: the device ends before it"
	dd if=/run/image of="$c" bs=1M oflag=direct status=none
	poke $cow 12 4 7
	damaged "chunk size in the header, sector 0, is 7 sectors"
	dd if=/run/image of="$c" bs=1M oflag=direct status=none
	dm_reload cow "0 2080 linear $c 0"
	damaged "the device ends before it"
	dm_reload cow "0 8 linear $c 0"
	damaged "too small"
	# As it was, it is as good as ever.
	dm_reload cow "0 8192 linear $c 0"
	dd if=/run/image of="$c" bs=1M oflag=direct status=none
	snap_create snap origin "$o" $cow P 8
	assert_cows snap $((300 + 3))
	dm_remove snap
	# What is no snapshot is not taken for a damaged one: as with stock, nobody is to believe in a snapshot that is none.
	poke $cow 0 4 1
	assert_fails dm_create snap "0 $(sectors "$o") $snapshot $o $cow P 8"
	# What cannot be read now may be intact.
	dd if=/run/image of="$c" bs=1M oflag=direct status=none
	dm_reload cow "0 8 linear $c 0
8 8184 error"
	assert_fails dm_create snap "0 $(sectors "$o") $snapshot $o $cow P 8"
	dm_remove origin cow

	# LVM activates the origin, and can remove the snapshot.
	unload_module
	modprobe -q -r dm-snapshot || true
	load_module takeover=snapshot
	pv=$(nullb_create size=64)
	mkdir -p /run/lvm /run/lock/lvm /etc/lvm/{backup,archive}
	lv lvm pvcreate "$pv"
	lv lvm vgcreate -s 1m vg "$pv"
	lv lvm lvcreate -y -n data -L 16m vg
	lv lvm lvcreate -s -n snap -L 12m vg/data
	put_blocks /dev/vg/data 0 5 2048 y
	sum=$(checksum /dev/vg/data)
	lv lvm lvreduce -f -y -L 2m vg/snap
	lv lvm vgchange -an vg
	lv lvm vgchange -ay vg
	assert_eq "$(checksum /dev/vg/data)" "$sum" "origin"
	assert_eq "$(snap_usage vg-snap)" Invalid "status of LVM's snapshot"
	lv lvm lvremove -y vg/snap
	assert_eq "$(checksum /dev/vg/data)" "$sum" "origin"
	lv lvm vgremove -y vg
	unload_module
	load_module
}
