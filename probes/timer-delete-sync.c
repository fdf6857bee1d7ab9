// SPDX-License-Identifier: GPL-2.0-only
/* 6.2, 6.1.y and later: timers have a name space. */
#include <linux/timer.h>

static int (*probe)(struct timer_list *timer) __maybe_unused = timer_delete_sync;
