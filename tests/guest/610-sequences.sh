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
	set -- --pool "$pool" --subject $subject --shrink 2
	dmsc-sequence "$@" "$lib"/../sequence/*.seq || status=$?
	[[ ! -e $delays ]] || delay_set "*" 1 5
	# These are clean by the model, which does not know all yet; of those that LONG=1 takes, any, one in some hundreds
	# fails without a fault of the module's.
	if [[ $LONG ]]; then
		dmsc-sequence "$@" --seconds 600 ${SEED:+--seed "$SEED"} || status=$?
	else
		dmsc-sequence "$@" --seed 1 --sequences "$(slow_or 10 30)" || status=$?
	fi
	fuzz_end $status
}
