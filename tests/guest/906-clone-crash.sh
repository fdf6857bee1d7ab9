# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/crash.sh
. "$lib/crash.sh"
DESCRIPTION="power cuts at every flush, with torn writes: no marked region has old data, nothing durable is lost"
TIMEOUT=600
SELDOM=debug

# One disk has metadata and destination, so that one log has all writes in their order.
# below DISK
below()
{
	dm_create m "0 64 linear $1 0"
	dm_create d "0 $size linear $1 64"
	meta=/dev/mapper/m
	dest=/dev/mapper/d
}

below_remove()
{
	dm_remove m d
}

# Writes one after another, each durable before the next: in the lower half, parts of regions and whole ones in turn.
# Meanwhile others write to the upper half, and the background hydrates.
load()
{
	local i pid

	clone_create clone 8
	fio --rw=randwrite --bsrange=512-16k --blockalign=512 --direct=1 --ioengine=libaio --iodepth=4 --randrepeat=0 \
		--offset=$((size * 256)) --size=$((size * 256)) --number_ios="$ios" --numjobs=2 --buffer_pattern='"u"' \
		--group_reporting --output=/dev/null --name=upper --filename=/dev/mapper/clone &
	pid=$!
	for ((i = 0; i < steps; i++)); do
		dd if="$(pattern u)" of=/dev/mapper/clone bs="$((i % 3 ? 512 : 4096))" count=1 \
			seek="$((i * 16 * 512))" oflag=direct,dsync,seek_bytes conv=notrunc status=none
	done
	wait "$pid"
	wait_for 30 is_hydrated clone
	dm_remove clone
}

# look: what is on the replayed disk. The destination was full of "g", which nobody may ever see.
look()
{
	local i seen=''

	below "$replayed"
	if has_metadata "$meta"; then
		dmsc-clone check "$meta" || [[ $(dd if="$meta" bs=4096 skip=1 count=1 status=none | tr -d '\0' | wc -c) == 0 ]] ||
			fail "the metadata is damaged"
	fi
	clone_create clone 8 1 no_hydration
	assert_eq "$(dd if=/dev/mapper/clone bs=1M iflag=direct status=none | tr -d 'su' | wc -c)" 0 "bytes of neither"
	for ((i = 0; i < steps; i++)); do
		seen+=$(dd if=/dev/mapper/clone bs=512 skip="$((i * 16))" count=1 iflag=direct status=none | head -c 1)
	done
	assert_match "$seen" '^u*s*$'
	dm_remove clone
	below_remove
}

run_test()
{
	local disk log_disk replayed source meta dest size=8192 points ios steps=16

	points=$(long_or 300 "$(slow_or 6 12)")
	ios=$(slow_or 60 100)
	disk=$(nullb_create size=8)
	replayed=$(nullb_create size=8)
	log_disk=$(nullb_create size=200)
	source=$(nullb_create size=4)
	dd if="$(pattern s)" of="$source" bs=1M count=4 oflag=direct status=none
	blkdiscard -z "$disk"
	dd if="$(pattern g)" of="$disk" bs=1M count=$((size * 512)) seek=$((64 * 512)) oflag=seek_bytes iflag=count_bytes \
		conv=notrunc,fsync status=none
	cp --sparse=never "$disk" "$replayed"
	record load
	export source size steps
	replay 906-clone-crash "$points"
}
