// SPDX-License-Identifier: GPL-2.0-only
/* 6.12.y, 6.14 and later: a batch of completions is told whether a request has failed, not how. */
#include <linux/blk-mq.h>

static bool (*probe)(struct request *rq, struct io_comp_batch *iob, bool is_error,
		     void (*complete)(struct io_comp_batch *iob)) __maybe_unused =
	blk_mq_add_to_batch;
