#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The modules compile without a warning at W=1, in a folder of their own; the module also for a kernel whose block layer
# copies.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

make KVER="$kver" O="$out/static" W=1 KCFLAGS=-Werror module test-modules
make KVER="$kver" O="$out/static-copy" W=1 \
	KCFLAGS="-Werror -DDM_SCALED_BLK_COPY -include $top/tests/host/blk-copy.h" module
nm "$out/static-copy/$kver/module/dm-scaled.o" | grep ' copy_offload_blk$' > /dev/null ||
	fail "copies by the block layer have not been compiled"
