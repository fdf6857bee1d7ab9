# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
DESCRIPTION="damaged metadata devices of clones are opened as documented, or refused and left alone"
TIMEOUT=1200
KERNELS=stock

requires()
{
	is_ours || skip "our format"
}

run_test()
{
	local level mark status=0

	# A refusal is two lines on a slow console, and tables wait for grace periods.
	level=$(cut -f 1 /proc/sys/kernel/printk)
	mark=$(dmesg | grep -o 'dm-scaled-test: mark-.*' | tail -n 1)
	dmesg -n 1
	echo 1 > /sys/kernel/rcu_expedited
	# As large as the tool's largest clone and its images.
	dm_create meta "0 64 linear $(nullb_create size=1) 0"
	dmsc-fuzz --clone-images "$(long_or 5000 300)" ${SEED:+--seed "$SEED"} --trouble "$lib/trouble" \
		--device "source=$(nullb_create size=160)" --device "dest=$(nullb_create size=160 discard=1)" \
		--device meta=/dev/mapper/meta || status=$?
	echo 0 > /sys/kernel/rcu_expedited
	dmesg -n "$level"
	# The tool has read all of the log, of which little is left; for the runner, it begins here.
	echo "$mark" > /dev/kmsg
	assert_eq "$status" 0 "exit code of dmsc-fuzz"
}
