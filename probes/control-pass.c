// SPDX-License-Identifier: GPL-2.0-only
/* Every kernel: the headers that the other probes include can be compiled at all. */
#include <linux/bio.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/crc32c.h>
#include <linux/device-mapper.h>
#include <linux/dm-bufio.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/shrinker.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

static_assert(sizeof(struct module));
