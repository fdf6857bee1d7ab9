# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="a metadata device that hangs blocks its own clone alone; one that is being written is not damaged"
KERNELS=stock

run_test()
{
	local source dest meta first_dest pid i

	# The first clone's metadata device does not answer while its regions are loaded.
	clone_devices 4
	first_dest=$dest
	dm_create hung "0 $(sectors "$meta") linear $meta 0"
	meta=/dev/mapper/hung
	dmsetup create clone --notable
	dmsetup load clone --table "$(clone_table 8 1 no_hydration)"
	dmsetup suspend --noflush --nolockfs hung
	dmsetup resume clone &
	pid=$!
	sleep 1
	kill -0 "$pid" || fail "resumed without its metadata device"
	meta=$(nullb_create size=4)
	dest=$(nullb_create size=4)
	timeout 20 dmsetup create other --table "$(clone_table 8 1 no_hydration)" || fail "another clone is blocked"
	put /dev/mapper/other 8 1 a
	timeout 20 dmsetup remove other || fail "another clone's removal is blocked"
	dmsetup resume hung
	wait "$pid"
	dm_remove clone hung

	# Tables are loaded while the old one commits.
	brd_create 1 1
	meta=/dev/ram0 dest=$first_dest
	clone_create clone 8 1 no_hydration
	log_mark
	fio --name=w --filename=/dev/mapper/clone --rw=randwrite --bs=4k --direct=1 --sync=1 --ioengine=psync \
		--norandommap --time_based --runtime=5 --output=/dev/null &
	pid=$!
	for ((i = 0; i < 15; i++)); do
		dmsetup load clone --table "$(clone_table 8 1 no_hydration)"
	done
	wait "$pid"
	[[ $(log_since) != *"is damaged"* ]] || fail "called damaged"
	dmsetup clear clone
	dm_remove clone
}
