# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/kcopyd.sh
. "$lib/kcopyd.sh"
DESCRIPTION="two CPUs copy faster than with stock's engine, whatever the host does: a guard against slow mistakes"
TIMEOUT=120
KERNELS=stock
# The cheap CPU of tests/vm/run makes stock's engine, not ours, half as fast again.
VM="--cpus 4 --mem 2048 --cpu max"

# The least that the median of the ratios must be, in percent. On an idle host it is far above.
LEAST=200

requires()
{
	need_test_module dm-copy-bench
}

# rate ENGINE: copies per second
rate()
{
	bench engine="$1" cpus=0-1 trace=0 copies=20000 > /dev/null
	number copies_per_s
}

run_test()
{
	local i stock ours ratios=()

	src=$(nullb_create size=64 memory_backed=0)
	dst=$(nullb_create size=64 memory_backed=0)
	insmod "$opt/dm-copy-bench.ko"
	rate mq > /dev/null
	rate stock > /dev/null
	# One after the other, so that what slows the host down slows down both.
	for i in 1 2 3 4 5; do
		stock=$(rate stock)
		ours=$(rate mq)
		ratios+=($((100 * ours / stock)))
		echo "copies per second: stock $stock, ours $ours, ${ratios[-1]} %"
	done
	rmmod dm_copy_bench
	mapfile -t ratios < <(printf '%s\n' "${ratios[@]}" | sort -n)
	assert_le "$LEAST" "${ratios[2]}" "percent of stock's speed"
}
