// SPDX-License-Identifier: GPL-2.0-only
/* Before 6.10: blkdev_zone_mgmt() is told how to allocate. Only tests reset zones. */
#include <linux/blkdev.h>

static int __maybe_unused probe(struct block_device *bdev)
{
	return blkdev_zone_mgmt(bdev, REQ_OP_ZONE_RESET, 0, 0, GFP_KERNEL);
}
