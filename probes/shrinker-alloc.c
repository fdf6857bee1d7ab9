// SPDX-License-Identifier: GPL-2.0-only
/* 6.7 and later: the kernel allocates shrinkers. */
#include <linux/shrinker.h>

static void __maybe_unused probe(const char *name)
{
	struct shrinker *s = shrinker_alloc(0, "%s", name);

	shrinker_register(s);
	shrinker_free(s);
}
