// SPDX-License-Identifier: GPL-2.0-only
/* Before 6.13: the namespace of a symbol is a bare word, not a string. */
#include <linux/module.h>

/* A string is taken by both. */
MODULE_IMPORT_NS(DM_SCALED);
