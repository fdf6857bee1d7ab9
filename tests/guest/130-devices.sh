# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a device that has a role in one target is refused where another one would change it without its knowledge"
TIMEOUT=60
KERNELS=stock

requires()
{
	is_ours || skip "stock's targets accept all of it"
}

# refused MESSAGE TABLE [RELOAD]: the table must not be loaded, for a new device or for RELOAD.
refused()
{
	log_mark
	if [[ ${3:-} ]]; then
		assert_fails dmsetup reload "$3" --table "$2"
	else
		assert_fails dmsetup create refused --table "$2"
	fi
	assert_match "$(log_since)" "$1"
}

run_test()
{
	local o1 o2 c d m s store clone_target=clone-scaled

	o1=$(nullb_create size=16)
	o2=$(nullb_create size=16)
	c=$(nullb_create size=16)
	d=$(nullb_create size=16)
	m=$(nullb_create size=16)
	s=$(nullb_create size=16)
	for store in N P; do
		cow_clear "$c"
		fill "$o1" 1
		origin_create origin1 "$o1"
		origin_create origin2 "$o2"
		snap_create snap1 origin1 "$o1" "$c" "$store"
		put /dev/mapper/origin1 0 8 x
		refused "cannot be a COW device: it is a COW device of" \
			"0 32768 $snapshot $o2 $c $store 8"
		refused "cannot be a COW device: it is an origin device of" \
			"0 32768 $snapshot $o1 $o2 $store 8"
		refused "cannot be an origin device: it is a COW device of" \
			"0 32768 $snapshot $c $d N 8"
		refused "cannot be an origin device: it is a COW device of" \
			"0 32768 $snapshot_origin $c"
		refused "cannot be a metadata device: it is a COW device of" \
			"0 32768 $clone_target $c $d $s 8"
		refused "cannot be a destination device: it is an origin device of" \
			"0 32768 $clone_target $m $o1 $s 8"
		refused "cannot be a source device: it is a COW device of" \
			"0 32768 $clone_target $m $d $c 8"
		# For its own device as well: the old table uses the COW device until this one is resumed.
		refused "cannot be a COW device: it is a COW device of" \
			"0 32768 $snapshot $o2 $c $store 8" snap1
		# The same pair of devices, of which the snapshot is handed over.
		dm_reload snap1 "0 32768 $snapshot $o1 $c $store 8"
		[[ $store == P ]] || assert_cows snap1 1
		# A snapshot of the snapshot, and an origin on top of it.
		origin_create upper /dev/mapper/snap1
		snap_create snap2 upper /dev/mapper/snap1 "$d" N
		dm_remove snap2 upper snap1 origin2 origin1
	done

	meta_clear "$m"
	dm_create clone "0 32768 $clone_target $m $d $s 8 1 no_hydration"
	refused "cannot be a destination device: it is a destination device of" \
		"0 32768 $clone_target $c $d $s 8"
	refused "cannot be a metadata device: it is a source device of" \
		"0 32768 $clone_target $s $c $o1 8"
	refused "cannot be a COW device: it is a metadata device of" \
		"0 32768 $snapshot $o1 $m P 8"
	refused "cannot be an origin device: it is a destination device of" \
		"0 32768 $snapshot_origin $d"
	# Clones of one source, and the origin of snapshots as a source.
	origin_create origin1 "$s"
	meta_clear "$c"
	dm_create other "0 32768 $clone_target $c $o1 $s 8 1 no_hydration"
	dm_remove other origin1
	# The destination takes the place of the clone, now as an origin.
	dm_reload clone "0 32768 $snapshot_origin $d"
	snap_create snap1 clone "$d" "$m" N
	dm_remove snap1 clone
	# Nothing is left behind by what was refused.
	origin_create origin1 "$c"
	dm_remove origin1
}
