#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

mapfile -t files < <(scripts)
shellcheck "${files[@]}"
for file in "${files[@]}"; do
	bash -n "$file"
	# Those that are run, not those that are sourced.
	[[ ! -x $file ]] || grep -qE '^set -e?uo pipefail' "$file" || fail "$file: no set -euo pipefail"
	awk -v f="$file" 'length > 120 { print f ":" FNR ": longer than 120 characters"; bad = 1 } END { exit bad }' "$file"
done
