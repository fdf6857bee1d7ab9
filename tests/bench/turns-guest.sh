# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For measurements in the VM in which stock and ours take turns. They leave results.csv, a line for each
# measurement: what,round,target,value,unit.

# in_turns ROUNDS COMMAND...: with "stock" and then "ours" behind it, in each round
in_turns()
{
	local rounds=$1

	shift
	for ((round = 1; round <= rounds; round++)); do
		"$@" stock
		"$@" ours
	done
}

# result WHAT TARGET VALUE UNIT: no commas in any of them
result()
{
	echo "$1,$round,$2,$3,$4" | tee -a /results/results.csv
}

# elapsed BEGIN: seconds since then, as in EPOCHREALTIME
elapsed()
{
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.4f", b - a }'
}

# is_merged NAME: no exception is left: what is in use is metadata. Needs lib.sh.
is_merged()
{
	local usage

	usage=$(snap_usage "$1")
	[[ ${usage%%/*} == "${usage##* }" ]]
}
