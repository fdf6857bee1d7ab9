# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For the benchmarks' scripts that run in the VM: the devices and the load.
#
# Both null_blk devices keep no data, so that nothing but the path to them is measured.

opt=/opt/dm-scaled
disk_gb=${DISK_GB:-16}
cpus=$(nproc)

bench_start()
{
	modprobe dm-mod
	modprobe dm-snapshot
	modprobe null_blk nr_devices=2 gb="$disk_gb" bs=4096 queue_mode=2 hw_queue_depth=128 \
		submit_queues="$cpus" irqmode="${IRQMODE:-0}" completion_nsec="${COMPLETION_NSEC:-10000}"
	[[ ! -e $opt/dm-scaled.ko ]] || insmod "$opt/dm-scaled.ko"
}

# setup_config NAME [CPUS]: prepares one of
#   raw          the null_blk device
#   linear       dm-linear on it
#   stock, ours  an origin with one active transient snapshot: each first write copies a chunk
#   stock-snap, ours-snap
#                a transient snapshot that is written to itself
# and sets $bench_dev to the device to write to.
setup_config()
{
	local config=$1 size snapshot="snapshot" origin="snapshot-origin"

	size=$(blockdev --getsz /dev/nullb0)
	if [[ $config == ours* ]]; then
		snapshot="snapshot-scaled" origin="origin-scaled"
	fi
	case $config in
	raw)
		bench_dev=/dev/nullb0 ;;
	linear)
		dmsetup create linear --table "0 $size linear /dev/nullb0 0"
		bench_dev=/dev/mapper/linear ;;
	stock|ours)
		dmsetup create origin --table "0 $size $origin /dev/nullb0"
		dmsetup suspend origin
		dmsetup create snap --table "0 $size $snapshot /dev/nullb0 /dev/nullb1 N 8"
		dmsetup resume origin
		bench_dev=/dev/mapper/origin ;;
	stock-snap|ours-snap)
		dmsetup create snap --table "0 $size $snapshot /dev/nullb0 /dev/nullb1 N 8"
		bench_dev=/dev/mapper/snap ;;
	*)
		echo "no configuration $config" >&2
		return 1 ;;
	esac
}

teardown_config()
{
	local name

	for name in linear origin snap; do
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
