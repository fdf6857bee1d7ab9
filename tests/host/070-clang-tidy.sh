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
settings=$(clang-tidy --version; cat .clang-tidy tools/.clang-tidy 2>/dev/null || true)

check()
{
	local file=$1 key

	key=$( (
		echo "$settings"
		[[ $file == tools/* ]] || cat tests/bench/pacer/.clang-tidy
		g++ -std=c++20 -E "$file"
	) | sha256sum | cut -d" " -f1)
	[[ -e $passed/$key ]] && return
	clang-tidy --quiet --warnings-as-errors='*' "$file" -- -std=c++20
	touch "$passed/$key"
}

mapfile -t files < <(sources '*.cpp')
in_parallel check "${files[@]}"
