# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Helpers of the tests that run in the VM. Sourced by runner.sh with "set -euo pipefail" in force, so that any
# command that fails unasked ends the test.
#
# Devices, dm tables and modules that a test leaves behind are removed by the runner.

lib=${lib:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}
opt=$(dirname "$(dirname "$lib")")
module=$opt/dm-scaled.ko

# What kind of kernel this is: stock, rt, or one of tests/vm/kernel; on all but stock everything takes longer.
variant=$(uname -r)
case $variant in
*-dmscaled-*) variant=${variant##*-dmscaled-} ;;
*-rt-*) variant=rt ;;
*) variant=stock ;;
esac

# slow_or SLOW NORMAL: one of two numbers.
slow_or()
{
	if [[ $variant == stock ]]; then echo "$2"; else echo "$1"; fi
}

# TARGET_SUFFIX= runs a test against the stock targets, as the reference. A target's name has at most 15 characters,
# so ours for the origin is not stock's with a suffix.
: "${TARGET_SUFFIX=-scaled}"
snapshot="snapshot$TARGET_SUFFIX" snapshot_origin="origin-scaled"
[[ $TARGET_SUFFIX ]] || snapshot_origin="snapshot-origin"

# --- results

fail()
{
	echo "FAILED at ${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]}: $*" >&2
	exit 1
}

# Ends the test as not applicable here.
skip()
{
	echo "$*" > /run/dm-scaled/skip
	exit 77
}

# assert_eq ACTUAL EXPECTED [WHAT]
assert_eq()
{
	[[ $1 == "$2" ]] && return
	echo "FAILED at ${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]}: ${3:-values differ}" >&2
	printf '  is:        %s\n  should be: %s\n' "$1" "$2" >&2
	exit 1
}

# assert_match ACTUAL REGEX [WHAT]
assert_match()
{
	[[ $1 =~ $2 ]] && return
	echo "FAILED at ${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]}: ${3:-no match}" >&2
	printf '  is:           %s\n  should match: %s\n' "$1" "$2" >&2
	exit 1
}

# assert_le A B [WHAT]: for integers
assert_le()
{
	(($1 <= $2)) && return
	echo "FAILED at ${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]}: ${3:-too big}: $1 > $2" >&2
	exit 1
}

# assert_fails COMMAND...: it must fail; what it prints is in $REPLY
assert_fails()
{
	if REPLY=$("$@" 2>&1); then
		echo "FAILED at ${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]}: succeeded: $*" >&2
		exit 1
	fi
}

# sleep SECONDS: without a new process, which takes an emulated CPU 10 to 100 ms: it costs more than what it polls for.
# The runner has made the FIFO, and nobody writes to it.
sleep_fifo=/run/dm-scaled/sleep
sleep()
{
	if [[ -p $sleep_fifo ]]; then
		read -rt "$1" _ <> "$sleep_fifo" || true
	else
		command sleep "$1"
	fi
}

# wait_for SECONDS COMMAND...: until it succeeds; after the time is over it is tried once more, as this may have stood
# still since the last time.
wait_for()
{
	local end=$((SECONDS + $1)) over=''

	shift
	until "$@" > /dev/null 2>&1; do
		[[ ! $over ]] || fail "still not true: $*"
		sleep 0.1
		((SECONDS < end)) || over=y
	done
}

# --- the kernel

# load_module [PARAMETER...]
load_module()
{
	modprobe dm-mod
	modprobe dm-bufio
	insmod "$module" "$@" || return
	# In a soak each delay point of a debug build waits now and then.
	if [[ ${RANDOM_DELAYS:-} && -e $delays ]]; then
		echo '* 1 5' > "$delays"
	fi
}

# kernel_is_from VERSION: whether the kernel is that one or a later one
kernel_is_from()
{
	[[ $(printf '%s\n' "$1" "$(uname -r)" | sort -V | head -n 1) == "$1" ]]
}

# Puts the module where modprobe, also the kernel's own, finds it, until the test ends.
install_module()
{
	local dir

	dir=/lib/modules/$(uname -r)/extra
	mkdir -p "$dir"
	cp "$module" "$dir/"
	depmod
}

uninstall_module()
{
	local file

	file=/lib/modules/$(uname -r)/extra/dm-scaled.ko
	[[ -e $file ]] || return 0
	rm "$file"
	depmod
}

unload_module()
{
	[[ ! -d /sys/module/dm_scaled ]] || rmmod dm_scaled
}

have_target()
{
	dmsetup targets | awk -v t="$1" '$1 == t { found = 1 } END { exit !found }'
}

# Sets a parameter of our module.
module_param()
{
	echo "$2" > "/sys/module/dm_scaled/parameters/$1"
}

# log_mark: log_since then prints what the kernel logged after it.
log_mark()
{
	log_mark=mark-$RANDOM$RANDOM$RANDOM
	echo "dm-scaled-test: $log_mark" > /dev/kmsg
}

log_since()
{
	dmesg | awk -v m="${1:-$log_mark}" 'seen { print } index($0, m) { seen = 1 }'
}

# Lines of a kernel log (standard input) that mean that the kernel found something wrong.
log_trouble()
{
	if [[ $variant == kcsan ]]; then
		awk -v foreign="$lib/kcsan-foreign" -f "$lib/kcsan.awk"
	else
		cat
	fi | grep -Ef "$lib/trouble"
}

# --- delay points of debug builds, see dm-scaled-delay.h

delays=/sys/kernel/debug/dm-scaled/delay

# For requires(): a test that needs delay points.
requires_delays()
{
	[[ -e $delays ]] || skip "the module has no delay points"
}

# delay_set NAME MILLISECONDS [PER_THOUSAND [COUNT]]
delay_set()
{
	echo "$*" > "$delays"
}

# delay_waited NAME: how many hits of a point that was set have waited, or are waiting.
delay_waited()
{
	awk -v name="$1" '$1 == name { n += $(NF - 1) } END { print n + 0 }' "$delays"
}

delay_was_hit()
{
	(($(delay_waited "$1")))
}

delays_off()
{
	[[ ! -e ${delays%/*}/no_memory ]] || echo N > "${delays%/*}/no_memory"
	[[ ! -e $delays ]] || echo off > "$delays"
}

# Objects of a slab cache that are in use; the VM must run with slab_nomerge to have it alone.
slab_objects()
{
	local dir=/sys/kernel/slab/$1

	[[ -d $dir ]] || { echo 0; return; }
	echo 1 > "$dir/shrink"
	awk '{ print $1; exit }' "$dir/objects"
}

cpu_online()
{
	echo "$2" > "/sys/devices/system/cpu/cpu$1/online"
}

# --- block devices

# nullb_create [ATTRIBUTE=VALUE...]: prints the device. The attributes are those of configfs (size in MB).
# By default it keeps what is written (memory_backed=1) and has a queue for each CPU.
nullb_create()
{
	local config=/sys/kernel/config/nullb n=0 arg dir

	[[ -d $config ]] || modprobe null_blk nr_devices=0
	while [[ -d $config/nullb_test$n ]]; do
		n=$((n + 1))
	done
	dir=$config/nullb_test$n
	mkdir "$dir"
	for arg in size=64 blocksize=512 memory_backed=1 queue_mode=2 irqmode=0 \
		   submit_queues="$(nproc)" "$@"; do
		echo "${arg#*=}" > "$dir/${arg%%=*}"
	done
	echo 1 > "$dir/power"
	# Newer kernels name the disk after the folder.
	if [[ -b /dev/nullb_test$n ]]; then
		echo "/dev/nullb_test$n"
	else
		echo "/dev/nullb$(< "$dir/index")"
	fi
}

# virtio_disk SERIAL: prints the node of the VM's disk with that serial number.
virtio_disk()
{
	local dir

	for dir in /sys/block/vd*; do
		[[ $(< "$dir/serial") != "$1" ]] || echo "/dev/${dir##*/}"
	done
}

# brd_create COUNT MB: /dev/ram0 and so on; the contents of earlier ones are gone.
brd_create()
{
	modprobe -r brd
	modprobe brd rd_nr="$1" rd_size="$(($2 * 1024))" max_part=0
}

# loop_create MB: prints the device; its file is on tmpfs.
loop_create()
{
	local file

	modprobe loop
	file=$(mktemp /tmp/loop.XXXXXX)
	truncate -s "${1}M" "$file"
	losetup -f --show "$file"
}

# scsi_create COUNT PARAMETER=VALUE...: loads scsi_debug, whose parameters make so many disks; prints them.
scsi_create()
{
	local want=$1 nodes=() node

	shift
	modprobe sd_mod
	modprobe scsi_debug "$@"
	wait_for 30 scsi_found "$want"
	mapfile -t nodes < <(scsi_nodes)
	for node in "${nodes[@]}"; do
		wait_for 30 test -b "$node"
		echo "$node"
	done
}

# They are found one after another, in the background.
scsi_nodes()
{
	compgen -G '/sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*:*/block/*' | sed 's|.*/|/dev/|'
}

scsi_found()
{
	[[ $(scsi_nodes | wc -l) == "$1" ]]
}

sectors()
{
	blockdev --getsz "$1"
}

# --- device-mapper

dm_create()
{
	dmsetup create "$1" --table "$2"
}

# dm_reload NAME TABLE: loads the table and makes it active.
dm_reload()
{
	dmsetup reload "$1" --table "$2"
	dmsetup resume "$1"
}

# dm_limit NAME LIMIT: of the device's queue
dm_limit()
{
	cat "/sys/dev/block/$(dmsetup info -c --noheadings --separator : -o major,minor "$1")/queue/$2"
}

dm_remove()
{
	local name

	for name in "$@"; do
		dmsetup remove "$name"
	done
}

# origin_create NAME DEVICE
origin_create()
{
	dm_create "$1" "0 $(sectors "$2") $snapshot_origin $2"
}

# snap_create NAME ORIGIN_NAME DEVICE COW [STORE [CHUNK [FEATURE...]]]: takes a snapshot of the origin as stock asks
# for it, with the origin suspended. STORE is N or P, CHUNK is in sectors. ORIGIN_NAME may be "-": no origin
# target.
snap_create()
{
	local name=$1 origin=$2 dev=$3 cow=$4 store=${5:-N} chunk=${6:-8} features=''

	shift $(($# < 6 ? $# : 6))
	(($# == 0)) || features=" $# $*"
	[[ $origin == - ]] || dmsetup suspend "$origin"
	dm_create "$name" "0 $(sectors "$dev") $snapshot $dev $cow $store $chunk$features"
	[[ $origin == - ]] || dmsetup resume "$origin"
}

# snap_usage NAME: used and total sectors and metadata sectors: "USED/TOTAL METADATA", or "Invalid" and the like.
snap_usage()
{
	dmsetup status "$1" | cut -d' ' -f4-
}

# fill DEVICE SEED: writes a pattern over the whole device, each sector with its own contents.
fill()
{
	fio --name=fill --filename="$1" --rw=write --bs=64k --direct=1 --ioengine=libaio --iodepth=16 \
		--verify=pattern --verify_pattern="%o$2" --do_verify=0 --output=/dev/null
}

# checksum DEVICE: of its contents, read past the page cache: one word. Not through a pipe, at whose ends two emulated
# CPUs wait for each other most of the time.
checksum()
{
	local part=/dev/shm/checksum.$BASHPID mb=16 at size sum sums=''

	size=$(blockdev --getsize64 "$1") || return
	for ((at = 0; at << 20 < size; at += mb)); do
		dd if="$1" of="$part" bs=1M skip=$at count=$mb iflag=direct status=none || return
		sum=$(cksum "$part") || return
		sums+=${sums:+,}${sum%% *}
	done
	rm -f "$part"
	echo "$sums"
}

# run_fio JSON ARGUMENT...: runs fio; its result goes to the file JSON.
run_fio()
{
	local json=$1

	shift
	fio --output-format=json --output="$json" "$@"
}

# --- cleaning up, called by the runner

dm_names()
{
	dmsetup ls | awk '!/^No devices/ { print $1 }'
}

cleanup_devices()
{
	local dir cpu n name

	delays_off
	for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do
		[[ ! -e $cpu || $(< "$cpu") == 1 ]] || echo 1 > "$cpu"
	done
	# Our test kernels have their programs on an ext4 disk.
	awk '$2 != "/" && ($3 == "ext4" || $3 == "xfs") { print $2 }' /proc/mounts | xargs -r umount
	# Removing one waits for its I/O to those below, which a test that failed may have left suspended; resuming an
	# origin waits for reads by its snapshots.
	# Nor does what it has had delayed for ever end by itself.
	for name in $(dmsetup ls --target delay | awk '!/^No devices/ { print $1 }'); do
		dmsetup resume "$name" 2>/dev/null || true
		dm_reload "$name" "$(dmsetup table "$name" | awk '{ for (i = 6; i <= NF; i += 3) $i = 0; print }')"
	done
	dm_names | xargs -rn1 dmsetup resume 2>/dev/null || true
	# Devices stand on one another: take what can be taken until nothing is left.
	for n in 1 2 3 4 5 6 7 8; do
		[[ $(dm_names) ]] || break
		dm_names | xargs -rn1 dmsetup remove 2>/dev/null || true
		losetup -D
		((n < 4)) || sleep 0.5
	done
	dmsetup ls | grep -q '^No devices' || { dmsetup ls; return 1; }
	losetup -D
	rm -f /tmp/loop.*
	for dir in /sys/kernel/config/nullb/*/; do
		[[ -e $dir/power ]] || continue
		echo 0 > "$dir/power"
		rmdir "$dir"
	done
	for dir in brd scsi_debug; do
		[[ ! -d /sys/module/$dir ]] || modprobe -r "$dir"
	done
}
