// SPDX-License-Identifier: GPL-2.0-only
/* No kernel: a pointer to a function of another type is an error. */
#include <linux/module.h>

static int probed(int x)
{
	return x;
}

static int (*probe)(void *p) __maybe_unused = probed;
