/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reference counts kept by CPUs, which end without waiting for a normal grace period of RCU.
 *
 * A percpu_ref ends by call_rcu(), which takes some ticks. A host that removes a thousand devices
 * one after another would wait for that a thousand times.
 */
#ifndef DM_SCALED_REFS_H
#define DM_SCALED_REFS_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>

/* More references than there can be. */
#define DM_SCALED_REFS_BIAS	(LONG_MAX / 2)

/**
 * struct dm_scaled_refs - a count of references
 * @counts:   references got less those put on each CPU, while not @draining
 * @draining: from now on references are counted in @left
 * @left:     DM_SCALED_REFS_BIAS until all of @counts has been added
 * @drained:  completed for all when @left has become 0
 */
struct dm_scaled_refs {
	long __percpu *counts;
	bool draining;
	atomic_long_t left;
	struct completion drained;
};

/**
 * dm_scaled_refs_init() - set up a count of no references
 * @refs: the count
 *
 * Return: 0 or -ENOMEM.
 */
int dm_scaled_refs_init(struct dm_scaled_refs *refs);

/**
 * dm_scaled_refs_exit() - free what a count needs
 * @refs: the count; there are no references, and who has put the last one has left its read section
 *        of RCU: a grace period of it has passed, or it is known otherwise
 */
void dm_scaled_refs_exit(struct dm_scaled_refs *refs);

/**
 * dm_scaled_refs_drain() - wait until there are no references
 * @refs: the count. Once there are none, nobody gets one
 *
 * Who has put the last one may still use @refs until a grace period of RCU has passed.
 *
 * Context: process context, sleeps.
 */
void dm_scaled_refs_drain(struct dm_scaled_refs *refs);

/**
 * dm_scaled_refs_stop() - begin what dm_scaled_refs_drain() does, and do not wait
 * @refs: the count. When there are no references @drained is completed, and stays so. From now on
 *        dm_scaled_refs_tryget() gets none
 *
 * Context: process context, sleeps. Once: see dm_scaled_refs_are_stopped().
 */
void dm_scaled_refs_stop(struct dm_scaled_refs *refs);

/**
 * dm_scaled_refs_are_stopped() - whether dm_scaled_refs_stop() has been called, or is at work
 * @refs: the count
 */
static inline bool dm_scaled_refs_are_stopped(const struct dm_scaled_refs *refs)
{
	return READ_ONCE(refs->draining);
}

/**
 * dm_scaled_refs_reinit() - count again
 * @refs: the count, drained; nobody gets a reference meanwhile
 */
void dm_scaled_refs_reinit(struct dm_scaled_refs *refs);

/**
 * dm_scaled_refs_get() - get a reference
 * @refs: the count; while it is drained the caller has another reference
 *
 * Context: any but NMI.
 */
static inline void dm_scaled_refs_get(struct dm_scaled_refs *refs)
{
	rcu_read_lock();
	if (likely(!READ_ONCE(refs->draining)))
		this_cpu_inc(*refs->counts);
	else
		atomic_long_inc(&refs->left);
	rcu_read_unlock();
}

/**
 * dm_scaled_refs_tryget() - get a reference unless nobody is to get one any more
 * @refs: the count
 *
 * Context: any but NMI.
 * Return: whether there is one more reference.
 */
static inline bool dm_scaled_refs_tryget(struct dm_scaled_refs *refs)
{
	bool counted;

	rcu_read_lock();
	counted = !READ_ONCE(refs->draining);
	if (counted)
		this_cpu_inc(*refs->counts);
	rcu_read_unlock();
	return counted;
}

/**
 * dm_scaled_refs_put() - put a reference
 * @refs: the count
 *
 * Context: any but NMI.
 */
static inline void dm_scaled_refs_put(struct dm_scaled_refs *refs)
{
	rcu_read_lock();
	if (likely(!READ_ONCE(refs->draining)))
		this_cpu_dec(*refs->counts);
	else if (atomic_long_dec_and_test(&refs->left))
		complete_all(&refs->drained);
	rcu_read_unlock();
}

#endif /* DM_SCALED_REFS_H */
