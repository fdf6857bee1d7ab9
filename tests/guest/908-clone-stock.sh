# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="clones beside dm-clone's: the same status step by step, and its metadata converted"
SELDOM=debug

requires()
{
	requires_stock_clone
}

# both COMMAND...: with NAME replaced by each of the two clones
both()
{
	"${@//NAME/stock}"
	"${@//NAME/ours}"
}

# same WHAT: what the status says but for the metadata's size is the same
same()
{
	assert_eq "$(dmsetup status ours | cut -d' ' -f2,4,6-)" "$(dmsetup status stock | cut -d' ' -f2,4,6-)" \
		"status after $1"
}

# same_events N: each has had so many
same_events()
{
	assert_eq "$(events ours)" "$1" "events of ours"
	assert_eq "$(events stock)" "$1" "events of stock's"
}

is_complete()
{
	is_hydrated stock && is_hydrated ours
}

# clones REGION [ARGUMENT...]: one of each kind, of the same source
clones()
{
	meta_clear "$stock_meta"
	meta_clear
	dm_create stock "0 $len clone $stock_meta $stock_dest $source $*"
	dm_create ours "0 $len clone-scaled $meta $dest $source $*"
}

# convert_at REGIONS: a clone of stock's with so many regions of 8 sectors, some of them hydrated, goes on as ours
convert_at()
{
	local count=$1 sum said

	len=$((count * 8 - 3))
	blkdiscard -f -z "$dest"
	meta_clear "$stock_meta"
	dm_create stock "0 $len clone $stock_meta $dest $source 8 1 no_hydration"
	put /dev/mapper/stock 8 1 a
	put /dev/mapper/stock $((8 * (count - 1))) 5 b
	put /dev/mapper/stock $((8 * (count / 2))) 64 c
	blkdiscard -f -o 65536 -l $((4096 * (count / 3))) /dev/mapper/stock
	put /dev/mapper/stock $((8 * (count / 4))) 8 d
	sync /dev/mapper/stock
	said=$(hydrated stock)
	sum=$(checksum /dev/mapper/stock)
	dm_remove stock

	meta_clear
	assert_match "$(dmsc-clone convert --from "$stock_meta" "$meta")" "^$said of $count regions of 8 sectors"
	dmsc-clone check "$meta"
	dm_create ours "0 $len clone-scaled $meta $dest $source 8 1 no_hydration"
	assert_eq "$(hydrated ours)" "$said" "hydrated"
	assert_eq "$(checksum /dev/mapper/ours)" "$sum" "contents"
	dmsetup message ours 0 enable_hydration
	wait_for 60 is_hydrated ours
	assert_eq "$(checksum /dev/mapper/ours)" "$sum" "contents"
	dm_remove ours
}

run_test()
{
	local source dest meta stock_meta stock_dest len

	clone_devices 64
	stock_meta=$(nullb_create size=8)
	stock_dest=$(nullb_create size=64 discard=1)
	len=$(sectors "$source")

	clones 8 1 no_hydration 4 hydration_threshold 16 hydration_batch_size 4
	same "creation"
	both put /dev/mapper/NAME 80 8
	same "a whole region"
	both put /dev/mapper/NAME 161 1
	same "a part of one"
	both put_blocks /dev/mapper/NAME 800 10 16
	same "more"
	both blkdiscard -f -o 1000448 -l 3000320 /dev/mapper/NAME
	same "a discard"
	both dmsetup message NAME 0 hydration_threshold 100
	both dmsetup message NAME 0 hydration_batch_size 7
	same "messages"
	both dmsetup suspend NAME
	same "suspend"
	both dmsetup resume NAME
	same_events 0
	both dmsetup message NAME 0 enable_hydration
	wait_for 120 is_complete
	both sync /dev/mapper/NAME
	sleep 2
	same "the end"
	# Stock's has one more for a commit during which the last region was hydrated, which that commit does not hold.
	assert_eq "$(events ours)" 1 "events of ours"
	(($(events stock) >= 1)) || fail "no event of stock's"
	assert_eq "$(checksum /dev/mapper/ours)" "$(checksum /dev/mapper/stock)" "contents"
	dm_remove stock ours

	# One block of the array has 32,576 regions.
	convert_at 16384
	convert_at 1000
	source=$(nullb_create size=300) dest=$(nullb_create size=300 discard=1)
	convert_at 70000

	# What is damaged is not converted.
	printf '\xff' | dd of="$stock_meta" bs=1 seek=200 conv=notrunc status=none
	assert_fails dmsc-clone convert --from "$stock_meta" "$meta"
}
