#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# sparse finds nothing in the modules: locks (also those of RCU) that are taken and not released, __rcu pointers that
# are used as others, and all else that it knows. For the kernel of the other tests and for 6.12; what 7.3's headers are
# written in (__typeof_unqual__), Debian's sparse does not know.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

# The module for faults is built for kernels with fault injection, see 140.
mapfile -t files < <(printf '%s\n' *.c tests/modules/*.c | grep -v dm-scaled-fault)
sparse "$kver" module test-modules -- "${files[@]}"
# What the headers and macros of 6.12 do besides: guards, static assertions in container_of().
sparse_flags=(-Wno-declaration-after-statement -Wno-transparent-union -Wno-constexpr-not-const)
sparse "$(tests/vm/fetch-headers 6.12)" module test-modules -- "${files[@]}"
