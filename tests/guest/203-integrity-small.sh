# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="small requests of all threads in few chunks: many wait for one copy"
TIMEOUT=300
SELDOM="debug"
SOAK=1

run_test()
{
	# 2 MB: every chunk is wanted by several threads at once.
	integrity_start 2
	load_options=(--max-io 8192 --threads 32 --origin-share 60)
	integrity_under_load "$(long_or 60 "$(slow_or 4 6)")" 8 64
	load_options=(--max-io 65536 --threads 32 --mix "read=40,write=60"
		--snapshot-mix "read=90,write=10")
	integrity_under_load "$(long_or 60 "$(slow_or 4 6)")" 256 2048 16
}
