# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="what waits for a batch of a merge keeps neither other devices nor those it stands on waiting"
TIMEOUT=90
KERNELS=stock

# A snapshot of originB has its COW device on originA, which has a snapshot, too. While the one is merged, the
# other and a new snapshot of originB are resumed: the one waits for the batch, whose I/O waits for the other.
run_test()
{
	local oa ca ob c2 u uc len begin pids=() pid

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
	dm_create sa "0 $len $snapshot /dev/mapper/slow $ca N 8"
	dm_create u "0 $len $snapshot $u $uc N 8"
	# From now on a batch takes six seconds.
	dm_reload slow "0 $len delay $oa 0 6000 $oa 0 0"
	dmsetup suspend sa
	dmsetup reload originB --table "0 $len merge-scaled $ob /dev/mapper/originA P 8"
	dmsetup suspend s1
	dmsetup suspend originB
	dmsetup resume originB
	dmsetup resume sa & pids+=($!)
	sleep 0.5
	dm_create s2 "0 $len $snapshot $ob $c2 N 8" & pids+=($!)
	sleep 0.5
	begin=$(date +%s%N)
	dmsetup status u
	dmsetup status originB
	assert_le "$((($(date +%s%N) - begin) / 1000000))" 3000 "milliseconds that status takes"
	for pid in "${pids[@]}"; do
		wait_for 30 has_ended "$pid"
		wait "$pid"
	done
	wait_for 40 is_merged originB
	assert_holds "$ob" 0 8 s
	dm_remove s2 sa u s1 originB originA slow
}

has_ended()
{
	! kill -0 "$1" 2> /dev/null
}
