#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The modules compile without a warning at W=1, in a folder of their own; the module also for a kernel whose block layer
# copies.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

# With delay points, so that all files are compiled.
export DM_SCALED_DELAYS=1
make KVER="$kver" O="$out/static" W=1 KCFLAGS=-Werror module test-modules
# The two files that are then different.
dir=$out/static-copy
rm -rf "$dir"
mkdir -p "$dir/probes"
ln -s "$top"/{Kbuild,*.[ch]} "$dir/"
ln -s "$top"/probes/* "$dir/probes/"
make -C "$(kernel_headers "$kver")" M="$dir" W=1 \
	KCFLAGS="-Werror -include $top/tests/host/blk-copy.h" copy-offload.o copy-offload-blk.o
for symbol in "copy-offload-blk.o [TDR] copy_offload_blk" "copy-offload.o U copy_offload_blk"; do
	read -r file regex <<< "$symbol"
	nm "$dir/$file" | grep -E " $regex\$" > /dev/null || fail "$file has no $regex: it was not compiled for that"
done
