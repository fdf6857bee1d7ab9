// SPDX-License-Identifier: GPL-2.0-only
/* 6.7 and 6.8: an open block device is a handle. Only tests open one by its path. */
#include <linux/blkdev.h>

static struct block_device * __maybe_unused probe(const char *path)
{
	struct bdev_handle *handle = bdev_open_by_path(path, BLK_OPEN_READ, NULL, NULL);

	bdev_release(handle);
	return handle->bdev;
}
