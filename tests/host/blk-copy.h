/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What kernels would have whose block layer copies, for kernels that do not: enough to compile
 * copy-offload-blk.c. Included before each source file.
 */
#ifndef DM_SCALED_TEST_BLK_COPY_H
#define DM_SCALED_TEST_BLK_COPY_H

#include <linux/blkdev.h>

static inline unsigned int bdev_max_copy_sectors(struct block_device *bdev)
{
	return bdev_max_discard_sectors(bdev);
}

static inline ssize_t blkdev_copy_offload(struct block_device *bdev, loff_t pos_in, loff_t pos_out,
					  size_t len, void (*endio)(void *, int, ssize_t),
					  void *private, gfp_t gfp)
{
	endio(private, -EOPNOTSUPP, 0);
	return -EIOCBQUEUED;
}

#endif /* DM_SCALED_TEST_BLK_COPY_H */
