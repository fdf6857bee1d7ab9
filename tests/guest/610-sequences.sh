# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/fuzz.sh
. "$lib/fuzz.sh"
DESCRIPTION="operations in any order, with I/O in flight: answers, status, each sector are as the model says"
TIMEOUT=900
KERNELS="stock debug"

run_test()
{
	local pool subject=ours status=0

	is_ours || subject=stock
	is_ours || load_stock_clone || skip "no dm-clone here"
	modprobe dm-delay
	pool=$(nullb_create size=16 discard=1)
	fuzz_begin
	# Those that failed once.
	dmsc-sequence --pool "$pool" --subject $subject "$lib"/../sequence/*.seq || status=$?
	# The model does not know all yet: one in a hundred fails without a fault of the module's.
	[[ ! $LONG ]] || dmsc-sequence --pool "$pool" --subject $subject --sequences "$(slow_or 100 300)" --shrink 2 \
		${SEED:+--seed "$SEED"} || status=$?
	fuzz_end $status
}
