// SPDX-License-Identifier: GPL-2.0-only
/* a type for the operation and flags of a bio (Linux 6.0) */
#include <linux/blk_types.h>

static_assert(sizeof(blk_opf_t));
