#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The unit tests, the module for faults and the module itself compile without a warning at W=1 for the debug kernel,
# and sparse finds nothing in them. Waits for that kernel, if it is being compiled.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

debug=$(tests/vm/kernel/build debug)
make KVER="$debug" O="$out/static" W=1 KCFLAGS=-Werror module test-modules kunit-modules
# KUnit makes long long of what it compares, also of a blk_status_t.
sparse_flags=(-Wno-bitwise)
sparse "$debug" test-modules kunit-modules -- tests/kunit/*.c tests/modules/dm-scaled-fault.c
