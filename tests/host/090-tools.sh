#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The tools' own tests, and that they run inside an initramfs.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

make -C tools O="$out" check
for tool in "$out"/tools/dmsc-*; do
	[[ ! -f $tool ]] || file_type=$(ldd "$tool" 2>&1) || true
	[[ ${file_type:-} == *'not a dynamic executable'* ]] || fail "$tool is not static"
done
