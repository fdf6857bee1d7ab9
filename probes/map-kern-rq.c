// SPDX-License-Identifier: GPL-2.0-only
/* 6.16 and later: blk_rq_map_kern() finds the queue by the request. */
#include <linux/blk-mq.h>

static int __maybe_unused probe(struct request *rq, void *data)
{
	return blk_rq_map_kern(rq, data, 1, GFP_KERNEL);
}
