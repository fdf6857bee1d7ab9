#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The modules compile without a warning at W=1, in a folder of their own.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

make KVER="$kver" O="$out/static" W=1 KCFLAGS=-Werror module test-modules
