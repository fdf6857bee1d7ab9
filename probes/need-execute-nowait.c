// SPDX-License-Identifier: GPL-2.0-only
/* blk_execute_rq_nowait() without a callback (Linux 6.0) */
#include <linux/blk-mq.h>

static void (*probe)(struct request *rq, bool at_head) __maybe_unused = blk_execute_rq_nowait;
