// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies by the block layer, where it has an operation for them.
 *
 * No released kernel has; the interface is that of the patches which add REQ_OP_COPY_DST and
 * REQ_OP_COPY_SRC: blkdev_copy_offload() copies one range inside a device, and
 * bdev_max_copy_sectors() says how long it may be. See probes/blkdev-copy-offload.c.
 */
#include "compat.h"
#include "copy-offload.h"

#if DM_SCALED_HAVE_BLKDEV_COPY_OFFLOAD

/**
 * struct copy_blk_range - the only source range of a request
 * @sector: of the whole disk
 */
struct copy_blk_range {
	u64 sector;
};

static int copy_blk_open(struct copy_offload *co)
{
	struct block_device *bdev = co->disk->part0;

	if (!bdev_max_copy_sectors(bdev))
		return -EOPNOTSUPP;
	co->limits.align = bdev_logical_block_size(bdev) >> SECTOR_SHIFT;
	co->limits.range = bdev_max_copy_sectors(bdev);
	co->limits.command = co->limits.range;
	co->limits.ranges = 1;
	return 0;
}

static void copy_blk_close(struct copy_offload *co)
{
}

static void copy_blk_set_range(struct copy_offload_request *req, unsigned int i, sector_t sector,
			       unsigned int count)
{
	((struct copy_blk_range *)req->ranges)[i].sector = sector;
}

static void copy_blk_end(void *private, int status, ssize_t copied)
{
	struct copy_offload_request *req = private;

	if (likely(!status && copied >> SECTOR_SHIFT == req->count))
		copy_offload_end(req, COPY_OFFLOAD_COPIED, COPY_OFFLOAD_WHYS);
	else
		copy_offload_end(req, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_FAILED);
}

static void copy_blk_issue(struct copy_offload_request *req)
{
	const struct copy_blk_range *range = (struct copy_blk_range *)req->ranges;
	sector_t to = get_start_sect(req->to) + req->sector;
	ssize_t r;

	if (!copy_offload_may_issue(req))
		return;
	r = blkdev_copy_offload(req->co->disk->part0, (loff_t)range->sector << SECTOR_SHIFT,
				(loff_t)to << SECTOR_SHIFT, (size_t)req->count << SECTOR_SHIFT,
				copy_blk_end, req, GFP_NOWAIT | __GFP_NOWARN);
	/* What was queued ends by itself; all else never began. */
	if (r == -EIOCBQUEUED)
		return;
	copy_offload_end(req, COPY_OFFLOAD_REFUSED,
			 r == -ENOMEM ? COPY_OFFLOAD_NO_MEMORY : COPY_OFFLOAD_FAILED);
}

const struct copy_offload_ops copy_offload_blk = {
	.name = "blk",
	.open = copy_blk_open,
	.close = copy_blk_close,
	.set_range = copy_blk_set_range,
	.issue = copy_blk_issue,
	.range_bytes = sizeof(struct copy_blk_range),
};

#endif /* DM_SCALED_HAVE_BLKDEV_COPY_OFFLOAD */
