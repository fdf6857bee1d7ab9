# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="copies without a free page, and more of them than memory"
TIMEOUT=600
SELDOM="debug"
VM="--cpus 4 --mem 512"

requires()
{
	need_test_module dm-kcopyd-mq-test
}

# What the kernel may kill when there is no memory, in place of those who run the test.
protect()
{
	local pid=$BASHPID

	for _ in {1..40}; do
		(echo 1000 > /proc/self/oom_score_adj; exec sleep 1000) &
	done
	while ((pid > 1)); do
		echo -1000 > "/proc/$pid/oom_score_adj"
		pid=$(awk '/^PPid/ { print $2 }' "/proc/$pid/status")
	done
}

run_test()
{
	protect
	kcopyd_cases 'memory.*'
}
