# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a clone's metadata device: what is on it, and what becomes of damaged and foreign ones"
SELDOM=debug

requires()
{
	is_ours || skip "our format"
}

# refused PATTERN [TABLE]: no clone of these devices can be made, and the reason is logged
refused()
{
	log_mark
	if dmsetup create clone --table "${2:-$(clone_table 8)}" 2> /dev/null; then
		fail "a clone was made (line ${BASH_LINENO[0]})"
	fi
	assert_match "$(log_since)" "$1"
}

# damage BYTE: changes one of the metadata device
damage()
{
	local byte

	byte=$(od -An -tu1 -j "$1" -N 1 "$meta")
	printf '%b' "\\x$(printf '%x' $((byte ^ 0x10)))" | dd of="$meta" bs=1 seek="$1" conv=notrunc,fsync status=none
}

runs()
{
	dmsc-clone show --regions "$meta" | grep ' + ' | xargs
}

run_test()
{
	local source dest meta before size

	# 64 MiB in regions of 4 KiB: four sectors of 4,032 regions each, and one of 256.
	clone_devices 64
	clone_create clone 8 1 no_hydration
	put /dev/mapper/clone 8 16
	put /dev/mapper/clone $((8 * 4031 + 1)) 1
	put /dev/mapper/clone $((8 * 4032 + 1)) 1
	put /dev/mapper/clone $((8 * 16383)) 8
	assert_eq "$(clone_status clone 2)" 3/1024 "metadata blocks"
	dm_remove clone
	assert_eq "$(runs)" "1 + 2 4031 + 2 16383 + 1" "regions in the metadata"
	dmsc-clone check "$meta"
	assert_match "$(dmsc-clone show --json "$meta")" '"target_size": 131072'

	# It is loaded, and goes on.
	clone_create clone 8 1 no_hydration
	assert_eq "$(hydrated clone)" 5 "hydrated, after loading"
	assert_holds /dev/mapper/clone 8 16 x
	assert_holds /dev/mapper/clone $((8 * 4031 + 1)) 1 x
	assert_holds /dev/mapper/clone $((8 * 4031 + 2)) 6 s
	put /dev/mapper/clone 0 8
	dm_remove clone
	assert_eq "$(runs)" "0 + 3 4031 + 2 16383 + 1"

	# Another clone than this one's.
	refused "metadata for regions of 8 sectors, not 16" "$(clone_table 16)"
	refused "metadata for a clone of 131072 sectors, not 131064" "0 131064 $clone_target $meta $dest $source 8"

	# A superblock is damaged: the other one does, and it is made again.
	before=$(checksum "$meta")
	damage 60
	dmsc-clone check "$meta" 2> /dev/null && fail "damage was not found"
	log_mark
	clone_create clone 8 1 no_hydration
	assert_match "$(log_since)" "writing copy 0 of the superblock again"
	assert_eq "$(hydrated clone)" 6
	dm_remove clone
	assert_eq "$(checksum "$meta")" "$before" "metadata"
	damage 4140
	clone_create clone 8 1 no_hydration
	dm_remove clone
	assert_eq "$(checksum "$meta")" "$before" "metadata"
	damage 60
	damage 4140
	refused "superblocks are damaged"
	damage 60
	damage 4140

	# The first 4 KiB are zero, which makes a new clone of dm-clone's: the old regions are not this one's.
	dd if=/dev/zero of="$meta" bs=4k count=1 oflag=direct status=none
	refused "Zero 8 KiB of metadata, not 4, for a new clone; or use dmsc-clone repair"
	refused "Zero 8 KiB of metadata" "$(clone_table 16)"
	assert_eq "$(dd if="$meta" bs=4k count=1 status=none | tr -d '\0' | wc -c)" 0 "bytes of superblock 0"
	dmsc-clone repair "$meta"
	clone_create clone 8 1 no_hydration
	assert_eq "$(hydrated clone)" 6 "hydrated, after a repair"
	dm_remove clone

	# A sector of the bitmap is damaged: nobody guesses.
	damage $((8192 + 512 + 20))
	refused "bitmap sector 1, of regions from 4032 on, is damaged"
	dmsc-clone repair "$meta" 2> /dev/null && fail "repaired without being told how"
	dmsc-clone repair --assume source "$meta"
	dmsc-clone check "$meta"
	assert_eq "$(runs)" "0 + 3 4031 + 1 16383 + 1" "after a repair"
	clone_create clone 8 1 no_hydration
	assert_eq "$(hydrated clone)" 5
	dm_remove clone

	# Sectors that were exchanged, and those of another format, have right checksums of their own.
	dd if="$meta" of="$meta" bs=512 skip=17 seek=18 count=1 conv=notrunc status=none
	refused "bitmap sector 2, of regions from 8064 on, is damaged"
	dmsc-clone repair --assume destination "$meta"
	assert_match "$(runs)" "8064 \\+ 4032"

	# Something else, stock's, too small.
	dd if=/dev/urandom of="$meta" bs=4k count=2 conv=notrunc status=none
	refused "Metadata device holds something else"
	meta_clear
	printf '\x64\x7f\xf2\x8a' | dd of="$meta" bs=1 seek=32 conv=notrunc status=none
	refused "convert it with dmsc-clone"
	size=$(((2 + 1) * 8))
	dm_create small "0 $((size - 8)) linear $meta 0"
	refused "metadata device has $((size - 8)) sectors: must have $size" \
		"0 131072 $clone_target /dev/mapper/small $dest $source 8"
	dm_remove small
	# As large as it has to be.
	meta_clear
	dm_create small "0 $size linear $meta 0"
	dm_create clone "0 131072 $clone_target /dev/mapper/small $dest $source 8"
	wait_for 60 is_hydrated clone
	dm_remove clone small
	assert_eq "$(runs)" "0 + 16384"
}
