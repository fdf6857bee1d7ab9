#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# paced-guest.sh CONFIG...: the part of paced.sh that runs in the simulated machine.
set -euo pipefail
# shellcheck source=tests/bench/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

bench_start
# Where things are, to read the profile with.
cp /proc/kallsyms /results/kallsyms.txt
grep -E ' [tTwW] .*\[(null_blk|dm_mod|dm_snapshot|dm_bufio|dm_scaled)\]' /proc/kallsyms
label=10
for config in "$@"; do
	setup_config "$config"
	stats=nullb0
	case $config in
	linear) stats='nullb0 dm-0' ;;
	stock|ours) stats='nullb0 nullb1 dm-0 dm-1' ;;
	*-snap) stats='nullb1 nullb0 dm-0' ;;
	esac
	"$opt/mark" 1 1
	# A list of words.
	# shellcheck disable=SC2086
	run_load "$cpus" /tmp/fio.json --time_based --runtime="${RUNTIME:-1600}ms" --ramp_time=300ms \
		${FIO_ARGS:-} 2> /tmp/fio.err &
	# One second of it, beginning some time after the first I/O, counted exactly.
	# shellcheck disable=SC2086
	"$opt/meas" "$label" 400 "${WINDOW:-1000}" $stats > /tmp/meas.txt
	wait $!
	"$opt/mark" 2 2
	echo "TEST $config $label"
	cat /tmp/meas.txt
	echo "FIOJSON $label"
	cat /tmp/fio.json
	echo ENDJSON
	cat /tmp/fio.err
	dmsetup status
	teardown_config
	label=$((label + 4))
done
