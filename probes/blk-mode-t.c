// SPDX-License-Identifier: GPL-2.0-only
/* 6.5 and later: blk_mode_t tells how a block device is opened, not fmode_t. */
#include <linux/blkdev.h>

/* For the compiler both are unsigned int, so that it cannot tell in which one a function takes. */
static_assert(sizeof(blk_mode_t) && BLK_OPEN_READ && BLK_OPEN_WRITE);
