// SPDX-License-Identifier: GPL-2.0-only
/* dm_bufio_client_create() with flags (Linux 6.0) */
#include <linux/dm-bufio.h>

static struct dm_bufio_client * __maybe_unused probe(struct block_device *bdev)
{
	return dm_bufio_client_create(bdev, 4096, 1, 0, NULL, NULL, 0);
}
