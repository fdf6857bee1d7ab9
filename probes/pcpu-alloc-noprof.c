// SPDX-License-Identifier: GPL-2.0-only
/* 6.10 and later: memory per CPU is allocated by pcpu_alloc_noprof(). Only tests probe it. */
#include <linux/percpu.h>

static void __percpu * __maybe_unused probe(void)
{
	return pcpu_alloc_noprof(8, 8, false, GFP_KERNEL);
}
