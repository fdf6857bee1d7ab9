# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="damaged COW devices are opened as documented, or refused and left alone"
TIMEOUT=1200
KERNELS=stock

requires()
{
	is_ours || skip "the oracle knows our targets"
}

run_test()
{
	local level status=0

	level=$(cut -f 1 /proc/sys/kernel/printk)
	dmesg -n 1
	echo 1 > /sys/kernel/rcu_expedited
	dm_create origin "0 1024 linear $(nullb_create size=1) 0"
	dm_create cow "0 512 linear $(nullb_create size=1) 0"
	dmsc-fuzz --images "$(long_or 5000 "$(slow_or 100 250)")" ${SEED:+--seed "$SEED"} \
		--device origin=/dev/mapper/origin --device cow=/dev/mapper/cow || status=$?
	echo 0 > /sys/kernel/rcu_expedited
	dmesg -n "$level"
	assert_eq "$status" 0 "exit code of dmsc-fuzz"
}
