#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

check=(cppcheck --quiet --error-exitcode=1 --inline-suppr --suppress=missingInclude)
# Of the kernel's headers it sees only tests/host/cppcheck.h: leave out what it guesses.
mapfile -t files < <(sources '*.c' ':!tools' ':!probes')
# It need not try what kernels may have one by one.
answers=()
for file in probes/*.c; do
	answers+=("-UDM_SCALED_HAVE_$(basename "$file" .c | tr a-z- A-Z_)")
done
"${check[@]}" --enable=performance,portability --suppress=unknownMacro --suppress=nullPointer \
	--suppress=uninitvar --suppress=arithOperationsOnVoidPointer \
	--std=c11 -I . --include=tests/host/cppcheck.h "${answers[@]}" "${files[@]}"
mapfile -t files < <(sources '*.cpp')
"${check[@]}" --enable=warning,performance,portability --std=c++20 "${files[@]}"
