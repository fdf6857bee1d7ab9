# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="limits are stock's: disks with physical blocks of 4 KiB, with and without an offset of alignment"
EACH=1
TIMEOUT=120
KERNELS=stock

requires()
{
	modprobe -qn scsi_debug || skip "no scsi_debug here"
	requires_stock_clone
}

# disk LOWEST_ALIGNED: sets "disk" to one with eight logical blocks in a physical one
disk()
{
	disk=$(scsi_create 1 dev_size_mb=32 physblk_exp=3 lowest_aligned="$1" opt_blks=64 lbpu=1 ndelay=1)
}

# limits TABLE: of a device that has it; what it has not cannot be read
limits()
{
	local dir

	dm_create limits "$1"
	dir=/sys/block/$(dmsetup info -c --noheadings -o blkdevname limits)
	(cd "$dir" && grep -s . alignment_offset discard_alignment queue/*[a-z]) || true
	dm_remove limits
}

# wipe DEVICE: "-" is none
wipe()
{
	[[ $1 == - ]] || dd if=/dev/zero of="$1" bs=64k count=1 oflag=direct status=none
}

# same META OURS STOCK ARGUMENTS [LINE...]: two targets with the same arguments, new ones on the device META; ours has
# other values in these lines of its limits. With "stock_arguments" stock's has those.
same()
{
	local first=$1 ours=$2 stock=$3 arguments=$4 other

	shift 4
	wipe "$first"
	limits "0 32768 $stock ${stock_arguments:-$arguments}" > /tmp/limits.stock
	wipe "$first"
	limits "0 32768 $ours $arguments" > /tmp/limits.ours
	[[ -s /tmp/limits.stock ]]
	mapfile -t other < <(grep -vxFf /tmp/limits.stock /tmp/limits.ours)
	assert_eq "${other[*]}" "$*" "other limits of $ours $arguments"
}

# all ORIGIN COW: targets of each kind; ORIGIN and COW are a clone's source and destination, too
all()
{
	# Ours cuts a discard itself, unless it is passed down, too.
	local most=$(((1 << 32) - 8192)) clone_lines=() stock_arguments='' zero_lines=()
	local lines=(queue/discard_granularity:8192 "queue/discard_max_bytes:$most" "queue/discard_max_hw_bytes:$most")

	# Later, stock sets the limit of the hardware as well.
	if ! kernel_is_from 6.9; then
		clone_lines=(queue/discard_max_hw_bytes:$(((1 << 32) - 64 * 512)))
	fi
	# Ours has the command if its devices have; only one of those two disks does.
	mapfile -t zero_lines < <(cd "/sys/block/$(lsblk -dno KNAME "$1")" && grep -Hs . queue/write_zeroes* | grep -v ':0$')
	same - origin-scaled snapshot-origin "$1" "${zero_lines[@]}"
	same - snapshot-scaled snapshot "$1 $2 N 16"
	# Stock takes sectors for the bytes of its granularity, and 7.3 then divides by zero.
	if kernel_is_from 7.0; then
		stock_arguments="$1 $2 N 16"
	fi
	same - snapshot-scaled snapshot "$1 $2 N 16 1 discard_zeroes_cow" "${lines[@]}"
	stock_arguments=''
	same "$2" merge-scaled snapshot-merge "$1 $2 P 64"
	same "$meta" clone-scaled clone "$meta $2 $1 64 1 no_hydration"
	same "$meta" clone-scaled clone "$meta $2 $1 64 2 no_hydration no_discard_passdown" \
		"${clone_lines[@]}"
}

# Single sectors, and chunks that begin within a physical block.
writes()
{
	put_blocks "$disk" 0 1 2048 a
	origin_create origin "$disk"
	cow_clear "$null"
	snap_create snap origin "$disk" "$null" P
	put /dev/mapper/origin 15 1 b
	put /dev/mapper/origin 64 24 b
	put /dev/mapper/snap 200 1 s
	assert_holds /dev/mapper/snap 0 200 a
	assert_holds /dev/mapper/snap 200 1 s
	assert_holds /dev/mapper/snap 201 500 a
	assert_holds "$disk" 15 1 b
	assert_holds "$disk" 16 48 a
	dm_remove snap origin
}

run_test()
{
	local disk null meta lowest offset

	null=$(nullb_create size=32 discard=1)
	meta=$(nullb_create size=4)
	modprobe dm-snapshot
	for lowest in 0 7; do
		disk $lowest
		offset=$((lowest * 512))
		assert_eq "$(< "/sys/block/${disk#/dev/}/queue/physical_block_size")" 4096
		assert_eq "$(< "/sys/block/${disk#/dev/}/alignment_offset")" $offset
		all "$disk" "$null"
		if ((lowest)); then
			all "$null" "$disk"
			writes
			# Does not begin where a physical block does.
			dm_create part "0 32776 linear $disk 3"
			all /dev/mapper/part "$null"
			dm_remove part
		fi
		modprobe -r scsi_debug
	done
	modprobe -r dm-snapshot
}
