# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/crash.sh
. "$lib/crash.sh"
DESCRIPTION="power cuts at every flush, with torn writes: the snapshot opens and shows what the origin was"
TIMEOUT=600
KERNELS=stock

# One disk has both, so that one log has all writes in their order.
# below DISK: $o and $c on it
below()
{
	dm_create o "0 $size linear $1 0"
	dm_create c "0 $cow_size linear $1 $size"
	o=/dev/mapper/o
	c=/dev/mapper/c
}

below_remove()
{
	dm_remove o c
}

# first_writes CHUNK: to the origin of a snapshot, from all CPUs, some of them overlapping
first_writes()
{
	origin_create origin "$o"
	snap_create snap origin "$o" "$c" "$store" "$1"
	fio --rw=randwrite --bsrange=512-16k --blockalign=512 --direct=1 --ioengine=libaio --iodepth=8 --randrepeat=0 \
		--number_ios="$ios" --numjobs=4 --group_reporting --output=/dev/null --name=origin \
		--filename=/dev/mapper/origin
	dm_remove snap origin
}

merge()
{
	dm_create origin "0 $size merge-scaled $o $c P $1"
	wait_for 60 is_merged origin "$1"
	dm_remove origin
}

# look CHUNK: what is on the replayed disk. The snapshot must be what the origin was when it was taken; before that was
# durable there may be none.
look()
{
	local sum magic

	below "$replayed"
	magic=$(dd if="$c" bs=4 count=1 status=none | od -An -tx4 | tr -d ' ')
	if [[ $magic == 70416e53 ]]; then
		if ((RANDOM % 2)) && have_target snapshot; then
			dm_create seen "0 $size snapshot $o $c P $1"
		else
			dm_create seen "0 $size snapshot-scaled $o $c P $1"
		fi
		sum=$(checksum /dev/mapper/seen)
		assert_match "$(snap_usage seen)" "^[0-9]+/$cow_size [0-9]+$"
		dm_remove seen
	else
		sum=$(checksum "$o")
	fi
	below_remove
	assert_eq "$sum" "$before" "the snapshot, or the origin before there was one"
}

run_test()
{
	local disk log_disk replayed image chunk store=P o c before size=8192 cow_size=16384 points ios

	points=$(long_or 500 "$(slow_or 8 10)")
	ios=$(slow_or 30 100)
	disk=$(nullb_create size=12)
	replayed=$(nullb_create size=12)
	log_disk=$(nullb_create size=200)
	image=/tmp/before.image
	! modprobe -q dm-snapshot || true
	export size cow_size before
	for chunk in 8 $(long_or "1 16 128" ""); do
		below "$disk"
		fill "$o" "$chunk"
		cow_clear "$c"
		before=$(checksum "$o")
		below_remove
		cp --sparse=never "$disk" "$image"
		record first_writes "$chunk"
		cp --sparse=never "$image" "$replayed"
		replay 119-crash "$points" "$chunk"

		# The same for a merge: the snapshot's contents must not change by it.
		cp --sparse=never "$disk" "$image"
		record merge "$chunk"
		cp --sparse=never "$image" "$replayed"
		replay 119-crash "$points" "$chunk"
	done
	rm "$image"
}
