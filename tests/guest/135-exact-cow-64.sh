# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck source=tests/guest/exact-cow.sh
. "$lib/exact-cow.sh"
DESCRIPTION="stock never finds a COW device of LVM's size full, after several activations with 64 CPUs"
TIMEOUT=300
KERNELS=stock
VM="--cpus 64 --mem 3072"

requires()
{
	is_ours || skip "it is about the chunks that ours leaves to stock"
}

run_test()
{
	exact_cow_test
}
