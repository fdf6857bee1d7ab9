#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# cow.sh DMSC_COW: what it writes, number by number.
set -euo pipefail
cow=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# numbers SECTOR COUNT SIZE
numbers()
{
	od -An -v -tu"$3" -w$(($2 * $3)) -j $(($1 * 512)) -N $(($2 * $3)) "$dir/cow" | xargs
}

: > "$dir/cow"
# Chunks of one sector: 32 exceptions in an area, the second one at chunk 34.
"$cow" "$dir/cow" --chunk 1 --exceptions 33 --stride 3
[[ $(numbers 0 4 4) == '1883336275 1 1 1' ]] || fail "header: $(numbers 0 4 4)"
[[ $(numbers 1 4 8) == '0 2 69 3' ]] || fail "first exceptions: $(numbers 1 4 8)"
[[ $(numbers 34 4 8) =~ ^[0-9]+\ 35\ 0\ 0$ ]] || fail "second area: $(numbers 34 4 8)"
olds=$( (numbers 1 64 8; numbers 34 2 8) | tr ' ' '\n' | awk 'NR % 2' | sort -n | xargs)
[[ $olds == "$(seq -s ' ' 0 3 96)" ]] || fail "chunks of the origin: $olds"

# A full area is followed by an empty one.
: > "$dir/cow"
"$cow" "$dir/cow" --chunk 1 --exceptions 32
[[ $(numbers 34 4 8) == '0 0 0 0' ]] || fail "no end: $(numbers 34 4 8)"

! "$cow" "$dir/cow" --chunk 3 --exceptions 1 2> "$dir/err" || fail "it takes any size of chunks"
grep -q 'power of two' "$dir/err" || fail "no message"
echo "cow: ok"
