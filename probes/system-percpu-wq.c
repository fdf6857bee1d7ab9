// SPDX-License-Identifier: GPL-2.0-only
/* 6.17, 6.12.y and later: the per-CPU system workqueue has this name; 7.x warns of the old one. */
#include <linux/workqueue.h>

static struct workqueue_struct **probe __maybe_unused = &system_percpu_wq;
