#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# sparse finds nothing in the modules: locks (also those of RCU) that are taken and not released, __rcu pointers that
# are used as others, and all else that it knows.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

# The module for faults is built for kernels with fault injection, see 140.
mapfile -t files < <(printf '%s\n' *.c tests/modules/*.c | grep -v dm-scaled-fault)
sparse "$kver" module test-modules -- "${files[@]}"
