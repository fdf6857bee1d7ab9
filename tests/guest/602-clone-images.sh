# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/fuzz.sh
. "$lib/fuzz.sh"
DESCRIPTION="damaged metadata devices of clones are opened as documented, or refused and left alone"
TIMEOUT=1200
KERNELS=stock

requires()
{
	is_ours || skip "our format"
}

run_test()
{
	local status=0

	fuzz_begin
	# As large as the tool's largest clone and its images.
	dm_create meta "0 64 linear $(nullb_create size=1) 0"
	fuzz --clone-images "$(long_or 5000 300)" --trouble "$lib/trouble" \
		--device "source=$(nullb_create size=160)" --device "dest=$(nullb_create size=160 discard=1)" \
		--device meta=/dev/mapper/meta || status=$?
	fuzz_log_read
	fuzz_end "$status"
}
