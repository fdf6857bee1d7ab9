# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="what waits for a merge's batch or for another snapshot's COW device keeps no other devices waiting"
TIMEOUT=90
KERNELS=stock

# A snapshot of originB has its COW device on originA, which has a snapshot, too. While the one is merged, the
# other and a new snapshot of originB are resumed: the one waits for the batch, whose I/O waits for the other.
behind_a_batch()
{
	local oa ca ob c2 u uc len pids=() pid

	modprobe dm-delay
	oa=$(nullb_create size=4)
	ca=$(nullb_create size=4)
	ob=$(nullb_create size=4)
	c2=$(nullb_create size=4)
	u=$(nullb_create size=4)
	uc=$(nullb_create size=4)
	len=$(sectors "$oa")
	dm_create slow "0 $len delay $oa 0 0"
	origin_create originA /dev/mapper/slow
	origin_create originB "$ob"
	cow_clear /dev/mapper/originA
	dm_create s1 "0 $len $snapshot $ob /dev/mapper/originA P 8"
	put_blocks /dev/mapper/s1 0 100 8 s
	# Else its exceptions are written later, and wait behind what is held up.
	sync -d /dev/mapper/s1
	dm_create sa "0 $len $snapshot /dev/mapper/slow $ca N 8"
	dm_create u "0 $len $snapshot $u $uc N 8"
	# From now on a batch is held up.
	hold_reads slow "$oa"
	dmsetup suspend sa
	dmsetup reload originB --table "0 $len merge-scaled $ob /dev/mapper/originA P 8"
	dmsetup suspend s1
	dmsetup suspend originB
	dmsetup resume originB
	wait_for 60 is_holding slow 1
	dmsetup resume sa & pids+=($!)
	sleep 0.5
	dm_create s2 "0 $len $snapshot $ob $c2 N 8" & pids+=($!)
	sleep 0.5
	soon dmsetup status u
	soon dmsetup status originB
	! has_ended "${pids[1]}" || fail "a new snapshot waits for no batch"
	let_go_reads slow "$oa"
	for pid in "${pids[@]}"; do
		wait_for 30 has_ended "$pid"
		wait "$pid"
	done
	wait_for 40 is_merged originB
	assert_holds "$ob" 0 8 s
	dm_remove s2 sa u s1 originB originA slow
}

# behind_a_cow STATE MODE: writes to an origin wait for the COW device of s1, which is suspended. Snapshots beside it
# come and go all the same. STATE is what a write waits for: copies, as many of them as may be under way; or invalid,
# the header of a snapshot that has no room left.
behind_a_cow()
{
	local state=$1 mode=$2 o c1 c2 len pids=() pid i

	o=$(nullb_create size=4)
	c1=$(nullb_create size=4)
	c2=$(nullb_create size=4)
	len=$(sectors "$o")
	# Header, exceptions, four chunks.
	dm_create cow "0 48 linear $c1 0"
	cow_clear /dev/mapper/cow
	origin_create origin "$o"
	dm_create s1 "0 $len $snapshot $o /dev/mapper/cow $mode 8"
	[[ $state == copies ]] || put_blocks /dev/mapper/origin 0 4 8
	dm_create s2 "0 $len $snapshot $o $c2 N 8"
	# It has no part in the copies to come: one copy is made for all snapshots that want it.
	put_blocks /dev/mapper/s2 800 4 8
	dmsetup create s3 --notable
	dmsetup reload s3 --table "0 $len $snapshot $o $c1 N 8"
	dmsetup suspend cow
	for ((i = 100; i < 104; i++)); do
		put /dev/mapper/origin $((i * 8)) 8 & pids+=($!)
	done
	sleep 0.5
	soon dmsetup clear s3
	soon dmsetup remove s2
	dmsetup resume cow
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	if [[ $state == copies ]]; then
		assert_match "$(dmsetup status s1)" " [0-9]+/48 "
	else
		assert_match "$(dmsetup status s1)" Invalid
	fi
	dm_remove s3 s1 origin cow
}

# A merge waits for another snapshot's copy of what it is going to overwrite, for which the COW device is suspended.
behind_a_merge()
{
	local o c1 c2 c3 len

	o=$(nullb_create size=4)
	c1=$(nullb_create size=4)
	c2=$(nullb_create size=4)
	c3=$(nullb_create size=4)
	len=$(sectors "$o")
	put_blocks "$o" 0 10 8 a
	dm_create cow "0 $len linear $c2 0"
	cow_clear "$c1"
	origin_create origin "$o"
	dm_create snap "0 $len $snapshot $o $c1 P 8"
	put_blocks /dev/mapper/snap 0 10 8 s
	dm_create s2 "0 $len $snapshot $o /dev/mapper/cow N 8"
	dmsetup suspend cow
	merge_start "0 $len merge-scaled $o $c1 P 8"
	sleep 0.5
	soon dm_create s3 "0 $len $snapshot $o $c3 N 8"
	sleep 0.5
	soon dmsetup suspend origin
	dmsetup resume origin
	sleep 0.5
	! is_merged origin || fail "merged without a copy for s2"
	assert_holds "$o" 0 80 a
	dmsetup resume cow
	wait_for 40 is_merged origin
	assert_holds "$o" 0 80 s
	assert_holds /dev/mapper/s2 0 80 a
	assert_holds /dev/mapper/s3 0 80 a
	dm_remove s3 s2 origin cow
}

run_test()
{
	behind_a_batch
	behind_a_merge
	module_param snapshot_cow_threshold 1
	behind_a_cow copies N
	behind_a_cow copies P
	module_param snapshot_cow_threshold 2048
	behind_a_cow invalid P
}
