# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="no allocation of the module outlives its devices, after refused tables, handovers and I/O"
TIMEOUT=900
# KASAN keeps what was freed for a while; in its kernel, 501 to 503 look for leaks.
KERNELS=stock
# Makes the slab allocator keep the call site of each object.
VM="--cpus 4 --mem 2048 --append slub_debug=U"

requires()
{
	grep -q 'slub_debug=U' /proc/cmdline || skip "needs a kernel booted with slub_debug=U"
}

# Live objects by slab cache and call site, for call sites in the module under test.
ours_alive()
{
	local cache by=dm_scaled

	is_ours || by=dm_snapshot
	for cache in /sys/kernel/debug/slab/*/alloc_traces; do
		# debugfs' files for slab caches, on which the kernel sits as it likes.
		[[ $cache != */@(dentry|inode_cache|lsm_inode_cache)/* ]] || continue
		awk -v cache="$cache" -v ours="[$by]" -v by="[$by]" '
			/^ *[0-9]+ [^ ]+\+/ { count = $1; site = $2; seen = index($0, by) }
			index($0, by) { seen = 1; if (site !~ /snap|origin|kcopyd|exception|pending/) site = site " " $1 }
			# The memory of the null_blk devices below, which our workers write to.
			/^ *[0-9]+ (null_insert_page|(__)?radix_tree_(node_alloc|preload))/ { count = $1; site = $2; seen = 0; by = "\001" }
			/^$/ { by = ours; if (seen) print cache, site, count; seen = 0 }
			END { if (seen) print cache, site, count }
		' "$cache"
	done | sort
}

refused()
{
	! dmsetup create bad --table "$1" 2> /dev/null || fail "accepted: $1"
}

run_test()
{
	local o c len count before i

	o=$(nullb_create size=16)
	c=$(nullb_create size=16)
	len=$(sectors "$o")
	count=$(long_or 200 3)
	# Whatever is allocated once, at first use.
	dm_create origin "0 $len $snapshot_origin $o"
	dm_create snap "0 $len $snapshot $o $c N 8"
	dm_remove snap origin
	while before=$(ours_alive); rcu_settle; [[ $(ours_alive) != "$before" ]]; do :; done
	echo "in use by the module itself: $before"

	# A line for each way out of the constructors.
	for ((i = 0; i < count; i++)); do
		refused "0 $len $snapshot_origin"
		refused "0 $len $snapshot_origin /dev/no-such-device"
		refused "0 $len $snapshot $o $c N"
		refused "0 $len $snapshot /dev/no-such-device $c N 8"
		refused "0 $len $snapshot $o /dev/no-such-device N 8"
		refused "0 $len $snapshot $o $o N 8"
		refused "0 $len $snapshot $o $c X 8"
		refused "0 $len $snapshot $o $c N 7"
		refused "0 $len $snapshot $o $c N x"
		refused "0 $len $snapshot $o $c N 8 1"
		refused "0 $len $snapshot $o $c N 8 1 other"
		refused "0 $len $snapshot $o $c N 8 1 discard_passdown_origin"
		refused "0 $((len + 8)) $snapshot $o $c N 8"
		refused "0 $((len + 8)) $snapshot_origin $o"
		# A whole target, refused because of its neighbour.
		refused "0 8 $snapshot $o $c N 8
8 8 error-no-such-target"
	done
	assert_nothing_new "after refused tables"

	for ((i = 0; i < count; i++)); do
		# Loaded but never resumed.
		dmsetup create snap --notable
		dmsetup reload snap --table "0 $len $snapshot $o $c N 8"
		dmsetup clear snap
		dmsetup reload snap --table "0 $len $snapshot $o $c N 16"
		dmsetup remove snap

		# Used, handed over, with a reload that is taken back, and overflowed.
		origin_create origin "$o"
		snap_create snap origin "$o" "$c" N 8
		put_blocks /dev/mapper/origin 0 16 100
		put_blocks /dev/mapper/snap 4096 16 77
		dmsetup reload snap --table "0 $len $snapshot $o $c N 8"
		dmsetup suspend snap
		dmsetup resume snap
		dmsetup reload snap --table "0 $len $snapshot $o $c N 8"
		dmsetup clear snap
		dm_remove snap
		dm_create small "0 800 linear $c 0"
		snap_create snap origin "$o" /dev/mapper/small N 8
		put_blocks /dev/mapper/origin 8192 1 2048
		assert_eq "$(snap_usage snap)" Invalid
		dmsetup reload snap --table "0 $len $snapshot $o /dev/mapper/small N 8"
		dm_remove snap
		dm_remove small origin
	done
	assert_nothing_new "after use"
}

# Frees that wait for a grace period, and workers that free.
rcu_settle()
{
	sleep 1
	echo 3 > /proc/sys/vm/drop_caches
	sleep 1
}

# assert_nothing_new WHEN: what is in use is what was in use before, once what is freed late has been.
assert_nothing_new()
{
	local end=$((SECONDS + 30)) over='' now

	while rcu_settle; now=$(ours_alive); [[ $now != "$before" && ! $over ]]; do
		((SECONDS < end)) || over=y
	done
	assert_eq "$now" "$before" "allocations $1"
}
