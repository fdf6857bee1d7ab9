# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/clone.sh
. "$lib/clone.sh"
# shellcheck source=tests/guest/fuzz.sh
. "$lib/fuzz.sh"
DESCRIPTION="power cuts in sequences of operations: what ours and stock show is allowed; merges and hydration end"
TIMEOUT=900
KERNELS=stock

requires()
{
	modprobe -q dm-log-writes || skip "no dm-log-writes here"
}

run_test()
{
	local pool log replay status=0 subjects=ours subject

	modprobe dm-delay
	modprobe dm-flakey
	# What is left is opened by stock's target, too.
	modprobe dm-snapshot
	# Clones of stock's have other metadata: each target opens its own.
	! load_stock_clone || subjects+=" stock"
	pool=$(nullb_create size=16)
	replay=$(nullb_create size=16)
	log=$(nullb_create size=200)
	set -- --pool "$pool" --log "$log" --replay "$replay"
	fuzz_begin
	dmsc-sequence "$@" --seed "${SEED:-$RANDOM}" --crash "$(long_or 100 8)" \
		"$lib"/../sequence/{commit,merge,overflow,redirect}.seq || status=$?
	for subject in $subjects; do
		dmsc-sequence "$@" --subject "$subject" --seed "${SEED:-$RANDOM}" --crash "$(long_or 100 8)" \
			"$lib"/../sequence/clone.seq || status=$?
	done
	# These are clean by the model, which does not know all yet; LONG=1 takes any.
	if [[ $LONG ]]; then
		dmsc-sequence "$@" --sequences 60 --crash 20 --shrink 2 ${SEED:+--seed "$SEED"} || status=$?
	else
		dmsc-sequence "$@" --seed 7 --sequences 3 --crash 8 || status=$?
	fi
	fuzz_end $status
}
