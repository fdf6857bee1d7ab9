#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# checkpatch --strict has nothing to say about the C sources. It comes from linux-source, unpacked once.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

archive=$(printf '%s\n' /usr/src/linux-source-*.tar.xz | sort -V | tail -n 1)
[[ -r $archive ]] || fail "no linux-source package"
name=$(basename "$archive" .tar.xz)
dir=$cache/checkpatch/$name-$(stat -c %Y-%s "$archive")
if [[ ! -x $dir/checkpatch.pl ]]; then
	rm -rf "$cache/checkpatch"
	mkdir -p "$dir.tmp"
	tar -C "$dir.tmp" --strip-components=2 -xf "$archive" \
		"$name"/scripts/{checkpatch.pl,spelling.txt,const_structs.checkpatch}
	mv "$dir.tmp" "$dir"
fi
mapfile -t files < <(sources '*.c' '*.h' ':!tools' ':!tests/host')
# LINUX_VERSION_CODE, CONSTANT_COMPARISON: what compat.h is for; KERNEL_VERSION() on the right is taken for a constant
# on the left. MACRO_ARG_REUSE: the name of a module parameter is no expression.
perl "$dir/checkpatch.pl" --no-tree --strict --terse --max-line-length=100 --show-types --no-summary \
	--ignore LINUX_VERSION_CODE,CONSTANT_COMPARISON,MACRO_ARG_REUSE -f "${files[@]}"
