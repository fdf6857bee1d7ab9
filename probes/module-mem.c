// SPDX-License-Identifier: GPL-2.0-only
/* 6.4 and later: the parts of a module are in an array. Only tests look at it. */
#include <linux/module.h>

static_assert(sizeof_field(struct module, mem[MOD_TEXT].base));
