#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# checkpatch --strict has nothing to say about the C sources.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(kernel_scripts)
mapfile -t files < <(sources '*.c' '*.h' ':!tools' ':!tests/host' ':!tests/bench')
# LINUX_VERSION_CODE, CONSTANT_COMPARISON: what compat.h is for; KERNEL_VERSION() on the right is taken for a constant
# on the left. MACRO_ARG_REUSE: the name of a module parameter is no expression.
checkpatch=(perl "$dir/checkpatch.pl" --no-tree --strict --terse --max-line-length=100 --show-types --no-summary
	--ignore "LINUX_VERSION_CODE,CONSTANT_COMPARISON,MACRO_ARG_REUSE")

check()
{
	passed_before checkpatch "${checkpatch[*]}" "$1" && return
	"${checkpatch[@]}" -f "$1"
	passed_now
}

in_parallel check "${files[@]}"
