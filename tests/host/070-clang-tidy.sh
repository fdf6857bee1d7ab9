#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

# What passed once need not be looked at again: a file is known by what the preprocessor makes of it, the checks and
# the version. The names are kept outside the checkout.
passed=$cache/clang-tidy
mkdir -p "$passed"
find "$passed" -type f -mtime +60 -delete
# The static analyzer would spend most of the time within the standard library.
analyzer=(-Xclang -analyzer-config -Xclang 'c++-stdlib-inlining=false,mode=shallow')
settings=$(echo "${analyzer[*]}"; clang-tidy --version; cat tools/.clang-tidy)

check()
{
	local file=$1 key

	key=$( (echo "$settings"; g++ -std=c++20 -E "$file") | sha256sum | cut -d' ' -f1)
	[[ -e $passed/$key ]] && return
	clang-tidy --quiet --warnings-as-errors='*' "$file" -- -std=c++20 "${analyzer[@]}"
	touch "$passed/$key"
}

mapfile -t files < <(sources '*.cpp')
in_parallel check "${files[@]}"
