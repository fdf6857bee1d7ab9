// SPDX-License-Identifier: GPL-2.0-only
/* end_io of a request that returns what becomes of it (Linux 6.1) */
#include <linux/blk-mq.h>

typedef enum rq_end_io_ret alone(struct request *rq, blk_status_t status);
typedef enum rq_end_io_ret in_batch(struct request *rq, blk_status_t status,
				    const struct io_comp_batch *iob);

static_assert(__same_type(rq_end_io_fn, alone) || __same_type(rq_end_io_fn, in_batch));
static_assert(RQ_END_IO_NONE != RQ_END_IO_FREE);
