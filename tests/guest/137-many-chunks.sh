# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="a COW device with more than 2^32 chunks: those in use are found, and no others are handed out before"
TIMEOUT=150
KERNELS=stock

# le VALUE: 8 bytes in binary, little endian
le()
{
	local value=$1 i

	for ((i = 0; i < 8; i++)); do
		printf '%b' "\\x$(printf %02x $((value & 255)))"
		value=$((value >> 8))
	done
}

# chunk INDEX: the chunk of data with that index, where chunks have one sector
chunk()
{
	echo $((2 + $1 + ($1 >> 5)))
}

run_test()
{
	local o cow index i=0 indices

	# The first two are one in 32 bits. The third is among the chunks that are handed out first, should a map that
	# grows with the last one have lost it.
	indices=($(((1 << 32) + 10)) 10 $(((1 << 33) + 10)) $(((1 << 33) + 30)))

	o=$(nullb_create size=16)
	modprobe loop
	mount -t tmpfs -o size=256m tmpfs /mnt
	truncate -s 5200G /mnt/cow
	cow=$(losetup -f --show /mnt/cow)
	{ le $(((1 << 32) + 0x70416e53)); le $(((1 << 32) + 1)); } |
		dd of="$cow" bs=16 conv=notrunc status=none
	for index in "${indices[@]}"; do
		le $i
		le "$(chunk "$index")"
		dd if="$(pattern a)" of="$cow" bs=512 count=1 seek="$(chunk "$index")" conv=notrunc status=none
		i=$((i + 1))
	done | cat > /run/exceptions
	dd if=/run/exceptions of="$cow" bs=512 seek=1 conv=notrunc,fsync status=none
	sync
	blockdev --flushbufs "$cow"

	put_blocks "$o" 0 16 2048 b
	origin_create origin "$o"
	snap_create snap origin "$o" "$cow" P 1
	assert_eq "$(snap_usage snap)" "6/$(sectors "$cow") 2" "usage: four chunks, and two of metadata"
	# Chunks in use are not handed out: first the holes before the last one.
	put /dev/mapper/origin 100 160 z
	assert_holds /dev/mapper/snap 0 4 a
	assert_holds /dev/mapper/snap 100 160 b
	dm_remove snap
	snap_create snap origin "$o" "$cow" P 1
	assert_holds /dev/mapper/snap 100 160 b
	assert_holds /dev/mapper/snap 0 4 a
	dm_remove snap origin
	losetup -d "$cow"
	umount /mnt
}

requires()
{
	is_ours || skip "stock needs no map of used chunks"
}
