// SPDX-License-Identifier: GPL-2.0-only
/* Every kernel: its headers can be compiled at all. */
#include <linux/module.h>

static_assert(sizeof(struct module));
