# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="a disk on a fabric is not asked whether it copies; one on PCIe is, and no command fails for that (6.1)"
KERNELS=stock
TIMEOUT=120
# Without multipath the namespace of a fabric is a disk whose requests can be had.
VM="--cpus 4 --mem 2048 --append nvme_core.multipath=N --nvme a:96 --nvme slow:32,iops=10,mssrl=8,mcl=128,msrc=127"

nqn=nqn.2026-01.test:fabric
nvmet=/sys/kernel/config/nvmet

requires()
{
	modprobe -qa nvme-tcp nvmet-tcp || skip "no NVMe/TCP here"
}

find_fabric()
{
	local dir

	for dir in /sys/block/nvme*; do
		if [[ $(< "$dir/device/transport") == tcp ]]; then
			echo "/dev/${dir##*/}"
			return
		fi
	done
	return 1
}

# fabric_connect DEVICE
fabric_connect()
{
	local subsystem=$nvmet/subsystems/$nqn port=$nvmet/ports/1

	/opt/busybox/busybox ip link set lo up
	mkdir -p "$subsystem/namespaces/1" "$port"
	echo 1 > "$subsystem/attr_allow_any_host"
	echo -n "$1" > "$subsystem/namespaces/1/device_path"
	echo 1 > "$subsystem/namespaces/1/enable"
	echo ipv4 > "$port/addr_adrfam"
	echo tcp > "$port/addr_trtype"
	echo 127.0.0.1 > "$port/addr_traddr"
	echo 4420 > "$port/addr_trsvcid"
	ln -s "$subsystem" "$port/subsystems/$nqn"
	nvme connect -t tcp -a 127.0.0.1 -s 4420 -n $nqn --hostnqn nqn.2026-01.test:host \
		--hostid 6d3ae2ea-8ab5-4c1e-9d1c-2f2b8f0f4d11
	wait_for 30 find_fabric
}

fabric_disconnect()
{
	local subsystem=$nvmet/subsystems/$nqn port=$nvmet/ports/1

	nvme disconnect -n $nqn
	rm "$port/subsystems/$nqn"
	rmdir "$port" "$subsystem/namespaces/1" "$subsystem"
}

run_test()
{
	local disk fabric o c failed expected=0 events=/sys/kernel/tracing/events/nvme/nvme_complete_rq

	nvme_start
	disk=$(nvme_disk a 1)
	o=$(nvme_partition "$disk" 4) c=$(nvme_partition "$disk" 5)
	# A command that fails is an entry in the error log of a drive.
	echo 'status != 0' > "$events/filter"
	echo > /sys/kernel/tracing/trace
	echo 1 > "$events/enable"
	copies_by_itself "$o" "$c" || fail "$disk does not copy"
	echo 0 > "$events/enable"
	grep -v '^#' /sys/kernel/tracing/trace || true
	# Where the block layer does not pass on that a request failed, a block beyond the end is read in two ways, to
	# see that the driver's part of the request shows it: "LBA out of range".
	! kernel_is_from 6.2 || expected=2
	failed=$(awk '!/^#/ { if (/ status=0x4080$/) beyond++; else others++ } END { print beyond + 0, others + 0 }' \
		/sys/kernel/tracing/trace)
	assert_eq "$failed" "$expected 0" "reads beyond the end and other commands that failed"

	fabric_connect "$(nullb_create size=32)"
	fabric=$(find_fabric)
	addpart "$fabric" 1 2048 8192
	addpart "$fabric" 2 10240 10240
	log_mark
	! copies_by_itself "${fabric}p1" "${fabric}p2" || fail "$fabric copies"
	assert_match "$(log_since)" "${fabric#/dev/}: is not on PCIe"
	delpart "$fabric" 1
	delpart "$fabric" 2
	fabric_disconnect
}
