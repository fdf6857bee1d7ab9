# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Tests that run dmsc-fuzz.

# fuzz_begin: so that all goes faster, as a refusal is two lines on a slow console, and tables wait for grace periods
fuzz_begin()
{
	fuzz_level=$(cut -f 1 /proc/sys/kernel/printk)
	fuzz_mark=$(dmesg | grep -o 'dm-scaled-test: mark-.*' | tail -n 1)
	dmesg -n 1
	echo 1 > /sys/kernel/rcu_expedited
}

# fuzz ARGUMENT...: its exit code is to be told to fuzz_end.
fuzz()
{
	dmsc-fuzz "$@" ${SEED:+--seed "$SEED"}
}

# fuzz_log_read: dmsc-fuzz has read all of the kernel's log, with --trouble, and little is left of that. For the runner,
# which looks for trouble as well, it begins here.
fuzz_log_read()
{
	echo "$fuzz_mark" > /dev/kmsg
}

# fuzz_end STATUS
fuzz_end()
{
	echo 0 > /sys/kernel/rcu_expedited
	dmesg -n "$fuzz_level"
	assert_eq "$1" 0 "exit code of dmsc-fuzz"
}
