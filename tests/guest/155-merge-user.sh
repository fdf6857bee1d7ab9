# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/failing.sh
. "$lib/failing.sh"
DESCRIPTION="a merge gives way to users and ends all the same; an event and an exact status tell how far it is"
KERNELS="stock debug"

# begin EXCEPTIONS: the table of a merge of so many scattered chunks of 4 KiB is loaded, but not active.
begin()
{
	dmsc-cow "$c" --exceptions "$1"
	dmsetup create origin --notable
	dmsetup reload origin --table "0 $(sectors "$o") merge-scaled $o $c P 8"
}

# wait_event EVENTS: until there are more events of it than so many; what its status is then
wait_event()
{
	dmsetup wait origin "$1" > /dev/null
	snap_usage origin
}

# ends_with STATUS: what an event of the merge says
ends_with()
{
	local event waiter

	event=$(events origin)
	wait_event "$event" > /tmp/event & waiter=$!
	dmsetup resume origin
	wait_for 60 has_ended "$waiter"
	assert_eq "$(< /tmp/event)" "$1" "status when the event came"
}

tells()
{
	local merged

	merged="16/$(sectors "$c") 16"
	begin 300
	ends_with "$merged"
	# For who waits now, too; there is nothing to do.
	dmsetup suspend origin
	ends_with "$merged"
	dm_remove origin

	dmsc-cow "$c" --exceptions 300
	dmsetup create origin --notable
	below below "$c"
	tables below part 16 8
	dmsetup reload origin --table "0 $(sectors "$o") merge-scaled $o /dev/mapper/below P 8"
	ends_with "Merge failed"
	tables below ok
	dmsetup suspend origin
	ends_with "$merged"
	dm_remove origin below
}

# Both numbers of the status are of one moment, and get smaller.
goes_down()
{
	local used=999999 now total meta

	begin 2000
	dmsetup resume origin
	for (( ; ; )); do
		IFS=' /' read -r now total meta < <(snap_usage origin)
		assert_le "$now" "$used" "sectors used, which get fewer"
		assert_eq "$total" "$(sectors "$c")"
		# The number of exceptions that is left, in areas of 256 and a chunk of metadata.
		assert_eq "$meta" "$((8 * (2 + (now / 8 - 2) / 257)))" "metadata of $now sectors"
		used=$now
		((now > meta)) || break
	done
	dm_remove origin
}

# throttled PERCENT: what a merge takes then, ms
throttled()
{
	local begin

	snap_param snapshot_copy_throttle "$1"
	begin 64
	begin=${EPOCHREALTIME/./}
	dmsetup resume origin
	wait_for 60 is_merged origin
	echo $(((${EPOCHREALTIME/./} - begin) / 1000))
	dm_remove origin
}

# There is always I/O, so that there is no pause: a millisecond of each.
beside_load()
{
	local chunks=2048 load begin took least o

	o=$(nullb_create size=32 irqmode=2 completion_nsec=1000000)
	dm_create origin "0 $(sectors "$o") linear $o 0"
	fio --name=load --filename=/dev/mapper/origin --rw=randrw --bs=4k --direct=1 --ioengine=libaio --iodepth=32 \
		--numjobs=2 --time_based --runtime=600 --output=/dev/null --eta=never --randrepeat=0 & load=$!
	wait_for 60 is_in_flight origin 16
	dmsc-cow "$c" --exceptions $chunks
	dmsetup reload origin --table "0 $(sectors "$o") merge-scaled $o $c P 8"
	begin=${EPOCHREALTIME/./}
	dmsetup suspend origin
	dmsetup resume origin
	wait_for 100 is_merged origin
	took=$(((${EPOCHREALTIME/./} - begin) / 1000))
	kill "$load"
	wait "$load" || true
	dm_remove origin
	# 1.25 MiB a second and no more: all else would be in somebody's way. A CPU may be late, and so may the timer. On the
	# debug kernel a batch takes longer than it should have with the pause that follows it: it merges half of the time.
	echo "merged beside load in $took ms"
	least=$((chunks * 4 * 1000 / 1280))
	assert_le $((least * 2 / 3)) "$took" "ms, as few"
	assert_le "$took" $(($(slow_or 10 3) * least)) "ms"
}

run_test()
{
	local o c fast slow

	modprobe dm-flakey
	o=$(nullb_create size=32)
	c=$(nullb_create size=32)
	tells
	goes_down
	beside_load
	# Copies are in flight for a while, so that the share of time counts.
	c=$(nullb_create size=32 irqmode=2 completion_nsec=20000000)
	fast=$(throttled 100)
	slow=$(throttled 1)
	snap_param snapshot_copy_throttle 100
	echo "merged in $fast ms, throttled $slow ms"
	assert_le $((fast + 400)) "$slow" "ms"
}
