# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="persistent snapshots: what ours has written stock reads, and the other way round, in all chunk sizes"
TIMEOUT=600
KERNELS=stock

# The targets of one of the two modules.
use()
{
	if [[ $1 == ours ]]; then
		snapshot_origin=origin-scaled snapshot=snapshot-scaled
	else
		snapshot_origin=snapshot-origin snapshot=snapshot
	fi
}

# activate WHO [CHUNK [STORE]]: the snapshot on $c of $o, by the targets of WHO.
activate()
{
	use "$1"
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" "${3:-P}" "${2:-8}"
	# That of the targets which are under test.
	use "$tested"
}

deactivate()
{
	dm_remove snap origin
}

# What lasts from one activation to the next.
remember()
{
	sum=$(checksum /dev/mapper/snap)
	usage=$(snap_usage snap)
}

check()
{
	assert_eq "$(checksum /dev/mapper/snap)" "$sum" "contents of the snapshot, opened by $1"
	[[ ! ${2:-} ]] || assert_eq "$(snap_usage snap)" "$usage" "usage, as $1 sees it"
}

# load: some writes, of which some are alone in their chunks and some follow each other.
load()
{
	fio --rw=randwrite --bsrange=512-64k --blockalign=512 --direct=1 --ioengine=libaio --iodepth=8 --randrepeat=0 \
		--number_ios=60 --output=/dev/null --name=origin --filename=/dev/mapper/origin --name=snap \
		--filename=/dev/mapper/snap
	put /dev/mapper/origin 1000 300
	put /dev/mapper/snap 5000 300
}

# interop FIRST CHUNK: the snapshot is opened by one after the other, each time with more in it.
interop()
{
	local first=$1 chunk=$2 who

	cow_clear "$c"
	activate "$first" "$chunk"
	assert_eq "$(snap_usage snap)" "$((chunk * 2))/$(sectors "$c") $((chunk * 2))" "a new snapshot, chunk $chunk"
	remember
	deactivate
	for who in stock ours stock; do
		$stock_there || who=ours
		activate "$who" "$chunk"
		check "$who"
		load
		remember
		deactivate
	done
	# As it was, with nothing between. Stock counts what the other left between its chunks.
	activate ours "$chunk"
	check ours
	remember
	deactivate
	activate ours "$chunk"
	check ours usage
	deactivate
}

# The list of exceptions is longer than an area, and ends at the beginning of one, or near it.
long_list()
{
	local nr

	for nr in $(slow_or 32 "31 32 500"); do
		cow_clear "$c"
		activate ours 1
		put_blocks /dev/mapper/origin 7 "$nr" 1
		remember
		assert_eq "${usage%%/*}" $((nr + 2 + nr / 32)) "sectors in use with $nr exceptions"
		deactivate
		for who in stock ours; do
			$stock_there || who=ours
			activate "$who" 1
			check "$who"
			put /dev/mapper/origin $((3000 + nr)) 3 y
			check "$who"
			remember
			deactivate
		done
	done
}

# All chunks can be used, by those who come later, too; and those that nobody used in the middle.
no_leak()
{
	dm_create cow "0 4000 linear $c 0"
	cow_clear /dev/mapper/cow
	origin_create origin "$o"
	snap_create snap origin "$o" /dev/mapper/cow P 8
	for ((i = 0; i < 8; i++)); do
		taskset -c $((i % $(nproc))) dd if=/dev/zero of=/dev/mapper/origin bs=4k seek=$((i * 3)) count=2 \
			oflag=direct conv=notrunc status=none
		dm_remove snap
		snap_create snap origin "$o" /dev/mapper/cow P 8
		assert_eq "$(snap_usage snap)" "$(((i + 1) * 16 + 16))/4000 16"
	done
	# 16 are in use; so many must be left, of 256 and 241 in two areas.
	put_blocks /dev/mapper/origin 2048 $((497 - 16)) 8
	assert_eq "$(snap_usage snap)" "4000/4000 24" "full"
	remember
	dm_remove snap
	snap_create snap origin "$o" /dev/mapper/cow P 8
	check ours usage
	put /dev/mapper/origin 10000 1
	assert_eq "$(snap_usage snap)" Invalid
	dm_remove snap
	snap_create snap origin "$o" /dev/mapper/cow P 8
	assert_eq "$(snap_usage snap)" Invalid
	assert_fails get /dev/mapper/snap 0 8
	dm_remove snap origin cow
}

# bad_header DESCRIPTION TEXT: what is in $c is refused, and stays as it is.
bad_header()
{
	local before

	before=$(checksum "$c")
	log_mark
	assert_fails dm_create snap "0 $(sectors "$o") $snapshot $o $c P 8"
	assert_match "$(log_since)" "$2"
	assert_eq "$(checksum "$c")" "$before" "COW device with $1"
}

# damaged WHAT MESSAGE: loaded as an invalid snapshot, and not changed
damaged()
{
	local before

	before=$(checksum "$c")
	log_mark
	dm_create snap "0 $(sectors "$o") $snapshot $o $c P 8"
	assert_match "$(log_since)" "$2"
	assert_eq "$(snap_usage snap)" Invalid "status with $1"
	dm_remove snap
	assert_eq "$(checksum "$c")" "$before" "COW device with $1"
}

# le32 NUMBER...: little endian, as printf's escapes
le32()
{
	local n

	for n in "$@"; do
		printf '\\x%02x\\x%02x\\x%02x\\x%02x' $((n & 255)) $((n >> 8 & 255)) $((n >> 16 & 255)) $((n >> 24 & 255))
	done
}

# poke SECTOR NUMBER...: 32-bit numbers into $c
poke()
{
	local sector=$1 data

	shift
	data=$(le32 "$@")
	# The escapes are the format.
	# shellcheck disable=SC2059
	printf "$data" | dd of="$c" bs=512 seek="$sector" conv=sync,notrunc oflag=direct iflag=fullblock status=none
}

magic=0x70416e53

bad_images()
{
	cow_clear "$c"
	poke 0 0x12345678 1 1 8
	bad_header "foreign contents" "holds no snapshot"
	poke 0 $magic 1 2 8
	bad_header "another version" "unknown version"
	poke 0 $magic 1 1 9
	damaged "a chunk size of 9" "must be a power of 2"
	poke 0 $magic 1 1 0
	damaged "a chunk size of 0" "must be a power of 2"
	poke 0 $magic 1 1 $((1 << 30))
	damaged "a chunk size of 2^30" "too large"
	poke 0 $magic 1 1 8
	poke 8 5 0 1 0 0 0 0 0
	damaged "an exception in an area" "is no chunk of data"
	poke 8 5 0 258 0 0 0 0 0
	damaged "an exception in the second area" "is no chunk of data"
	poke 8 5 0 3 0 6 0 3 0
	damaged "a chunk in use twice" "another exception has that chunk"
	poke 8 5 0 3 0 5 0 4 0
	damaged "two exceptions of a chunk" "that chunk of the origin has another one"
	poke 8 5 0 0x7fffffff 0
	damaged "a chunk that is not there" "the device ends before it"
	poke 8 5 0 3 0xffffffff
	damaged "a chunk that is not there" "the device ends before it"
	# The chunk size on the disk counts; and it may be marked as invalid.
	poke 8 5 0 3 0
	poke 0 $magic 1 1 8
	activate ours 64
	assert_match "$(dmsetup table snap)" " P 8$"
	assert_eq "$(snap_usage snap)" "24/$(sectors "$c") 16"
	deactivate
	activate ours 0
	assert_match "$(dmsetup table snap)" " P 8$"
	deactivate
	poke 0 $magic 0 1 8
	activate ours 8
	assert_eq "$(snap_usage snap)" Invalid
	put /dev/mapper/origin 0 8
	deactivate
	# What stands behind the end of the list never becomes a part of it.
	poke 0 $magic 1 1 8
	poke 8 5 0 3 0 0 0 0 0 6 0 4 0
	activate ours 8
	assert_cows snap 3
	put /dev/mapper/origin 800 1
	remember
	deactivate
	activate ours 8
	assert_cows snap 4
	check ours
	deactivate
	# No size given: 16 KiB.
	cow_clear "$c"
	activate ours 0 PO
	assert_match "$(dmsetup table snap)" " PO 32$"
	deactivate
}

run_test()
{
	local o c i chunk who sum usage stock_there=false tested=ours

	is_ours || tested=stock
	! modprobe -q dm-snapshot || stock_there=true
	o=$(nullb_create size=8)
	c=$(nullb_create size=32)
	fill "$o" 1
	for chunk in $(long_or "2 4 16 32 128 256 1024" "") $(long_or 2048 "") 1; do
		interop ours "$chunk"
	done
	if $stock_there; then
		for chunk in 8 $(long_or "1 2048" ""); do
			interop stock "$chunk"
		done
	fi
	long_list
	no_leak
	bad_images
}
