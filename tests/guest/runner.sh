#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# runner.sh [NAME...]: runs tests in the VM, all or those named (NNN, NNN-name or name), and prints TAP.
#
# A test is a file NNN-name.sh that sets DESCRIPTION and defines run_test(), and may define requires(), which
# calls skip, and set TIMEOUT, in seconds, of which there are more on slow kernels. One that has many cases of its own
# appends "ok NAME" or "not ok NAME: why" for each to $cases, and they are printed as results, too. It begins with the
# module freshly loaded and passes when run_test returned 0, the kernel had nothing to complain of, all devices could be
# removed and the module unloaded.
# SOAK=SECONDS runs tests drawn at random for so long. SEED=NUMBER decides what is drawn, and what random tests do.
# KERNEL=NAME is how the kernel is called in results.
# Exit code: 0 all passed, 1 some failed, 3 ended early, because the VM is no longer fit for more.
set -uo pipefail
lib=$(cd "$(dirname "$0")" && pwd)
export lib
# shellcheck source=tests/guest/lib.sh
. "$lib/lib.sh"

select_tests()
{
	local name file

	if (($# == 0)); then
		ls "$lib"/[0-9][0-9][0-9]-*.sh
		return
	fi
	for name in "$@"; do
		for file in "$lib/$name.sh" "$lib/$name"-*.sh "$lib"/[0-9][0-9][0-9]-"$name.sh"; do
			[[ -e $file ]] && echo "$file" && continue 2
		done
		echo "no test $name" >&2
		return 1
	done
}

# Runs in a shell of its own.
run_one()
{
	# shellcheck disable=SC2016
	setsid bash -c '
		set -euo pipefail
		RANDOM=${SEED:-$RANDOM}
		. "$lib/lib.sh"
		. "$1"
		trap "echo \"FAILED at \${BASH_SOURCE[0]##*/}:\$LINENO: \$BASH_COMMAND\" >&2" ERR
		set -E
		if declare -F requires > /dev/null; then
			requires
		fi
		run_test
	' test "$1" > "$2" 2>&1 < /dev/null &
	pid=$!
}

# one FILE: runs a test and prints its result; sets status if it fails. Ends all if the VM is no longer fit.
one()
{
	local file=$1 name log limit begin end elapsed why='' bail='' code trouble line

	number=$((number + 1))
	name=$(basename "$file" .sh)
	log=/results/logs/$name.log
	limit=$(sed -n 's/^TIMEOUT=\([0-9]*\).*/\1/p' "$file")
	limit=$((${limit:-300} * $(slow_or 4 1)))
	rm -f /run/dm-scaled/skip "$cases"
	echo "# $name"
	log_mark
	echo "dm-scaled-test: begin $name" > /dev/kmsg
	begin=$EPOCHREALTIME

	if ! load_module > "$log" 2>&1; then
		why="module not loaded"
	else
		run_one "$file" "$log"
		end=$((SECONDS + limit))
		while kill -0 "$pid" 2>/dev/null && ((SECONDS < end)); do
			sleep 0.2
		done
		if kill -0 "$pid" 2>/dev/null; then
			why="no end after $limit s"
			echo w > /proc/sysrq-trigger
			sleep 1
			kill -TERM -- "-$pid"
			sleep 2
			kill -KILL -- "-$pid" 2>/dev/null
			sleep 1
			if kill -0 "$pid" 2>/dev/null; then
				bail="$name cannot be killed"
			fi
		fi
		if [[ ! $bail ]]; then
			wait "$pid"
			code=$?
			[[ $why ]] || ((code == 0 || code == 77)) || why="exit code $code"
			# What the test left running holds devices.
			pkill -KILL -s "$pid" 2>/dev/null && sleep 0.2
			if ! cleanup_devices >> "$log" 2>&1; then
				why=${why:-devices remain}
				bail="devices of $name remain"
			elif ! unload_module >> "$log" 2>&1; then
				why=${why:-module not unloaded}
				bail="$name left the module in use"
			fi
			uninstall_module >> "$log" 2>&1
		fi
	fi
	log_since > "$log.dmesg"
	if trouble=$(log_trouble < "$log.dmesg"); then
		why="${why:+$why; }kernel log: $(head -n 1 <<< "$trouble")"
	fi

	# Cases that failed fail the test as well, whatever it says itself.
	if [[ -e $cases ]]; then
		sed -nE "s/^(not )?ok /&$number $name: /p" "$cases" | tee -a "$tap"
		if ! grep -q '^ok ' "$cases" || grep -q '^not ok ' "$cases"; then
			why=${why:-cases failed}
		fi
	fi
	elapsed=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')
	[[ ${KERNEL:-$variant} == stock ]] || elapsed+=", ${KERNEL:-$variant} kernel"
	if [[ $why ]]; then
		line="not ok $number $name ($elapsed): $why"
		status=1
	elif [[ -e /run/dm-scaled/skip ]]; then
		line="ok $number $name # SKIP $(< /run/dm-scaled/skip)"
	else
		line="ok $number $name ($elapsed)"
	fi
	echo "$line" | tee -a "$tap"
	if [[ $why ]]; then
		tail -n 60 "$log" | sed 's/^/#   /'
		echo "#   kernel log:"
		tail -n 60 "$log.dmesg" | sed 's/^/#   /'
	fi
	if [[ $bail ]]; then
		echo "Bail out! $bail" | tee -a "$tap"
		exit 3
	fi
}

list=$(select_tests "$@") || exit 2
mapfile -t files <<< "$list"
mkdir -p /results/logs /run/dm-scaled
[[ -p $sleep_fifo ]] || mkfifo "$sleep_fifo"
export cases=/run/dm-scaled/cases
tap=/results/guest.tap
number=0
status=0
: > "$tap"
if [[ ${SOAK:-} ]]; then
	SEED=${SEED:-$RANDOM}
	RANDOM=$SEED
	echo "# soak of $SOAK s, SEED=$SEED"
	export RANDOM_DELAYS=1
	while ((SECONDS < SOAK)); do
		file=${files[RANDOM % ${#files[@]}]}
		# Also for the test alone.
		export SEED=$RANDOM
		echo "# SEED=$SEED"
		one "$file"
	done
else
	echo "1..${#files[@]}" | tee "$tap"
	for file in "${files[@]}"; do
		one "$file"
	done
fi
exit "$status"
