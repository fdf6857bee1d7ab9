// SPDX-License-Identifier: GPL-2.0-only
/* 6.17, 6.12.y and later: workqueues whose work stays on its CPU have to say so. */
#include <linux/workqueue.h>

/* It is an enumerator, which #ifdef does not see. */
static_assert(WQ_PERCPU);
