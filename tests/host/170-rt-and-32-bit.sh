#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The module compiles without a warning, and every symbol that it uses exists, for a kernel with PREEMPT_RT and for a
# 32-bit kernel, which has no function for a 64-bit division. Headers of both come from Debian, into the cache.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

# Sets i386 to the newest 32-bit kernel whose headers are in the cache, else to the distribution's.
find_i386()
{
	local dir=$cache/apt-i386 options

	i386=$(cd "$cache/headers" && printf '%s\n' *-686-pae | sort -V | tail -n 1)
	[[ $i386 == '*-686-pae' ]] || return 0
	mkdir -p "$dir"/{lists,cache/archives}/partial
	# Lists of its own: nothing on this machine becomes multiarch.
	options=(
		-o APT::Architecture=i386 -o APT::Architectures::=i386 -o APT::Sandbox::User=root
		-o Acquire::Languages=none -o Dir::State::lists="$dir/lists" -o Dir::State::status=/dev/null
		-o Dir::Cache="$dir/cache"
	)
	# A list that cannot be had just now leaves older versions.
	apt-get -qq "${options[@]}" update || true
	i386=$(apt-cache "${options[@]}" show linux-headers-686-pae |
		sed -n 's/^Depends: linux-headers-\([^ ,]*\).*/\1/p' | head -n 1)
	[[ $i386 ]] || fail "no package linux-headers-686-pae"
	fetch_headers "$i386" "${options[@]}"
	rm -rf "$dir"
}

# compile KVER ARGUMENT...
compile()
{
	echo "# $1"
	make KVER="$1" O="$out/static" W=1 KCFLAGS=-Werror "${@:2}" 2>&1 | tee "$out/static/$1.log"
	! grep -iE '^(warning|error)' "$out/static/$1.log" || fail "there are warnings for $1"
}

mkdir -p "$out/static" "$cache/headers"
rt=$(rt_kver "$kver")
fetch_headers "$rt"
find_i386
compile "$rt" module test-modules
compile "$i386" ARCH=i386 module
