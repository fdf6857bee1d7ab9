#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# replay.sh DMSC_REPLAY: replays a log that is written here byte by byte.
set -euo pipefail
replay=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
log=$dir/log target=$dir/target
: > "$log"

fail()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# number SIZE VALUE: little endian
number()
{
	local i

	for ((i = 0; i < $1; i++)); do
		# The escapes are the format.
		# shellcheck disable=SC2059
		printf "\\x$(printf %02x $(($2 >> 8 * i & 255)))"
	done
}

# block COMMAND...: a sector with its output and zeroes after it
block()
{
	"$@" | dd bs=512 count=1 conv=sync iflag=fullblock status=none >> "$log"
}

numbers()
{
	local n

	for n in "$@"; do
		number 8 "$n"
	done
}

# entry SECTOR SECTORS FLAGS [CHARACTER]
entry()
{
	block numbers "$1" "$2" "$3" 0
	[[ ! ${4:-} ]] || head -c $(($2 * 512)) /dev/zero | tr '\0' "$4" >> "$log"
}

super()
{
	numbers 0x6a736677736872 1 "$1"
	number 4 512
}

# A write, a flush, a write with FUA, a discard, a mark, a last write of two sectors.
block super 6
entry 0 1 0 a
entry 0 0 1
entry 1 1 2 b
entry 0 1 4
entry 0 0 8
entry 2 2 0 c
truncate -s 4096 "$target"

# shellcheck disable=SC2016
"$replay" --log "$log" --to "$target" -- \
	bash -c 'tr "\0" 0 < "$1" | cut -b 1,513,1025,1537 >> "$2"' look "$target" "$dir/seen" |
	grep -qx '5 entries, 3 moments, 0 failed' || fail "wrong number of moments"
diff "$dir/seen" - <<- EOF || fail "wrong contents"
	a000
	ab00
	0bcc
EOF

# With torn writes: what had been flushed is there, the rest may be.
truncate -s 0 "$target"
truncate -s 4096 "$target"
rm "$dir/seen"
for seed in 1 2 3 4 5 6 7 8; do
	# shellcheck disable=SC2016
	"$replay" --torn --seed "$seed" --log "$log" --to "$target" -- \
		bash -c 'tr "\0" 0 < "$1" | cut -b 1,513,1025,1537 >> "$2"; truncate -s 0 "$1"; truncate -s 4096 "$1"' \
		look "$target" "$dir/seen" > /dev/null
done
for seen in a0 ab; do
	grep -q "^$seen" "$dir/seen" || fail "nothing tears, or everything does"
done

# After a power cut at the end the last flush counts; what follows it has arrived, or not, or in part. But of the very
# last write perhaps not all is in the log; and another one is counted only.
entry 4 1 0 d
number 8 8 | dd of="$log" bs=8 seek=2 conv=notrunc status=none
truncate -s +512 "$log"
rm "$dir/seen"
for seed in 1 2 3 4 5 6 7 8; do
	truncate -s 0 "$target"
	truncate -s 4096 "$target"
	"$replay" --cut --seed "$seed" --log "$log" --to "$target" | grep -qx '5 entries, 3 durable' ||
		fail "wrong number of durable entries"
	! grep -q d "$target" || fail "a write that may not be whole has arrived"
	tr '\0' 0 < "$target" | cut -b 1,513,1025,1537 >> "$dir/seen"
done
! grep -vE '^[a0]b' "$dir/seen" || fail "what was flushed is not there"
for last in 0 c; do
	grep -q "$last\$" "$dir/seen" || fail "the last write always arrives, or never"
done

number 8 6 | dd of="$log" bs=8 seek=2 conv=notrunc status=none
! "$replay" --log "$log" --to "$target" -- false > "$dir/out" || fail "a command that fails was not noticed"
grep -q '3 failed' "$dir/out" || fail "failures are not counted"
! "$replay" --log "$target" --to "$target" -- true 2> "$dir/out" || fail "it replays a log onto itself"
grep -q 'are the same' "$dir/out" || fail "no message"
cp "$target" "$dir/other"
! "$replay" --log "$dir/other" --to "$target" -- true 2> "$dir/out" || fail "it takes anything for a log"
grep -q 'no log' "$dir/out" || fail "no message"
echo "replay: ok"
