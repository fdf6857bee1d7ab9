# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="data under random load while CPUs go off and come back"
TIMEOUT=300
SOAK=1

hotplug()
{
	local cpu

	trap 'exit 0' TERM
	while :; do
		for cpu in /sys/devices/system/cpu/cpu[1-9]*; do
			cpu=${cpu##*cpu}
			cpu_online "$cpu" 0
			sleep 0.1
			cpu_online "$((RANDOM % 2 ? cpu : 1 + RANDOM % ($1 - 1)))" 1
			sleep 0.1
		done
		echo x >> /tmp/hotplug
	done
}

run_test()
{
	local pid

	integrity_start "$(slow_or 16 64)"
	: > /tmp/hotplug
	hotplug "$(nproc)" & pid=$!
	integrity_under_load "$(long_or 100 "$(slow_or 8 12)")" 8 128
	kill -0 "$pid" || fail "the hotplug loop has ended"
	kill "$pid"
	wait "$pid" || true
	assert_le 3 "$(wc -l < /tmp/hotplug)" "rounds of hotplug"
}
