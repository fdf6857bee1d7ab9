// SPDX-License-Identifier: GPL-2.0-only
/* No kernel: a function that is not declared is an error. */
#include <linux/module.h>

static int __maybe_unused probe(void)
{
	return dm_scaled_no_such_function();
}
