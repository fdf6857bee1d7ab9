// SPDX-License-Identifier: GPL-2.0-only
/* end_io of a request that returns what becomes of it (Linux 6.1) */
#include <linux/blk-mq.h>

static_assert(RQ_END_IO_NONE != RQ_END_IO_FREE);
