// SPDX-License-Identifier: GPL-2.0-only
/* 6.9 and later: an open block device is a file. Only tests open one by its path. */
#include <linux/blkdev.h>

static struct file * __maybe_unused probe(const char *path)
{
	struct file *file = bdev_file_open_by_path(path, BLK_OPEN_READ, NULL, NULL);

	return file_bdev(file) ? file : NULL;
}
