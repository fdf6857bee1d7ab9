# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/failing.sh
. "$lib/failing.sh"
DESCRIPTION="a bad sector of a clone's source fails writes to its own region, not to others that are copied with it"
KERNELS=stock

# put_later SECTOR CHARACTER: writes a sector; says whether that failed in the file of that number
put_later()
{
	if put /dev/mapper/clone "$1" 1 "$2"; then echo ok; else echo failed; fi > "/tmp/put.$1"
}

run_test()
{
	local source dest meta sector reader pids=()

	modprobe dm-flakey
	clone_devices 16
	source=$(below low_source "$source")
	# In region 3.
	tables low_source part 25 1
	dm_create held "0 $(sectors "$source") linear $source 0"
	source=/dev/mapper/held

	# While somebody reads, the background copies 32 KiB at a time: regions 0 to 7. The source does not answer yet.
	clone_create clone 8 1 no_hydration
	dmsetup suspend --noflush --nolockfs held
	get /dev/mapper/clone 20000 1 > /dev/null & reader=$!
	wait_for 60 is_in_flight clone
	dmsetup message clone 0 enable_hydration
	wait_for 60 is_copying clone -eq 8
	for sector in 2 26 27 41 42 63; do
		pattern a > /dev/null
		put_later "$sector" a 2> /dev/null &
		pids+=($!)
	done
	assert_wait "a write did not wait for the background" clone 7 "${pids[@]}"
	dmsetup resume held
	wait "$reader" "${pids[@]}"

	for sector in 2 41 42 63; do
		assert_eq "$(< "/tmp/put.$sector")" ok "write to sector $sector"
		assert_holds /dev/mapper/clone "$sector" 1 a
	done
	assert_holds /dev/mapper/clone 40 1 s
	assert_holds /dev/mapper/clone 43 5 s
	for sector in 26 27; do
		assert_eq "$(< "/tmp/put.$sector")" failed "write to sector $sector"
	done
	assert_fails get /dev/mapper/clone 24 8
	dmsetup message clone 0 disable_hydration
	dm_remove clone held low_source
}
