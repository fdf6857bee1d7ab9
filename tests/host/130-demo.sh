#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# make demo as the README gives it, short: it ends, and what it prints has what it should.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

RESULTS=$dir/demo make KVER="$kver" O="$out" CPUS=2 ROUNDS=1 demo | tee "$dir/demo.log"
has "$dir/demo.log" 'null_blk' 'dm-linear' 'stock' 'dm-scaled' '^ *1 .*%.*%'
"$out/tools/dmsc-report" --check max-share=1.25 "$dir/demo/2-cpus" > /dev/null
