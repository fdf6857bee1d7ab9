# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Helpers for hosts of micro-VMs, on top of lib.sh: many snapshots vm1, vm2, … of one base that nobody writes, each
# with a COW device in a sparse file. No program is started for each of them where that can be avoided: it takes as
# long as what is measured.

micro=/tmp/micro

# micro_devices SIZE_MB COUNT: makes the base, $base, and files on loop devices 1 to COUNT
micro_devices()
{
	local i

	mkdir -p $micro
	grep -q " $micro " /proc/mounts || mount -t tmpfs -o size=90% micro $micro
	micro_size_mb=$1
	modprobe loop max_loop=$(($2 + 1))
	truncate -s "${1}M" $micro/base
	# A part of it is there, in the page cache: the rest are holes.
	head -c 32M /dev/zero | tr '\0' b | dd of=$micro/base bs=1M conv=notrunc status=none
	base=/dev/loop0
	losetup -r $base $micro/base
	for ((i = 1; i <= $2; i++)); do
		truncate -s "${1}M" "$micro/cow$i"
		losetup "/dev/loop$i" "$micro/cow$i"
	done
}

micro_devices_remove()
{
	losetup -D
	umount $micro
}

# micro_clear COUNT: COW devices are as new
micro_clear()
{
	local i files=()

	for ((i = 1; i <= $1; i++)); do
		: > "$micro/cow$i"
		files+=("$micro/cow$i")
	done
	truncate -s "${micro_size_mb}M" "${files[@]}"
}

micro_names()
{
	local i

	for ((i = $1; i <= $2; i++)); do
		echo "vm$i"
	done
}

# micro_table linear|stock|ours FIRST LAST: what "dmsetup create --concise" reads
micro_table()
{
	local sectors=$((micro_size_mb * 2048)) end="P 8" name=snapshot i line=''

	[[ $1 != ours ]] || name="snapshot-scaled"
	for ((i = $2; i <= $3; i++)); do
		if [[ $1 == linear ]]; then
			line="0 $sectors linear /dev/loop$i 0"
		else
			line="0 $sectors $name $base /dev/loop$i $end"
		fi
		((i == $2)) || echo -n ";"
		echo -n "vm$i,,,rw,$line"
	done
	echo
}

# micro_remove_at_once COUNT: as when all VMs end: each device is to be removed when it is closed, and then all are
micro_remove_at_once()
{
	local i fd fds=()

	for ((i = 1; i <= $1; i++)); do
		exec {fd}< "/dev/mapper/vm$i"
		fds+=("$fd")
	done
	micro_names 1 "$1" | xargs dmsetup remove --deferred
	for fd in "${fds[@]}"; do
		exec {fd}<&-
	done
	wait_for 120 micro_is_empty
}

# A device that is removed late has a name until shortly before it is gone.
micro_is_empty()
{
	! compgen -G '/sys/block/dm-*'
}

# Waits until what is freed late has been.
micro_settle()
{
	sleep 1.5
	sync
	echo 3 > /proc/sys/vm/drop_caches
	sleep 0.5
}

# KiB that the kernel has in use, without caches and files, and without the free pages that each CPU has at hand
micro_memory_kb()
{
	awk '/^MemTotal:/ { kb += $2 }
		/^(MemFree|Buffers|Cached|SReclaimable|AnonPages|PageTables):/ { kb -= $2 }
		/^ +count:/ { kb -= 4 * $2 }
		END { print kb }' /proc/meminfo /proc/zoneinfo
}

# Kernel threads that device-mapper's devices have
micro_threads()
{
	cat /proc/[0-9]*/comm 2> /dev/null | grep -Ec '^(kdmflush|kcopyd|ksnaphd|dm_snap)' || true
}
