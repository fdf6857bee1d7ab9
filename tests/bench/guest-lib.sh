# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For the benchmarks' scripts that run in the VM: the devices and the load.
#
# The null_blk devices keep no data, so that nothing but the path to them is measured. $DISK=ram: devices that do.

opt=/opt/dm-scaled
[[ ${DISK:-null} == null && ${EXCEPTIONS:-} == "" ]] || DISK_GB=1
disk_gb=${DISK_GB:-16}
disk_dev=/dev/nullb
[[ ${DISK:-null} == null ]] || disk_dev=/dev/ram
cpus=$(nproc)
# shellcheck disable=SC2034
copy_bench=/sys/kernel/debug/dm-copy-bench

# bench_start [clone|merge]
bench_start()
{
	local part

	modprobe dm-mod
	modprobe dm-snapshot
	((!${FLUSH_MS:-0})) || insmod $opt/dm-volatile.ko
	if [[ ${1:-} == clone ]]; then
		# Its metadata have to be kept.
		modprobe brd rd_nr=1 rd_size=$((64 * 1024)) max_part=0
		modprobe dm-persistent-data
		insmod "$opt/dm-clone.ko"
	fi
	if [[ ${1:-} == merge ]]; then
		modprobe dm-bufio
		# The lists of exceptions have to be kept.
		modprobe null_blk nr_devices=0
		for part in 0 1; do
			mkdir /sys/kernel/config/nullb/bench$part
			for attribute in size=1024 blocksize=4096 queue_mode=2 hw_queue_depth=128 memory_backed=$part \
					 submit_queues="$cpus" irqmode="$IRQMODE" completion_nsec="$COMPLETION_NSEC" power=1; do
				echo "${attribute#*=}" > "/sys/kernel/config/nullb/bench$part/${attribute%%=*}"
			done
			[[ -b /dev/nullb$part ]] || disk_dev=/dev/bench
		done
		insmod "$opt/dm-scaled.ko"
		return
	fi
	[[ $disk_dev != /dev/ram ]] || modprobe brd rd_nr=$((1 + ${SNAPSHOTS:-1})) rd_size=$((disk_gb << 20)) max_part=0
	modprobe null_blk nr_devices=$((1 + ${SNAPSHOTS:-1})) gb="$disk_gb" bs=4096 queue_mode=2 hw_queue_depth=128 \
		submit_queues="$cpus" irqmode="${IRQMODE:-0}" completion_nsec="${COMPLETION_NSEC:-10000}"
	[[ ! -e $opt/dm-scaled.ko ]] || insmod "$opt/dm-scaled.ko"
}

# setup_config NAME [origin|snap|clone|merge]: prepares one of
#   raw          the device itself
#   linear       dm-linear on it; with $FLUSH_MS as with the COW devices
#   stock, ours  an origin with active transient snapshots: each first write copies a chunk
# or clones with regions of $CHUNK sectors, and sets $bench_dev to the device to write to: for stock and ours, the
# origin, the (last) snapshot or the clone.
# $SNAPSHOTS is their number, 1, $CHUNK their chunk size in sectors, 8, and $STORE their store, N. $FLUSH_MS is what a
# flush of the COW devices' volatile caches takes; 0: they have none.
setup_config()
{
	local config=$1 device=${2:-origin} size snapshot="snapshot" origin="snapshot-origin" i cow

	size=$(blockdev --getsz ${disk_dev}0)
	if [[ $config == ours ]]; then
		snapshot="snapshot-scaled" origin="origin-scaled"
	fi
	if [[ $device == clone && ($config == ours || $config == stock) ]]; then
		setup_clone "$config" "$size"
		return
	fi
	if [[ $device == merge ]]; then
		setup_merge "$config" "$size"
		return
	fi
	case $config in
	raw)
		bench_dev=${disk_dev}0 ;;
	linear)
		cow=${disk_dev}0
		if ((${FLUSH_MS:-0})); then
			dmsetup create cow1 --table "0 $size volatile $cow 0 $((FLUSH_MS * 1000))"
			cow=/dev/mapper/cow1
		fi
		dmsetup create linear --table "0 $size linear $cow 0"
		bench_dev=/dev/mapper/linear ;;
	stock|ours)
		dmsetup create origin --table "0 $size $origin ${disk_dev}0"
		dmsetup suspend origin
		for ((i = 1; i <= ${SNAPSHOTS:-1}; i++)); do
			cow=$disk_dev$i
			if ((${FLUSH_MS:-0})); then
				dmsetup create cow$i --table "0 $size volatile $cow 0 $((FLUSH_MS * 1000))"
				cow=/dev/mapper/cow$i
			fi
			dmsetup create snap$i --table "0 $size $snapshot ${disk_dev}0 $cow ${STORE:-N} ${CHUNK:-8}"
		done
		dmsetup resume origin
		bench_dev=/dev/mapper/origin
		[[ $device == origin ]] || bench_dev=/dev/mapper/snap1 ;;
	*)
		echo "no configuration $config" >&2
		return 1 ;;
	esac
}

# setup_clone ours|stock SECTORS
setup_clone()
{
	local target=clone

	[[ $1 == stock ]] || target=clone-scaled
	dd if=/dev/zero of=/dev/ram0 bs=4k count=2 oflag=direct status=none
	dmsetup create clone --table "0 $2 $target /dev/ram0 /dev/nullb1 /dev/nullb0 $CHUNK 1 no_hydration"
	bench_dev=/dev/mapper/clone
}

# setup_merge ours|stock SECTORS: it begins at once
setup_merge()
{
	local target=snapshot-merge

	[[ $1 == stock ]] || target=merge-scaled
	"$opt/tools/dmsc-cow" "${disk_dev}1" --chunk "$CHUNK" --exceptions "$EXCEPTIONS"
	dmsetup create merge --table "0 $2 $target ${disk_dev}0 ${disk_dev}1 P $CHUNK"
	bench_dev=/dev/mapper/merge
}

teardown_config()
{
	local name

	for name in linear origin snap{1..8} cow{1..8} clone merge; do
		! dmsetup info "$name" > /dev/null 2>&1 || dmsetup remove "$name"
	done
}

# run_load JOBS JSON ARGUMENT...: random 4 KiB writes, each block once; one job for each CPU, pinned to it.
run_load()
{
	local jobs=$1 json=$2 part

	shift 2
	part=$((disk_gb * 1024 / jobs))
	fio --name=load --filename="$bench_dev" --ioengine=libaio --direct=1 --bs=4k --rw=randwrite \
		--iodepth="${QUEUE_DEPTH:-16}" --norandommap=0 --randrepeat=0 --numjobs="$jobs" \
		--size="${part}m" --offset_increment="${part}m" --cpus_allowed="0-$((jobs - 1))" \
		--cpus_allowed_policy=split --group_reporting --eta=never --output-format=json --output="$json" "$@"
}

# trace_submissions CONFIG origin|snap IOS FILE: counts the blocks of 4 KiB that a run of its own, IOS writes for each
# job, reads and writes, by the CPU that submitted them: {"origin": {"R": [...], "W": [...]}, "cow": {...}}
trace_submissions()
{
	local config=$1 device=$2 ios=$3 file=$4 tracer dev

	setup_config "$config" "$device"
	mkdir /tmp/trace
	(cd /tmp/trace && exec blktrace -a queue -b 1024 -n 8 -d /dev/nullb0 -d /dev/nullb1) > /tmp/trace.log 2>&1 &
	tracer=$!
	for dev in nullb0 nullb1; do
		until [[ -d /sys/kernel/debug/block/$dev && -s /tmp/trace/$dev.blktrace.0 ||
			 -e /sys/kernel/debug/block/$dev/dropped ]]; do
			kill -0 "$tracer"
			sleep 0.1
		done
	done
	# It starts somewhat later than its files appear.
	sleep 2
	run_load "$cpus" /tmp/trace.json --number_ios="$ios"
	kill -INT "$tracer"
	wait "$tracer" || true
	teardown_config
	if grep 'dropped [1-9]' /tmp/trace.log; then
		echo "blktrace lost events" >&2
		return 1
	fi
	for dev in nullb0 nullb1; do
		(cd /tmp/trace && blkparse -q -i "$dev" -f "$dev %a %d %c %n\n")
	done | awk -v cpus="$cpus" '
		function list(dev, what,   s, i) {
			for (i = 0; i < cpus; i++)
				s = s (i ? ", " : "") (n[dev, what, i] + 0)
			return "\"" what "\": [" s "]"
		}
		$2 == "Q" { n[$1, substr($3, 1, 1), $4] += $5 / 8 }
		END {
			printf "{\"origin\": {%s, %s},\n \"cow\": {%s, %s}}\n", list("nullb0", "R"),
			       list("nullb0", "W"), list("nullb1", "R"), list("nullb1", "W")
		}' > "$file"
	if ! grep -q '[1-9]' "$file"; then
		echo "blktrace saw nothing" >&2
		return 1
	fi
	rm -r /tmp/trace
}
