// SPDX-License-Identifier: GPL-2.0-only
/* 7.0 and later: the end of a request is told in which batch it completes. */
#include <linux/blk-mq.h>

static enum rq_end_io_ret probed(struct request *rq, blk_status_t status,
				 const struct io_comp_batch *iob)
{
	return RQ_END_IO_NONE;
}

static void __maybe_unused probe(struct request *rq)
{
	rq->end_io = probed;
}
