# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="the module stays while a table uses it, and goes right after the last, again and again"
TIMEOUT=600

requires()
{
	is_ours || skip "about our module"
}

run_test()
{
	local o c i pid

	o=$(nullb_create size=16)
	c=$(nullb_create size=17)
	for ((i = 0; i < $(long_or 100 8); i++)); do
		origin_create origin "$o"
		assert_fails rmmod dm_scaled
		snap_create snap origin "$o" "$c" N 8
		fio --name=cow --filename=/dev/mapper/origin --rw=randwrite --bs=4k --direct=1 \
			--ioengine=libaio --iodepth=64 --numjobs=4 --size=16m --time_based --runtime=1 \
			--output=/dev/null & pid=$!
		sleep 0.7
		# The snapshot goes while copies are under way.
		dm_remove snap
		wait "$pid"
		dm_remove origin
		rmmod dm_scaled
		load_module
	done
	# Loaded tables count, too.
	dmsetup create snap --notable
	dmsetup reload snap --table "0 $(sectors "$o") $snapshot $o $c N 8"
	assert_fails rmmod dm_scaled
	dm_remove snap
	rmmod dm_scaled
	load_module
}
