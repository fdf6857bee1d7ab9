# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="reads of an origin that nobody writes: what begins to write it waits for them, and can be killed meanwhile"
TIMEOUT=200
KERNELS="stock debug"
EACH=1

requires()
{
	is_ours || skip "stock tracks all reads"
}

# begin: a snapshot "s1", which holds "b" in one chunk, of an origin that holds "a", and "slow" below it
begin()
{
	put_blocks "$o" 0 16 2048 a
	cow_clear "$c"
	dm_create slow "$(delay_table "$o" 0)"
	dm_create s1 "0 $len $snapshot /dev/mapper/slow $c P 8"
	# Until its exception is in the table reads of its bucket are tracked.
	put /dev/mapper/s1 16384 8 b
}

# read_slowly SECTOR: in the background, until the reads are let go; what is read is in $read_sum
read_slowly()
{
	hold_reads slow "$o"
	get /dev/mapper/s1 "$1" 64 > "$read_sum" & reader=$!
	wait_for 60 is_holding slow 1
}

# is_waiting PID: for reads, in the kernel, where a function may be part of another one
is_waiting()
{
	grep -q "snap_origin_\(track_reads\|preresume\)" "/proc/$1/stack"
}

# resumed_late: "origin" waits for the read when it is resumed, and can be killed meanwhile.
resumed_late()
{
	local resume

	read_slowly 80
	dmsetup resume origin & resume=$!
	wait_for 60 is_waiting "$resume"
	kill -KILL "$resume"
	wait_for 60 has_ended "$resume"
	wait "$resume" || true
	dmsetup resume origin & resume=$!
	wait_for 60 is_waiting "$resume"
	has_ended "$reader" && fail "the read has ended"
	let_go_reads slow "$o"
	wait "$reader"
	wait_for 60 has_ended "$resume"
	wait "$resume"
	assert_eq "$(< "$read_sum")" "$sum" "what was read meanwhile"
}

origin_begins()
{
	begin
	dmsetup create origin --notable
	dmsetup reload origin --table "0 $len $snapshot_origin /dev/mapper/slow"
	resumed_late
	put /dev/mapper/origin 80 64 n
	assert_holds /dev/mapper/s1 80 64 a
	assert_holds /dev/mapper/s1 16384 8 b
	# From now on reads are tracked, whether there is such a target or not.
	dm_remove origin
	read_slowly 320
	dmsetup create origin --table "0 $len $snapshot_origin /dev/mapper/slow"
	let_go_reads slow "$o"
	wait "$reader"
	dm_remove s1 origin slow
}

# Another snapshot is merged.
merge_begins()
{
	local other

	other=$(nullb_create size=8)
	begin
	dm_create s2 "0 $len $snapshot /dev/mapper/slow $other P 8"
	put /dev/mapper/s2 80 64 m
	dmsetup create origin --notable
	dmsetup reload origin --table "0 $len merge-scaled /dev/mapper/slow $other P 8"
	dmsetup suspend s2
	resumed_late
	assert_holds /dev/mapper/origin 80 64 m
	wait_for 60 is_merged origin
	assert_holds /dev/mapper/s1 80 64 a
	assert_holds /dev/mapper/s1 16384 8 b
	dm_remove s2 s1 origin slow
}

# An exception leaves its bucket late: it is in the table by then.
table_comes_first()
{
	begin
	sync -d /dev/mapper/s1
	put /dev/mapper/s1 480 64 c
	: > "$read_sum"
	: > /tmp/is-reading
	while [[ -e /tmp/is-reading ]]; do
		get /dev/mapper/s1 480 64 >> "$read_sum"
	done & reader=$!
	wait_for 60 test -s "$read_sum"
	# It spins, with a lock.
	delay_set snap-pending:erase 2000 1000 1
	soon sync -d /dev/mapper/s1
	wait_for 60 delay_was_hit snap-pending:erase
	sleep 2
	rm /tmp/is-reading
	wait "$reader"
	assert_eq "$(sort -u "$read_sum")" "$(head -c $((64 * 512)) "$(pattern c)" | sha256sum | cut -d' ' -f1)"
	delays_off
	dm_remove s1 slow
}

# under_load STORE: new snapshots, which are read and written; in the midst of it the origin is written.
under_load()
{
	local i

	for ((i = 0; i < $(slow_or 1 4); i++)); do
		blkdiscard -z "$o"
		cow_clear "$c"
		dm_create s1 "0 $len $snapshot $o $c $1 8"
		if [[ -e $delays ]]; then
			delay_set "snap-pending:*" 1 20
			delay_set "snap-scaled:*" 2 20
			delay_set "snap-origin:*" 5 500
		fi
		checker_start --origin /dev/mapper/s1 --assume-zero --save $model --max-io 16384
		sleep 0.5
		origin_create origin "$o"
		put_blocks /dev/mapper/origin 0 32 2048 n
		checker_stop
		[[ ! -e $delays ]] || delays_off
		dm_remove s1 origin
	done
}

run_test()
{
	local o c len sum reader read_sum=/tmp/read-sum

	modprobe dm-delay
	o=$(nullb_create size=32) c=$(nullb_create size=40)
	len=$(sectors "$o")
	sum=$(head -c $((64 * 512)) "$(pattern a)" | sha256sum | cut -d' ' -f1)
	origin_begins
	merge_begins
	[[ ! -e $delays ]] || table_comes_first
	under_load P
	under_load N
}
