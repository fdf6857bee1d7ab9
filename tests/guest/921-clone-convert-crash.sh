# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/crash.sh
. "$lib/crash.sh"
DESCRIPTION="power cuts while metadata of dm-clone's are converted: no clone begins anew, or with half of them"
KERNELS=stock

requires()
{
	requires_stock_clone
	modprobe -q dm-log-writes || skip "no dm-log-writes here"
}

# below DISK: all of it is the new metadata device
below()
{
	whole=$1
}

below_remove()
{
	:
}

# look: what is on the replayed disk is as before the conversion, or refused by both targets until it is converted
# again, or all that there is to convert
look()
{
	local message

	# The next moment is made of what is there.
	meta=$copy
	cp --sparse=never "$replayed" "$meta"
	[[ $(checksum "$meta") != "$before" ]] || return 0
	if ! message=$(dmsetup create clone --table "$(clone_table 8 1 no_hydration)" 2>&1); then
		assert_match "$(dmesg | tail -n 5)" "is one of dm-clone's: convert it with dmsc-clone"
		assert_fails dmsetup create clone --table "0 $(sectors "$source") clone $meta $dest $source 8"
		assert_fails dmsc-clone convert --from "$meta" "$stock_meta"
		dmsc-clone convert --from "$stock_meta" "$meta"
		dmsc-clone check "$meta"
		clone_create clone 8 1 no_hydration
		echo again
	fi
	assert_eq "$(hydrated clone)" "$said" "hydrated"
	dm_remove clone
}

# convert_onto: $disk, which is cleared, or has the metadata of another clone
convert_onto()
{
	local text

	before=$(checksum "$disk")
	cp --sparse=never "$disk" "$replayed"
	record convert
	text=$(replay 921-clone-convert-crash "$(long_or 200 30)") || fail "$text"
	assert_match "$text" again
}

convert()
{
	dmsc-clone convert --from "$stock_meta" "$whole"
}

run_test()
{
	local disk log_disk replayed copy whole source dest meta stock_meta before said

	clone_devices 24
	disk=$(nullb_create size=1)
	replayed=$(nullb_create size=1)
	copy=$(nullb_create size=1)
	log_disk=$(nullb_create size=50)
	stock_meta=$(nullb_create size=8)
	blkdiscard -z "$disk"
	meta_clear "$stock_meta"
	dm_create stock "0 $(sectors "$source") clone $stock_meta $dest $source 8 1 no_hydration"
	put /dev/mapper/stock 8 1
	put_blocks /dev/mapper/stock 4000 500 8
	put /dev/mapper/stock 49000 8
	sync /dev/mapper/stock
	said=$(hydrated stock)
	dm_remove stock
	export source dest stock_meta copy before said

	convert_onto
	meta=$disk
	meta_clear
	clone_create other 8 1 no_hydration
	put /dev/mapper/other 40000 8
	dm_remove other
	convert_onto
}
