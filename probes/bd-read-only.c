// SPDX-License-Identifier: GPL-2.0-only
/* Before 6.10: whether a device is read-only is a member, not a flag. Only tests set it. */
#include <linux/blkdev.h>

static_assert(sizeof_field(struct block_device, bd_read_only));
