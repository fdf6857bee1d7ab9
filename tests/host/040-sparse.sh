#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# sparse finds nothing in the modules: locks (also those of RCU) that are taken and not released, __rcu pointers that
# are used as others, and all else that it knows. C=2 checks what is compiled already as well.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

checks=(
	-D__CHECK_ENDIAN__ -Wsparse-all
	# What the kernel's own headers and macros do: READ_ONCE() of a bool, wait_event() in wait_event(), min(),
	# offsets in void *, struct bio inside other structures.
	-Wno-sizeof-bool -Wno-shadow -Wno-vla -Wno-ptr-subtraction-blows -Wno-pointer-arith
	-Wno-flexible-array-nested -Wno-flexible-array-sizeof
)
log=$out/static/sparse.log
mkdir -p "$out/static"
make KVER="$kver" O="$out/static" C=2 CF="${checks[*]}" module test-modules 2>&1 | tee "$log"
for file in *.c tests/modules/*.c; do
	grep -q "CHECK .*/${file##*/}\$" "$log" || fail "$file was not checked"
done
! grep -E ': (warning|error):' "$log" || fail "sparse has findings"
