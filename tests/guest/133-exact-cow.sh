# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/exact-cow.sh
. "$lib/exact-cow.sh"
DESCRIPTION="stock never finds a COW device of LVM's size full, after several activations with 4 CPUs"
TIMEOUT=150
KERNELS=stock
VM="--cpus 4 --mem 2048"

requires()
{
	is_ours || skip "it is about the chunks that ours leaves to stock"
}

run_test()
{
	exact_cow_test
}
