// SPDX-License-Identifier: GPL-2.0-only
/*
 * Limits the share of time in which copies are in flight.
 *
 * Time is counted in two sums of jiffies: all of it, and the part with at least one copy in flight.
 * When they grow beyond a second, both are halved until they fit again: the past is forgotten.
 */
#include <linux/bitops.h>
#include <linux/jiffies.h>

#include "dm-kcopyd-mq-job.h"

#define KMQ_PERIOD_SHIFT	SHIFT_HZ

static void kmq_throttle_tick(struct dm_kcopyd_mq_throttle *t, unsigned int now)
	__must_hold(&t->lock)
{
	unsigned int passed = now - t->last_jiffies;
	int shift;

	lockdep_assert_held(&t->lock);

	/* A long pause: the sums are going to be cut to a second anyway. */
	if (passed > INT_MAX / 2)
		passed = INT_MAX / 2;

	t->last_jiffies = now;
	t->total_period += passed;
	if (t->num_io_jobs)
		t->io_period += passed;

	shift = fls(t->total_period >> KMQ_PERIOD_SHIFT);
	t->total_period >>= shift;
	t->io_period >>= shift;
}

bool kmq_throttle_start(struct dm_kcopyd_mq_throttle *t, bool force, unsigned int now)
{
	unsigned int limit = min(READ_ONCE(t->throttle), 100U);
	unsigned long flags;
	bool go;

	spin_lock_irqsave(&t->lock, flags);
	kmq_throttle_tick(t, now);
	go = force || t->io_period * 100 <= limit * t->total_period;
	if (go)
		t->num_io_jobs++;
	spin_unlock_irqrestore(&t->lock, flags);

	return go;
}

void kmq_throttle_finish(struct dm_kcopyd_mq_throttle *t, unsigned int now)
{
	unsigned long flags;

	spin_lock_irqsave(&t->lock, flags);
	kmq_throttle_tick(t, now);
	t->num_io_jobs--;
	spin_unlock_irqrestore(&t->lock, flags);
}
