# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="data of an origin and one snapshot under random load"
SELDOM=debug
TIMEOUT=600

run_test()
{
	integrity_start "$(slow_or 32 128)" 129
	integrity --load $model "${snaps[@]}" --save $model --seconds "$(long_or 120 "$(slow_or 6 10)")"
	integrity --load $model --verify-only

	# The checker must be able to fail: a sector that nobody wrote through the targets.
	put "$dev" 4000 1
	integrity --load $model --verify-only && fail "a damaged sector was not found"
	return 0
}
