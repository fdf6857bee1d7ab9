# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
DESCRIPTION="data under random load with discards, zeroed in the COW device and passed down"
SELDOM=debug
TIMEOUT=300
SOAK=1

discards()
{
	grep -A 1 '"discard"' /tmp/integrity.json | sed -n 's/.*"done": \([0-9]*\).*/\1/p'
}

requires()
{
	# Stock tells the block layer a granularity of one sector and then takes every discard as long as a chunk
	# for a whole chunk: it zeroes parts of the next one.
	is_ours || skip "stock zeroes data behind a discard that is not aligned"
}

run_test()
{
	integrity_start 32
	features=(discard_zeroes_cow)
	load_options=(--max-io 262144 --snapshot-mix "read=40,write=20,durable=5,discard=25,zero=10")
	integrity_under_load "$(long_or 60 6)" 8 128
	assert_le 20 "$(discards)" "discards"
	features=(discard_zeroes_cow discard_passdown_origin)
	load_options+=(--discard-passdown)
	integrity_under_load "$(long_or 60 6)" 16 64
	assert_le 20 "$(discards)" "discards"
}
