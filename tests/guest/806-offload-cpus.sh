# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="each Copy command is submitted and completed on the CPU that asked for it; several copies share one"
TIMEOUT=200
KERNELS=stock
VM="--cpus 8 --mem 2048 --nvme @tests/guest/offload.disks"

tracing=/sys/kernel/tracing

# copy_commands: of the trace, "submitting CPU, completing CPU" for each Copy command
copy_commands()
{
	awk '
	{
		cpu = $0
		sub(/^[^[]*\[/, "", cpu)
		sub(/\].*/, "", cpu)
		id = $0
		sub(/.*qid=/, "", id)
		sub(/,.*/, "", id)
		number = $0
		sub(/.*cmdid=/, "", number)
		sub(/,.*/, "", number)
		id = id "." number
	}
	/nvme_setup_cmd:/ {
		delete from[id]
		# 6.1 does not know the name of the command.
		if (/cmd=\(nvme_cmd_copy|cmd=\(unknown|cmd=\(0x19|opcode=0x19|cmd=\(25 /)
			from[id] = cpu
	}
	/nvme_complete_rq:/ && id in from {
		print from[id] + 0, cpu + 0
		delete from[id]
	}' "$tracing/trace"
}

requires()
{
	need_test_module dm-copy-bench
}

run_test()
{
	local disk src dst cpu crossed

	nvme_start
	[[ -e $tracing/trace ]] || mount -t tracefs tracefs $tracing
	disk=$(nvme_disk a)
	nvme_keep "$disk"
	src=$(nvme_partition "$disk" 32) dst=$(nvme_partition "$disk" 32)
	fill "$src" 1
	fill "$dst" 2
	insmod "$opt/dm-copy-bench.ko"
	echo 20000 > $tracing/buffer_size_kb
	# Names of processes would need a tracepoint in the scheduler, whose code all CPUs execute while it is patched:
	# QEMU before 8.1 may go on executing the breakpoint that stood there for a moment.
	echo 0 > $tracing/options/record-cmd
	echo 1 > $tracing/events/nvme/nvme_setup_cmd/enable
	echo 1 > $tracing/events/nvme/nvme_complete_rq/enable
	bench engine=mq copies=8192 depth=16 cpus=0-7
	echo 0 > $tracing/events/nvme/enable
	copy_commands > /tmp/commands
	offload_line keep

	assert_eq "$(number errors)" 0 "errors"
	assert_eq "$(checksum "$dst")" "$(checksum "$src")" "contents"
	assert_eq "$(offload keep sectors)" 65536 "sectors that the device copied"
	assert_eq "$(wc -l < /tmp/commands)" "$(offload keep commands)" "commands in the trace"
	crossed=$(awk '$1 != $2' /tmp/commands | wc -l)
	assert_eq "$crossed" 0 "commands that were completed on another CPU"
	for cpu in 0 1 2 3 4 5 6 7; do
		grep -q "^$cpu " /tmp/commands || fail "CPU $cpu has submitted nothing"
	done
	dm_remove keep

	# Destinations that follow each other, under load: several copies share a command, at most 256.
	disk=$(nvme_disk a 4)
	nvme_keep "$disk"
	src=$(nvme_partition "$disk" 32) dst=$(nvme_partition "$disk" 32)
	fill "$src" 1
	bench engine=mq pattern=seq copies=8192 depth=512 cpus=0
	offload_line keep
	assert_eq "$(number errors) $(offload keep ranges) $(offload keep failed)" "0 8192 0" "errors, ranges, failures"
	assert_eq "$(checksum "$dst")" "$(checksum "$src")" "contents"
	assert_le $((2 * $(offload keep commands))) 8192 "commands, of half as many as there are copies"
	assert_le $((8192 / 256)) "$(offload keep commands)" "commands"
	dm_remove keep
	rmmod dm_copy_bench
}
