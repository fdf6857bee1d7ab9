# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/snap.sh
. "$lib/snap.sh"
# shellcheck source=tests/guest/fuzz.sh
. "$lib/fuzz.sh"
DESCRIPTION="random sequences of operations with I/O in flight: answers, status lines and each sector are as the model says"
TIMEOUT=900
KERNELS="stock debug"

run_test()
{
	local pool subject=ours status=0

	is_ours || subject=stock
	modprobe dm-delay
	pool=$(nullb_create size=16)
	fuzz_begin
	dmsc-sequence --pool "$pool" --subject $subject ${SEED:+--seed "$SEED"} \
		--sequences "${SEQUENCES:-20}" --steps 100 ${SEQUENCE_OPTIONS:-} || status=$?
	fuzz_end $status
}
