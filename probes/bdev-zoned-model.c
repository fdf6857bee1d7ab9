// SPDX-License-Identifier: GPL-2.0-only
/* Before 6.8: zoned devices are host-managed or host-aware. */
#include <linux/blkdev.h>

static bool __maybe_unused probe(struct block_device *bdev)
{
	return bdev_zoned_model(bdev) == BLK_ZONED_HM;
}
