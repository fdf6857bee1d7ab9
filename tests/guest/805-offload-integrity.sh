# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/offload.sh
. "$lib/offload.sh"
DESCRIPTION="data under random load on a disk that copies, with offload on, and going on and off"
TIMEOUT=300
VM="--cpus 4 --mem 2048 --nvme @tests/guest/offload.disks"

flip()
{
	trap 'exit 0' TERM
	while :; do
		for state in off auto; do
			module_param offload $state
			sleep 0.$((RANDOM % 4))
			echo x >> /tmp/flips
		done
	done
}

run_test()
{
	local disk pid

	nvme_start
	disk=$(nvme_disk load)
	nvme_keep "$disk"
	integrity_start 16
	echo "### on"
	integrity_under_load "$(long_or 100 "$(slow_or 3 6)")" 8
	offload_line keep
	assert_le 100 "$(offload keep commands)" "commands"
	assert_eq "$(offload keep failed)" 0 "failures"

	echo "### on and off"
	: > /tmp/flips
	flip & pid=$!
	integrity_under_load "$(long_or 100 "$(slow_or 4 8)")" 16
	kill "$pid"
	wait "$pid" || true
	module_param offload auto
	offload_line keep
	assert_le 4 "$(wc -l < /tmp/flips)" "how often it was switched"
	assert_le 1 "$(offload keep off)" "copies while it was off"
}
