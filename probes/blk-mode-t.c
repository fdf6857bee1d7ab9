// SPDX-License-Identifier: GPL-2.0-only
/* 6.5 and later: blk_mode_t tells how a block device is opened, not fmode_t. */
#include <linux/blkdev.h>

static_assert(sizeof(blk_mode_t) && BLK_OPEN_READ && BLK_OPEN_WRITE);

static int __maybe_unused probe(struct block_device *bdev, blk_mode_t mode)
{
	const struct block_device_operations ops = { };
	int (*ioctl)(struct block_device *bdev, blk_mode_t mode, unsigned int cmd,
		     unsigned long arg) = ops.ioctl;

	return ioctl(bdev, mode, 0, 0);
}
