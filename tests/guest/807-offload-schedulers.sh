# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="the device copies with each I/O scheduler, though the worker that asks it has a plug"
EACH=1
KERNELS="stock rt"
TIMEOUT=120
VM="--cpus 4 --mem 2048 --nvme @tests/guest/offload.disks"

run_test()
{
	local disk queue o c sched sum

	nvme_start
	disk=$(nvme_disk a 1)
	queue=/sys/block/${disk#/dev/}/queue
	o=$(nvme_partition "$disk" 4) c=$(nvme_partition "$disk" 5)
	modprobe -a bfq kyber-iosched
	for sched in mq-deadline kyber bfq none; do
		echo "$sched" > "$queue/scheduler"
		fill "$o" 1
		sum=$(checksum "$o")
		origin_create origin "$o"
		snap_create snap origin "$o" "$c"
		# With chunks that are ready together, and with one at a time.
		fio --name=x --filename=/dev/mapper/origin --rw=randwrite --bs=4k --direct=1 --ioengine=libaio --iodepth=32 \
			--size=2M --output=/dev/null
		put_blocks /dev/mapper/origin 4096 32 8
		echo "$sched: $(offload_line snap)"
		assert_eq "$(offload snap ranges) $(offload snap failed)" "544 0" "ranges with $sched"
		assert_eq "$(checksum /dev/mapper/snap)" "$sum" "contents of the snapshot with $sched"
		dm_remove snap origin
	done
}
