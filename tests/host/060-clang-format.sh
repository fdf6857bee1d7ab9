#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

mapfile -t files < <(sources '*.cpp' 'tools/*.h' 'tests/bench/*.h')
clang-format --dry-run --Werror "${files[@]}"
