#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# ask.sh PROBE RESULT DEPFILE COMPILER...: writes 1 to RESULT if PROBE compiles, and 0 if the compiler says what is
# wrong with it. A compiler that fails otherwise, because it was killed or the disk is full, has not answered: RESULT is
# removed, and the build stops.
set -eu
export LC_ALL=C

probe=$1 result=$2 depfile=$3
shift 3
object=${result%.probe}.o log=${result%.probe}.log

status=0
"$@" -c -o "$object" "$probe" 2> "$log" || status=$?
rm -f "$object"
if [ $status = 0 ]; then
	echo 1 > "$result"
elif grep -qE '^.+:[0-9]+:[0-9]+: (error: |fatal error: .*(No such file|not found))' "$log"; then
	echo 0 > "$result"
	# What it has read is not known.
	echo "$result: $probe" > "$depfile"
else
	rm -f "$result"
	cat "$log" >&2
	echo "dm-scaled: the compiler has failed (exit code $status) instead of telling what this kernel has: see $log" >&2
	exit 1
fi
