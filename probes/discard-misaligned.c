// SPDX-License-Identifier: GPL-2.0-only
/* Before 6.11: limits say whether discards are misaligned. */
#include <linux/blkdev.h>

static_assert(sizeof_field(struct queue_limits, discard_misaligned));
