#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Each file says its licence in its first line, or second after #!.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

bad=0
while read -r file; do
	case $file in
	# The licence itself; formats without comments, or read by people.
	COPYING|VERSION|packaging/debian/copyright|*.md|*.json|.gitignore|tests/guest/trouble) continue ;;
	esac
	line=1
	[[ $(head -c 2 "$file") != '#!' ]] || line=2
	if ! sed -n "${line}p" "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-only'; then
		echo "$file:$line: no SPDX line"
		bad=1
	fi
done < <(sources)
exit "$bad"
