# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="malformed table lines: each refused, with a message"
KERNELS=stock

# WHO | TABLE | REASON. WHO: "all", or "ours" for what stock accepts. O: origin device, C: COW device, B: a device with
# 4096-byte blocks, L: sectors of O, T: snapshot target, S: origin target. REASON: what our message must match;
# "core": device-mapper itself refuses the line.
lines()
{
	cat <<-'EOF'
	all|0 L S|[Aa]rgument
	all|0 L S O O|[Aa]rgument
	all|0 L S O 0|[Aa]rgument
	all|0 L S O C N 8|[Aa]rgument
	all|0 L S /dev/no-such-device|[Oo]rigin
	all|0 L S no-such-device|[Oo]rigin
	all|0 L S 240:77|[Oo]rigin
	all|0 L S 999999:1|[Oo]rigin
	all|0 L S :|[Oo]rigin
	all|0 L S 1:|[Oo]rigin
	all|0 L S /dev|[Oo]rigin
	all|0 L S /dev/null|[Oo]rigin
	all|0 L S /proc/version|[Oo]rigin
	all|0 L S /|[Oo]rigin
	all|8 L S O|core
	all|0 0 S O|core
	all|0 99999999999 S O|core
	all|0 L Sx O|core
	all|0 L T|[Aa]rgument
	all|0 L T O|[Aa]rgument
	all|0 L T O C|[Aa]rgument
	all|0 L T O C N|[Aa]rgument
	all|0 L T /dev/no-such-device C N 8|[Oo]rigin
	all|0 L T 240:77 C N 8|[Oo]rigin
	all|0 L T /dev/null C N 8|[Oo]rigin
	all|0 L T /dev C N 8|[Oo]rigin
	all|0 L T O /dev/no-such-device N 8|COW
	all|0 L T O 240:77 N 8|COW
	all|0 L T O /dev/null N 8|COW
	all|0 L T O /dev N 8|COW
	all|0 L T O O N 8|COW.*origin
	all|0 L T /dev/no-such-device /dev/no-such-device N 8|[Oo]rigin
	all|0 L T O C X 8|[Ss]tore
	all|0 L T O C 8 N|[Ss]tore
	all|0 L T O C - 8|[Ss]tore
	all|0 L T O C 0 8|[Ss]tore
	all|0 L T O C M 8|[Ss]tore
	all|0 L T O C transient 8|[Ss]tore
	ours|0 L T O C NO 8|[Ss]tore
	ours|0 L T O C N8 8|[Ss]tore
	ours|0 L T O C nn 8|[Ss]tore
	all|0 L T O C PX 8|[Ss]tore
	ours|0 L T O C POX 8|[Ss]tore
	all|0 L T O C persistent 8|[Ss]tore
	all|0 L T O C P -8|[Cc]hunk size
	all|0 L T O C P 24|[Cc]hunk size
	all|0 L T O C P 4194304|[Cc]hunk size
	all|0 L T O B P 4|[Bb]lock size
	ours|0 L T O C P 65536|two chunks
	all|0 L T O C P 8 1|[Ff]eature
	all|0 L T O C N 0|[Cc]hunk size
	all|0 L T O C N -8|[Cc]hunk size
	all|0 L T O C N 8k|[Cc]hunk size
	all|0 L T O C N k8|[Cc]hunk size
	all|0 L T O C N 8.0|[Cc]hunk size
	all|0 L T O C N 8,|[Cc]hunk size
	all|0 L T O C N 0x8|[Cc]hunk size
	all|0 L T O C N 1e3|[Cc]hunk size
	all|0 L T O C N --8|[Cc]hunk size
	all|0 L T O C N 3|[Cc]hunk size
	all|0 L T O C N 7|[Cc]hunk size
	all|0 L T O C N 9|[Cc]hunk size
	all|0 L T O C N 24|[Cc]hunk size
	all|0 L T O C N 1000|[Cc]hunk size
	all|0 L T O C N 65535|[Cc]hunk size
	all|0 L T O C N 4194304|[Cc]hunk size
	all|0 L T O C N 8388608|[Cc]hunk size
	all|0 L T O C N 1073741824|[Cc]hunk size
	all|0 L T O C N 2147483648|[Cc]hunk size
	all|0 L T O C N 4294967288|[Cc]hunk size
	all|0 L T O C N 4294967296|[Cc]hunk size
	all|0 L T O C N 4294967304|[Cc]hunk size
	all|0 L T O C N 18446744073709551624|[Cc]hunk size
	all|0 L T O C N 99999999999999999999999|[Cc]hunk size
	all|0 L T O B N 4|[Bb]lock size
	all|0 L T B C N 4|[Bb]lock size
	all|0 L T O B N 1|[Bb]lock size
	all|0 L T O C N discard_zeroes_cow|[Cc]hunk size
	all|0 L T O C N 8 x|[Ff]eature
	all|0 L T O C N 8 -1|[Ff]eature
	all|0 L T O C N 8 3 discard_zeroes_cow discard_zeroes_cow discard_zeroes_cow|[Ff]eature
	ours|0 L T O C N 8 4294967296|[Ff]eature
	ours|0 L T O C N 8 4294967297 discard_zeroes_cow|[Ff]eature
	ours|0 L T O C N 8 18446744073709551617 discard_zeroes_cow|[Ff]eature
	all|0 L T O C N 8 discard_zeroes_cow|[Ff]eature
	all|0 L T O C N 8 1|[Ff]eature
	all|0 L T O C N 8 2 discard_zeroes_cow|[Ff]eature
	all|0 L T O C N 8 1 discard|[Ff]eature
	all|0 L T O C N 8 1 discard_zeroes_cow_|[Ff]eature
	all|0 L T O C N 8 1 discard_zeroes_co|[Ff]eature
	all|0 L T O C N 8 1 discard_passdown_origin|discard_passdown_origin.*discard_zeroes_cow
	all|0 L T O C N 8 2 discard_passdown_origin discard_passdown_origin|discard_passdown_origin.*discard_zeroes_cow
	all|0 L T O C N 8 2 discard_zeroes_cow other|[Ff]eature
	all|0 L T O C N 8 2 other discard_zeroes_cow|[Ff]eature
	ours|0 L T O C N 8 1 discard_zeroes_cow more|[Aa]rgument
	ours|0 L T O C N 8 0 more|[Aa]rgument
	all|8 L T O C N 8|core
	all|0 0 T O C N 8|core
	all|0 99999999999 T O C N 8|core
	EOF
}

# refused TABLE REASON
refused()
{
	local table=$1 reason=$2 message

	log_mark
	assert_fails dmsetup create bad --table "$table"
	assert_fails dmsetup info bad
	is_ours || return 0
	[[ $reason != core ]] || return 0
	message=$(log_since | sed -n 's/.*device-mapper: table: [^ ]*: [^ ]*: \(.*\) (-E*[A-Z0-9]*).*/\1/p')
	assert_match "$message" "$reason" "message for: $table"
	[[ $message != "Unknown error" ]] || fail "no message for: $table"
}

run_test()
{
	local o c b len who table reason number=0

	o=$(nullb_create size=64)
	c=$(nullb_create size=32)
	b=$(nullb_create size=64 blocksize=4096)
	len=$(sectors "$o")

	while IFS='|' read -r who table reason; do
		is_ours || [[ $who == all ]] || continue
		number=$((number + 1))
		table=" $table "
		table=${table/ L / $len }
		table=${table/ T / $snapshot }
		table=${table/ S / $snapshot_origin }
		table=${table/ Sx / ${snapshot_origin}x }
		table=${table// O / $o }
		table=${table// O / $o }
		table=${table// C / $c }
		table=${table// B / $b }
		table=${table# }
		refused "${table% }" "$reason"
	done < <(lines)
	assert_le 60 "$number" "lines"
	echo "$number lines refused"
}
