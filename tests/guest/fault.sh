# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Helpers of the tests that inject faults, on top of snap.sh. What a test has set up is taken back when it ends.
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"

debug=/sys/kernel/debug
fault_kinds="failslab fail_page_alloc fail_make_request fail_callers"
trap faults_off EXIT

# The random numbers of a test, and of the checker that it runs.
: "${SEED:=$RANDOM$RANDOM}"
RANDOM=$((SEED % 32768))
echo "seed $SEED"

# faults KIND NAME=VALUE...: settings of the kernel's fault injection; no messages, and any number of faults
faults()
{
	local kind=$1 arg

	shift
	for arg in verbose=0 times=1000000000 "$@"; do
		echo "${arg#*=}" > "$debug/$kind/${arg%%=*}"
	done
}

# fault_count KIND: how many there have been since the last faults()
fault_count()
{
	echo $((1000000000 - $(< "$debug/$1/times")))
}

faults_off()
{
	local kind

	for kind in $fault_kinds; do
		[[ ! -e $debug/$kind ]] || echo 0 > "$debug/$kind/probability"
	done
	for kind in /sys/block/*/make-it-fail; do
		[[ ! -e $kind ]] || echo 0 > "$kind"
	done
}

# fault_module: loads the module that adds fail_callers, for our own code. It stays: its probes are breakpoints, and
# QEMU before 8.1 may go on executing one that was taken away.
fault_module()
{
	[[ -d /sys/module/dm_scaled_fault ]] || insmod "$opt/dm-scaled-fault.ko"
	faults fail_callers
}

# nth_setup WHOSE: which allocations are to fail, of slabs, pages and memory per CPU, whether they may wait or not:
# "ours", which dm-scaled makes, directly or not, or "all" of the system call.
nth_setup()
{
	local ours=Y order=99

	[[ $1 == ours ]] || ours=N order=0
	fault_module
	# The kernel itself then counts no slab and no page.
	faults failslab ignore-gfp-wait=N cache-filter=$ours
	faults fail_page_alloc ignore-gfp-wait=N min-order=$order
	faults fail_callers wait=$ours
	objects=$(our_objects)
}

# null_blk of 7.3 asks the fault injection, too, whether a request is to get lost: ETIMEDOUT. That of 6.1 does not.
lost_request=()
[[ $(uname -r) == 6.1.* ]] || lost_request=(--errno 110)
# What a table may be refused with instead, if the failure has come to a device below: ENODEV, EIO, ENOSPC, that.
device_errors=(--errno 19 --errno 5 --errno 28 "${lost_request[@]}")

# nth ARGUMENT...: fails one allocation after another; what that led to is added to /tmp/nth.
nth()
{
	local begin=$SECONDS

	dmsc-failnth --stride "$(long_or 1 32)" "$@" > /tmp/nth.last || fail "dmsc-failnth $*"
	cat /tmp/nth.last
	echo "$((SECONDS - begin)) s"
	cat /tmp/nth.last >> /tmp/nth
}

# assert_seen TEXT...: each was the error of some failed allocation.
assert_seen()
{
	local text

	for text in "$@"; do
		grep -qF "$text" /tmp/nth || fail "no allocation failed with: $text"
	done
}

# Objects in our own slab caches.
our_objects()
{
	echo "$(slab_objects dm_kcopyd_mq_job) jobs, $(slab_objects dm_snap_scaled_pending) pending exceptions"
}

# What failed has left nothing: no object of ours, no use of the module, no lost memory.
nth_end()
{
	if [[ -d /sys/module/dm_scaled ]]; then
		assert_eq "$(our_objects)" "$objects" "objects of our slab caches"
		assert_eq "$(< /sys/module/dm_scaled/refcnt)" 0 "uses of the module"
	fi
	assert_no_leaks
}

# assert_no_leaks: by kmemleak. An object must be some seconds old, and unchanged between two scans.
assert_no_leaks()
{
	local leaks

	sleep 5
	echo scan > $debug/kmemleak
	echo scan > $debug/kmemleak
	leaks=$(< $debug/kmemleak)
	[[ ! $leaks ]] || fail "memory is lost:"$'\n'"$leaks"
}
