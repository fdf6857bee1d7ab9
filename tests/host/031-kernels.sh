#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The modules and the unit tests compile without a warning at W=1 for each kernel whose headers are in the cache;
# those of 6.12 and 7.3 are fetched if there are none. The probes' answers about 6.1, 6.12 and 7.3 are right, and a
# kernel or a compiler that they cannot tell anything about is refused. 030 compiles for the kernel of the other tests,
# 170 for PREEMPT_RT and 32 bits. The newest kernel of testing and sid is tried, too; what comes of it is told, and no
# failure.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

# With delay points, so that all files are compiled.
export DM_SCALED_DELAYS=1
mkdir -p "$out/static" "$cache/headers"

# What each of those kernels has; it has none of the others.
declare -A has=(
	[6.1]='BARE_NAMESPACE BDEV_ZONED_MODEL BD_READ_ONLY CRC32C_LE DISCARD_MISALIGNED TIMER_DELETE_SYNC ZONE_MGMT_GFP'
	[6.12]='ALLOC_DISK_LIMITS BARE_NAMESPACE BATCH_IS_ERROR BDEV_FILE BLK_MODE_T CRC32C_LE LINUX_UNALIGNED MAX_USER_DISCARD
		MODULE_MEM PCPU_ALLOC_NOPROF SHRINKER_ALLOC SYSTEM_PERCPU_WQ TIMER_DELETE_SYNC WQ_PERCPU'
	[7.3]='ALLOC_DISK_LIMITS BATCH_IS_ERROR BDEV_FILE BLK_MODE_T END_IO_BATCH HRTIMER_SETUP LINUX_UNALIGNED MAP_KERN_RQ
		MAX_USER_DISCARD MODULE_MEM PCPU_ALLOC_NOPROF SHRINKER_ALLOC SYSTEM_PERCPU_WQ TIMER_DELETE_SYNC WQ_PERCPU'
)

# check_answers KVER
check_answers()
{
	local series answers=$out/static/$1/module/compat-probes.h

	series=$(cut -d. -f1,2 <<< "$1")
	[[ ${has[$series]:-} ]] || return 0
	diff <(tr -s ' \t' '\n' <<< "${has[$series]}" | sort) \
		<(sed -n 's/^#define DM_SCALED_HAVE_\(.*\) 1$/\1/p' "$answers" | sort) ||
		fail "the probes are wrong about $1: < what it has, > what they say"
	for file in probes/*.c; do
		case $file in
		probes/control-*|probes/need-*) continue ;;
		esac
		grep -qx "#define DM_SCALED_HAVE_$(basename "$file" .c | tr a-z- A-Z_) [01]" "$answers" ||
			fail "$answers has no answer to $file"
	done
}

# compile KVER
compile()
{
	local log=$out/static/$1.log

	echo "# $1"
	make KVER="$1" O="$out/static" W=1 KCFLAGS=-Werror module test-modules 2>&1 | tee "$log"
	# Debian's kernels have no KUnit: no module can be linked, but all can be compiled.
	make -C "$(kernel_headers "$1")" M="$out/static/$1/module/tests/kunit" W=1 CONFIG_KUNIT=m \
		KCFLAGS='-Werror -DCONFIG_KUNIT_MODULE' dm-scaled-kunit.o 2>&1 | tee -a "$log"
	! grep -v '^warning: dm-scaled: Linux .* is newer than' "$log" | grep -iE '(^|[: ])(warning|error):' ||
		fail "there are warnings for $1"
	check_answers "$1"
}

# header VERSION PATCHLEVEL RELEASE: of the answers in $answers
header()
{
	sh probes/header.sh probes "$answers" "$@" "${names[@]}" > "$answers/h" 2> "$answers/err"
}

# refuses TEXT VERSION PATCHLEVEL: probes/header.sh fails and says so, for answers in $answers
refuses()
{
	! header "$2" "$3" 1.2.3-test ||
		fail "not refused: $1"
	grep -qF -e "$1" "$answers/err" || fail "no '$1': $(< "$answers/err")"
}

check_header()
{
	local answers file names

	answers=$(mktemp -d)
	mapfile -t names < <(basename -s .c probes/*.c)
	for file in "${names[@]}"; do
		echo 1 > "$answers/$file.probe"
	done
	refuses "takes what is wrong (control-fail-name)" 7 3
	for file in probes/control-fail-*.c; do
		echo 0 > "$answers/$(basename "$file" .c).probe"
	done
	header 7 3 7.3.0-test
	[[ ! -s $answers/err ]] || fail "of a known kernel it says: $(< "$answers/err")"
	header 7 4 7.4.0-test
	grep -q '^warning: dm-scaled: Linux 7.4.0-test is newer than 7.3' "$answers/err" || fail "no warning for 7.4"
	: > "$answers/crc32c-le.probe"
	refuses "$answers/crc32c-le.probe holds neither 0 nor 1" 6 1
	echo 0 > "$answers/crc32c-le.probe"
	echo 0 > "$answers/need-opf-type.probe"
	refuses "- a type for the operation and flags of a bio (Linux 6.0): see $answers/need-opf-type.log" 5 14
	echo 0 > "$answers/control-pass.probe"
	refuses "nothing compiles with the headers of Linux 1.2.3-test: see $answers/control-pass.log" 6 1
	rm -r "$answers"
}

# Through Kbuild: a compiler that takes nothing, headers that cannot be compiled, a compiler that is killed.
check_broken()
{
	local dir=$out/static-broken log=$out/static/broken.log text

	mkdir -p "$out/static"
	cat > "$out/static/killed-gcc" <<-'END'
		#!/bin/sh
		case "$*" in
		*wq-percpu*) echo "gcc: fatal error: Killed signal terminated program cc1" >&2; exit 1 ;;
		esac
		exec gcc "$@"
	END
	chmod +x "$out/static/killed-gcc"
	echo "#error broken" > "$out/static/broken.h"
	for text in "KCFLAGS=-fno-such-option has failed (exit code 1) instead of telling" \
		"KCFLAGS=-include$out/static/broken.h nothing compiles with the headers of Linux" \
		"CC=$out/static/killed-gcc has failed (exit code 1) instead of telling"; do
		rm -rf "$dir"
		! make KVER="$kver" O="$dir" "${text%% *}" module > "$log" 2>&1 || fail "built with ${text%% *}"
		grep -qF "${text#* }" "$log" || fail "no '${text#* }': $log"
	done
	# That was no answer: it is asked again.
	[[ ! -e $dir/$kver/module/probes/wq-percpu.probe ]] || fail "a compiler that was killed has answered"
	rm -rf "$dir"
}

# Lines that begin so are shown by tests/check.
note()
{
	echo "note: $*"
}

try_next()
{
	local version log=$out/static/next.log warnings

	if ! version=$(tests/vm/fetch-headers --next 2> "$log"); then
		note "no kernel of testing or sid was tried: $(tail -n 1 "$log")"
	elif make KVER="$version" O="$out/static" W=1 module test-modules > "$log" 2>&1; then
		warnings=$(grep -ciE '(^|[: ])warning:' "$log") || true
		note "the newest kernel of testing and sid, $version: compiles, $warnings warnings"
	else
		note "the newest kernel of testing and sid, $version: does not compile: $(grep -m 1 -E 'error|needs' "$log")"
	fi
}

check_header
check_broken
make KVER="$kver" O="$out/static" W=1 KCFLAGS=-Werror module > /dev/null
check_answers "$kver"
tests/vm/fetch-headers 6.12 7.3
mapfile -t kvers < <(find "$cache/headers" -mindepth 1 -maxdepth 1 ! -name '*.tmp' -printf '%f\n' |
	grep -v -e '-rt-' -e '-686-pae$' | sort -V)
for version in "${kvers[@]}"; do
	compile "$version"
done
echo "compiled for: ${kvers[*]}"
try_next
