# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a large write to a clone is one bio, whatever its regions are; only what it leaves of its ends is copied"
TIMEOUT=120

put_durably()
{
	dd if="$(pattern "$4")" of="$1" bs="$(($3 * 512))" count=1 oflag=direct,dsync,seek_bytes seek="$(($2 * 512))" \
		conv=notrunc status=none
}

# with_regions SECTORS: each MiB is written in another way
with_regions()
{
	local region=$1 head=3 tail

	tail=$((region - head))
	meta_clear
	clone_create clone "$region" 1 no_hydration
	# As it comes; the write behind it begins in a region that is hydrated. A commit writes to $meta.
	asks 2 "$region" 3 $((2048 + region)) put /dev/mapper/clone $((4096 + head)) 2048 a
	asks 1 "$tail" 2 $((2048 + tail)) put /dev/mapper/clone $((6144 + head)) 2048 b
	asks 0 0 1 2048 put /dev/mapper/clone $((4096 + head)) 2048 c
	# Durable.
	asks 2 "$region" 3 $((2048 + region)) put_durably /dev/mapper/clone $((12288 + head)) 2048 d
	# Here and there a region is hydrated.
	for ((i = 16384; i < 18432; i += 256)); do
		put /dev/mapper/clone "$i" "$region" e
	done
	asks 1 "$tail" 2 $((2048 + tail)) put /dev/mapper/clone $((16384 + head)) 2048 f
	# In two regions, and in none as a whole.
	asks 2 $((2 * region - 4)) 3 $((2 * region)) put /dev/mapper/clone $((20480 + region - 2)) 4 g
	asks 0 0 1 4 put /dev/mapper/clone $((20480 + region - 2)) 4 h
	# A part of one is copied with it.
	asks 1 "$region" 2 $((region + 2)) put /dev/mapper/clone 24577 2 i

	dmsetup suspend clone
	dmsetup resume clone
	assert_eq "$(hydrated clone)" $((4 * 2048 / region + 6)) "hydrated"
	dm_remove clone
	clone_create clone "$region" 1 no_hydration
	assert_holds /dev/mapper/clone 0 4096 s
	assert_holds /dev/mapper/clone 4096 $head s
	assert_holds /dev/mapper/clone $((4096 + head)) 2048 c
	assert_holds /dev/mapper/clone $((6144 + head)) 2048 b
	assert_holds /dev/mapper/clone $((8192 + head)) 4096 s
	assert_holds /dev/mapper/clone $((12288 + head)) 2048 d
	assert_holds /dev/mapper/clone $((14336 + head)) 2045 s
	assert_holds /dev/mapper/clone 16384 $head e
	assert_holds /dev/mapper/clone $((16384 + head)) 2048 f
	assert_holds /dev/mapper/clone $((18432 + head)) $((2045 + region - 2)) s
	assert_holds /dev/mapper/clone $((20480 + region - 2)) 4 h
	assert_holds /dev/mapper/clone $((20480 + region + 2)) 1000 s
	assert_holds /dev/mapper/clone 24576 1 s
	assert_holds /dev/mapper/clone 24577 2 i
	assert_holds /dev/mapper/clone 24579 4000 s
	dm_remove clone
}

run_test()
{
	local source dest meta i c

	clone_devices 16
	dm_create source "0 32768 linear $source 0"
	dm_create dest "0 32768 linear $dest 0"
	source=/dev/mapper/source dest=/dev/mapper/dest
	for c in a b c d e f g h i; do
		pattern $c > /dev/null
	done
	for i in $(slow_or "8 128" "8 16 32 64 128"); do
		with_regions "$i"
	done
	dm_remove source dest
}
