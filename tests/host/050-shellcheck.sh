#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

mapfile -t files < <(scripts)
# What each is checked together with: those that scripts source.
mapfile -t sourced < <(sed -n 's/^[[:space:]]*# shellcheck source=//p' "${files[@]}" | grep -vxF /dev/null | sort -u)
settings=$(shellcheck --version; cat .shellcheckrc tests/guest/.shellcheckrc "${sourced[@]}")

check()
{
	passed_before shellcheck "$settings" "$1" && return
	shellcheck "$1"
	passed_now
}

in_parallel check "${files[@]}"
for file in "${files[@]}"; do
	bash -n "$file"
	# Those that are run, not those that are sourced.
	[[ ! -x $file ]] || grep -qE '^set -e?uo pipefail' "$file" || fail "$file: no set -euo pipefail"
	awk -v f="$file" 'length > 120 { print f ":" FNR ": longer than 120 characters"; bad = 1 } END { exit bad }' "$file"
done
