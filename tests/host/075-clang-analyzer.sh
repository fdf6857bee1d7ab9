#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# clang's static analyzer and clang-tidy's checks for bug-prone code find nothing in the modules, which are read as
# Kbuild compiles them, with gcc's options left out that clang does not know.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

checks='-*,clang-analyzer-*,bugprone-*,readability-misleading-indentation'
# memcpy() and the like are called insecure; structures that are aligned to cache lines have padding; macros of
# paravirt.h begin with variables that are not set.
checks+=',-clang-analyzer-security.insecureAPI.*,-clang-analyzer-optin.performance.Padding'
checks+=',-clang-analyzer-core.uninitialized.Assign'
# Much of what kernel macros are made of, and taste.
checks+=',-bugprone-sizeof-expression,-bugprone-implicit-widening-of-multiplication-result'
checks+=',-bugprone-easily-swappable-parameters,-bugprone-assignment-in-if-condition,-bugprone-macro-parentheses'
checks+=',-bugprone-narrowing-conversions,-bugprone-reserved-identifier,-bugprone-branch-clone'

# FILE CHECK TEXT: what it does not understand.
accepted=(
	# A copy has at least one destination.
	"dm-kcopyd-mq.c core.UndefinedBinaryOperatorResult shifting by '4294967295'"
	# Whoever parses the parameters sets the engine, or there is an error.
	"kcopyd-test-main.c core.NullDereference 'engine'"
	# What it measures is static.
	"dm-table-bench.c suspicious-include '.c' extension"
)

modules=$out/analyzer/$kver/module
mkdir -p "$out/analyzer"
# With delay points, whose file is compiled then only.
make KVER="$kver" O="$out/analyzer" DM_SCALED_DELAYS=1 W=1 KCFLAGS=-Werror module test-modules \
	> "$out/analyzer/build.log" 2>&1 ||
	fail "does not compile, see $out/analyzer/build.log"
cd "$(kernel_headers "$kver")"

passed=$cache/clang-analyzer
mkdir -p "$passed"
find "$passed" -type f -mtime +60 -delete
settings="$(clang-tidy --version) $checks ${accepted[*]}"

# options FILE: those of its compilation that say how it is to be read, one a line
options()
{
	local words i

	read -ra words < <(sed -n '1s/^[^=]*:= *//; s/;.*//; 1p' "$(dirname "$1")/.$(basename "$1" .c).o.cmd")
	for ((i = 1; i < ${#words[@]}; i++)); do
		case ${words[i]} in
		-include) printf '%s\n' -include "${words[i + 1]}" ;;
		-[ID]*|-std=*|-nostdinc|-m64|-fshort-wchar|-fno-strict-aliasing) echo "${words[i]//\'/}" ;;
		esac
	done
}

check()
{
	local file=$1 flags key log entry name id text

	mapfile -t flags < <(options "$file")
	((${#flags[@]} > 20)) || { echo "$file: not as Kbuild compiles it"; return 1; }
	# Wherever it has been checked out.
	key=$( (echo "$settings"; clang "${flags[@]}" -w -E "$file" | sed "s,$modules,,g") | sha256sum | cut -d' ' -f1)
	[[ ! -e $passed/$key ]] || return 0
	log=$(clang-tidy --quiet --checks="$checks" "$file" -- "${flags[@]}" -w 2>/dev/null) || {
		echo "$log"
		return 1
	}
	log=$(grep -E '(warning|error):' <<< "$log") || true
	for entry in "${accepted[@]}"; do
		read -r name id text <<< "$entry"
		[[ ${file##*/} != "$name" ]] || log=$(grep -vE "$text.*$id" <<< "$log") || true
	done
	if [[ $log ]]; then
		echo "$log"
		return 1
	fi
	touch "$passed/$key"
}

# The module for faults is built for kernels with fault injection only.
mapfile -t files < <(printf '%s\n' "$modules"/*.c "$modules"/tests/modules/*.c |
	grep -v '\.mod\.c$\|/dm-scaled-fault\.c$')
in_parallel check "${files[@]}"
