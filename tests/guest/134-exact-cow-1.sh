# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/exact-cow.sh
. "$lib/exact-cow.sh"
DESCRIPTION="stock never finds a COW device of LVM's size full, after several activations with 1 CPU"
TIMEOUT=150
KERNELS=stock
VM="--cpus 1 --mem 1024"

requires()
{
	is_ours || skip "it is about the chunks that ours leaves to stock"
}

run_test()
{
	exact_cow_test
}
