# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="writes to a persistent snapshot are durable when they have been flushed, with commit=write when they end"
TIMEOUT=300

# lost: what a crash of the kernel at this moment leaves of the COW device, as a snapshot "left" of the origin device.
lost()
{
	dd if="$c" of="$after" bs=1M iflag=direct oflag=direct status=none
	dm_create left "0 $(sectors "$o") $snapshot $o $after P 8"
}

# left_sum SECTOR COUNT
left_sum()
{
	lost
	get /dev/mapper/left "$@"
	dm_remove left
}

# left_holds SECTOR COUNT CHARACTER
left_holds()
{
	assert_eq "$(left_sum "$1" "$2")" "$(pattern_sum "$2" "$3")" "$2 sectors from $1 on, which are to hold $3"
}

# left_holds_either SECTOR COUNT CHARACTER CHARACTER: what has not been flushed may be there or not.
left_holds_either()
{
	assert_match "$(left_sum "$1" "$2")" "^($(pattern_sum "$2" "$3")|$(pattern_sum "$2" "$4"))$"
}

is_left()
{
	[[ $(left_sum "$1" "$2") == "$(pattern_sum "$2" "$3")" ]]
}

# pattern_sum COUNT CHARACTER: as get would say; 0 stands for zeroes.
pattern_sum()
{
	local file=/dev/zero

	[[ $2 == 0 ]] || file=$(pattern "$2")
	head -c $(($1 * 512)) "$file" | sha256sum | cut -d' ' -f1
}

# begin [FEATURE...]: the origin holds "a"; the devices below have no cache.
begin()
{
	cow_clear "$c"
	put "$o" 0 8192 a
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" P 8 "$@"
}

end()
{
	dm_remove snap origin
}

flushed()
{
	begin
	assert_eq "$(dm_limit snap write_cache)" "write back"
	assert_eq "$(dmsetup table snap)" "0 $(sectors "$o") $snapshot $(numbers "$o") $(numbers "$c") P 8"

	put /dev/mapper/snap 0 8 b
	put /dev/mapper/snap 85 3 b
	assert_holds /dev/mapper/snap 0 8 b
	assert_holds /dev/mapper/snap 85 3 b
	assert_holds /dev/mapper/snap 80 5 a
	left_holds_either 0 8 a b
	sync -d /dev/mapper/snap
	left_holds 0 8 b
	left_holds 85 3 b
	left_holds 80 5 a

	# With O_DSYNC: alone, and where the exception has been deferred.
	put_dsync 160 8 c
	left_holds 160 8 c
	put_dsync 241 2 c
	left_holds 241 2 c
	put /dev/mapper/snap 320 8 c
	put_dsync 322 2 d
	left_holds 320 2 c
	left_holds 322 2 d

	# What the origin loses must be in the snapshot.
	put /dev/mapper/snap 400 8 e
	put /dev/mapper/origin 400 8 f
	left_holds 400 8 e
	put /dev/mapper/snap 480 8 e
	put /dev/mapper/origin 482 1 f
	left_holds 480 8 e
	put /dev/mapper/origin 560 64 f
	left_holds 560 64 a

	# It is there after a while in any case.
	put /dev/mapper/snap 640 800 g
	wait_for 5 is_left 640 800 g

	# And in what others can look at: a suspended snapshot, and one that is gone.
	put /dev/mapper/snap 1600 8 h
	dmsetup suspend snap
	left_holds 1600 8 h
	dmsetup resume snap
	put /dev/mapper/snap 1700 80 h
	end
	left_holds 1700 80 h
	left_holds 1600 8 h
}

# put_dsync SECTOR COUNT CHARACTER
put_dsync()
{
	dd if="$(pattern "$3")" of=/dev/mapper/snap bs=512 seek="$1" count="$2" oflag=direct,dsync conv=notrunc status=none
}

committed()
{
	begin commit=write
	assert_eq "$(dmsetup table snap)" \
		"0 $(sectors "$o") $snapshot $(numbers "$o") $(numbers "$c") P 8 1 commit=write"
	put /dev/mapper/snap 0 8 b
	left_holds 0 8 b
	put /dev/mapper/snap 85 3 b
	left_holds 85 3 b

	# From the one to the other and back.
	reload
	put /dev/mapper/snap 160 8 c
	reload 1 commit=write
	left_holds 160 8 c
	put /dev/mapper/snap 240 8 c
	left_holds 240 8 c
	end
}

# reload [FEATURES]
reload()
{
	dmsetup reload snap --table "0 $(sectors "$o") $snapshot $o $c P 8${*:+ $*}"
	dmsetup suspend snap
	dmsetup resume snap
}

discarded()
{
	begin discard_zeroes_cow
	# Of a chunk whose exception has been deferred; of one that has none.
	put /dev/mapper/snap 0 8 b
	blkdiscard -o 0 -l 8192 /dev/mapper/snap
	assert_holds /dev/mapper/snap 0 8 0
	assert_holds /dev/mapper/snap 8 8 a
	sync -d /dev/mapper/snap
	left_holds 0 8 0
	end
}

# What was deferred goes into the merge.
merged()
{
	begin
	put /dev/mapper/snap 800 80 b
	merge_start "0 $(sectors "$o") ${snapshot/snapshot/merge} $o $c P 8"
	wait_for 30 is_merged origin
	assert_holds "$o" 800 80 b
	assert_holds "$o" 880 8 a
	dm_remove origin
}

# A table that does not say that the snapshot is persistent changes nothing for it, nor for flushes.
mistaken()
{
	begin
	dmsetup reload snap --table "0 $(sectors "$o") $snapshot $o $c N 8"
	dmsetup suspend snap
	dmsetup resume snap
	put /dev/mapper/snap 0 8 b
	sync -d /dev/mapper/snap
	left_holds 0 8 b
	end
}

# numbers DEVICE: MAJOR:MINOR
numbers()
{
	lsblk -dno MAJ:MIN "$1" | tr -d ' '
}

run_test()
{
	local o c after

	is_ours || return 0
	o=$(nullb_create size=4 discard=1)
	c=$(nullb_create size=8 discard=1)
	after=$(nullb_create size=8)
	flushed
	committed
	discarded
	merged
	mistaken
}
