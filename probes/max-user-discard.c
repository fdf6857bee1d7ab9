// SPDX-License-Identifier: GPL-2.0-only
/* 6.9 and later: max_discard_sectors follows from limits of the driver and of the user. */
#include <linux/blkdev.h>

static_assert(sizeof_field(struct queue_limits, max_user_discard_sectors));
