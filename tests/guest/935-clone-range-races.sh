# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="what meets a large write to a clone of which a part is late: writes, discards, flushes, power cuts"
TIMEOUT=150

# The source has three parts, and each answers, or does not; all are in the regions 10 to 14 of 64 sectors.
hold()
{
	dmsetup suspend --noflush --nolockfs "$1"
}

let_go()
{
	dmsetup resume "$1"
}

fresh()
{
	meta_clear
	clone_create clone 64 1 no_hydration
}

# From sector 650 on, to before 920: 10 sectors of region 10 and 40 of region 14 are left.
put_range()
{
	put /dev/mapper/clone 650 270 a
}

# holds DEVICE: all that the write has been
holds()
{
	assert_holds "$1" 640 10 s
	assert_holds "$1" 650 270 a
	assert_holds "$1" 920 40 s
}

# after_power_cut COMMAND...: of a clone with what the devices have now
after_power_cut()
{
	dd if="$meta" of="$after_meta" bs=4k count=4 iflag=direct oflag=direct status=none
	dd if="$dest" of="$after_dest" bs=1M iflag=direct oflag=direct status=none
	dm_create after "0 $(sectors "$source") $clone_target $after_meta $after_dest $disk 64 1 no_hydration"
	"$@"
	dm_remove after
}

# late PART: a part of the source does not answer; nothing is over before it does
late()
{
	local pids=() pid suspending

	fresh
	hold "$1"
	put_range &
	pids=($!)
	wait_for 60 is_copying clone -eq 5
	# The write itself need not wait, but is seen by nobody.
	wait_for 60 assert_holds "$dest" 650 270 a
	assert_holds /dev/mapper/clone 704 64 s
	sync /dev/mapper/clone
	after_power_cut assert_holds /dev/mapper/after 704 64 s
	# Others in its regions wait; what is discarded is not given to anybody.
	put /dev/mapper/clone 640 10 b &
	pids+=($!)
	put /dev/mapper/clone 780 5 b &
	pids+=($!)
	put /dev/mapper/clone 930 200 b &
	pids+=($!)
	blkdiscard -f -o $((704 * 512)) -l $((64 * 512)) /dev/mapper/clone
	# Suspending, too.
	sleep 0.5
	dmsetup suspend clone &
	suspending=$!
	sleep 0.5
	for pid in "${pids[@]}" "$suspending"; do
		kill -0 "$pid" || fail "somebody has not waited for the source's $1"
	done
	let_go "$1"
	wait "$suspending" "${pids[@]}"
	assert_eq "$(clone_status clone 5)" 0 "being copied when suspended"
	dmsetup resume clone
	assert_holds /dev/mapper/clone 640 10 b
	assert_holds /dev/mapper/clone 650 54 a
	assert_holds /dev/mapper/clone 768 12 a
	assert_holds /dev/mapper/clone 780 5 b
	assert_holds /dev/mapper/clone 785 135 a
	assert_holds /dev/mapper/clone 920 10 s
	assert_holds /dev/mapper/clone 930 200 b
	assert_holds /dev/mapper/clone 1130 70 s
	dm_remove clone
}

# durable PART: with FUA, it is found after a power cut
durable()
{
	local pid

	fresh
	hold "$1"
	dd if="$(pattern a)" of=/dev/mapper/clone bs=$((270 * 512)) count=1 oflag=direct,dsync,seek_bytes \
		seek=$((650 * 512)) conv=notrunc status=none &
	pid=$!
	wait_for 60 is_copying clone -eq 5
	sleep 0.2
	kill -0 "$pid" || fail "the write did not wait for the source's $1"
	let_go "$1"
	wait "$pid"
	after_power_cut holds /dev/mapper/after
	dm_remove clone
}

# The CPU on which the write was mapped goes.
without_cpu()
{
	local pid cpu=$(($(nproc --all) - 1))

	((cpu)) || return 0
	fresh
	hold head
	taskset -c "$cpu" dd if="$(pattern a)" of=/dev/mapper/clone bs=$((270 * 512)) count=1 oflag=direct,seek_bytes \
		seek=$((650 * 512)) conv=notrunc status=none &
	pid=$!
	wait_for 60 is_copying clone -eq 5
	cpu_online "$cpu" 0
	let_go head
	wait "$pid"
	cpu_online "$cpu" 1
	holds /dev/mapper/clone
	dm_remove clone
}

# fails PART REGION: a part of the source cannot be read; that costs its region
fails()
{
	fresh
	dm_reload "$1" "0 $(dmsetup table "$1" | cut -d' ' -f2) error"
	! put_range 2> /dev/null || fail "written, though the $1 could not be copied"
	assert_eq "$(hydrated clone)" 4
	assert_eq "$(clone_status clone 5)" 0 "being copied"
	assert_holds /dev/mapper/clone 704 192 a
	# A write of all of the region needs no copy.
	put /dev/mapper/clone $(($2 * 64)) 64 c
	assert_eq "$(hydrated clone)" 5
	parts
	put_range
	assert_holds /dev/mapper/clone 650 270 a
	dm_remove clone
}

# The source's parts as they were, or as they are first.
parts()
{
	local part tables

	tables=([0]="head 0 704" [1]="middle 704 192" [2]="tail 896 31872")
	for part in "${tables[@]}"; do
		# shellcheck disable=SC2086
		set -- $part
		if dmsetup info "$1" > /dev/null 2>&1; then
			dm_reload "$1" "0 $3 linear $disk $2"
		else
			dm_create "$1" "0 $3 linear $disk $2"
		fi
	done
}

run_test()
{
	local source dest meta disk after_meta after_dest c

	clone_devices 16
	disk=$source
	after_meta=$(nullb_create size=4)
	after_dest=$(nullb_create size=16)
	for c in a b c; do
		pattern $c > /dev/null
	done
	parts
	dm_create source "0 704 linear /dev/mapper/head 0
704 192 linear /dev/mapper/middle 0
896 31872 linear /dev/mapper/tail 0"
	source=/dev/mapper/source
	late head
	late tail
	durable head
	durable tail
	fails head 10
	fails tail 14
	without_cpu
	dm_remove source head middle tail
}
