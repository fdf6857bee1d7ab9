#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# sparse finds nothing in the modules. C=2 checks what is compiled already as well.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

log=$out/static/sparse.log
mkdir -p "$out/static"
make KVER="$kver" O="$out/static" C=2 CF=-D__CHECK_ENDIAN__ module test-modules 2>&1 | tee "$log"
grep -q CHECK "$log" || fail "sparse did not run"
! grep -E ': (warning|error):' "$log" || fail "sparse has findings"
