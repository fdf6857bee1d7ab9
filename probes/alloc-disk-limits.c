// SPDX-License-Identifier: GPL-2.0-only
/* 6.9 and later: a disk is allocated with its limits. Only tests make disks. */
#include <linux/blkdev.h>

static struct gendisk * __maybe_unused probe(struct queue_limits *limits)
{
	return blk_alloc_disk(limits, NUMA_NO_NODE);
}
