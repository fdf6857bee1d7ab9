// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hydration in the background.
 *
 * Neighbouring regions are copied together, in batches, of which several are under way. The end of
 * one starts the next. How much is copied at a time is found out: it begins with a little and
 * doubles when a batch has ended, as long as nobody else does I/O. As soon as somebody does, no
 * batch is begun, and in the next pause it begins with a little again, which stays so until the
 * pause has lasted for a while; so a user's I/O never has much of ours to wait for. If there is no
 * pause a small batch is copied now and then all the same, as there is no point in a clone that
 * never becomes complete.
 *
 * A user's I/O waits for what is under way when it comes. So no more is under way than the devices
 * copy in twice the time that the smallest copy takes by itself: one more is ready when one ends.
 * It may be what they copy in a millisecond, if that is more, but never more than they copy in
 * 50 ms. Of devices that take longer for the smallest copy nothing can be told in this way: they
 * get a little at a time.
 *
 * A batch that fails is tried again region by region, so that one bad sector costs one region.
 * Writes that wait for a region of the batch copy that region themselves then.
 */
#define DM_MSG_PREFIX "clone-scaled"

#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/slab.h>

#include "dm-clone-scaled.h"

/* Sectors that are copied together, and at a time, unless told otherwise. */
#define CLONE_BATCH_SECTORS	2048
#define CLONE_COPY_SECTORS	32768
/* Where the doubling ends. */
#define CLONE_MAX_STEP		((sector_t)1 << 40)
/* Sectors that are copied at a time when others have just done I/O. */
#define CLONE_STEP_SECTORS	64
/* Sectors that are copied at a time however slow the devices are. */
#define CLONE_LEAST_SECTORS	8
/* How long the copies under way may take, ns: that much always, and at most. */
#define CLONE_QUICK		NSEC_PER_MSEC
#define CLONE_LONG		(50 * NSEC_PER_MSEC)
/* For how long the rate of copying is measured, ns. */
#define CLONE_PERIOD		(50 * NSEC_PER_MSEC)
/* How seldom it is measured what the smallest copies take, jiffies: always, and at most. */
#define CLONE_PROBE		(2 * HZ)
#define CLONE_MAX_PROBE		(60 * HZ)
/* Of so many the quickest one counts: the others may have waited for a CPU. */
#define CLONE_PROBES		4
/* How long nobody else must have done any before more is copied at a time. */
#define CLONE_CALM		max(2, HZ / 50)
/* Sectors a second that are copied while others do I/O all the time. */
#define CLONE_TRICKLE_SECTORS	2560
/* How soon to look for a pause of theirs. */
#define CLONE_POLL		max(1, HZ / 200)
/* After so many regions that failed one after another there is a pause. */
#define CLONE_MAX_FAILURES	16
#define CLONE_RETRY		HZ
#define CLONE_MIN_BATCHES	16

/**
 * struct clone_batch - neighbouring regions that are copied together
 * @clone: whose
 * @ticket: starts its copy
 * @first: the first one
 * @nr:    number of them
 * @begun: when, ns
 * @alone: no other one was under way then
 */
struct clone_batch {
	struct clone *clone;
	struct dm_kcopyd_mq_ticket ticket;
	unsigned long first;
	unsigned long nr;
	u64 begun;
	bool alone;
};

static struct kmem_cache *clone_batch_slab;

/*
 * Whether bios of others are under way. These, and any that have been since the last call, make
 * the next batches small.
 */
static bool clone_others_are_busy(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;
	unsigned long begun = 0, ended = 0;
	unsigned int cpu;

	lockdep_assert_held(&h->lock);

	/* In this order what ends meanwhile counts as under way. */
	for_each_possible_cpu(cpu)
		ended += READ_ONCE(per_cpu_ptr(clone->cpus, cpu)->ended);
	smp_rmb(); /* A bio is counted as begun long before it is as ended. */
	for_each_possible_cpu(cpu)
		begun += READ_ONCE(per_cpu_ptr(clone->cpus, cpu)->begun);

	if (begun != h->begun || begun != ended) {
		h->step = min_t(sector_t, CLONE_STEP_SECTORS, h->ceiling);
		h->calm_at = jiffies + CLONE_CALM;
		h->measured = 0;
	}
	h->begun = begun;
	return begun != ended;
}

/* The smallest step; a region at least, whatever its size. */
static sector_t clone_least_step(struct clone *clone)
{
	return max_t(sector_t, CLONE_LEAST_SECTORS, clone_region_size(clone));
}

/* Where the step stops falling. */
static sector_t clone_floor(struct clone *clone)
{
	if (clone->hydrator.latency < CLONE_LONG)
		return clone_least_step(clone);
	return max_t(sector_t, CLONE_STEP_SECTORS, clone_region_size(clone));
}

/* Regions that make a step; one at least. */
static unsigned long clone_step_regions(struct clone *clone)
{
	return max_t(unsigned long, clone->hydrator.step >> clone->region_shift, 1);
}

/*
 * Regions that the next batch may have, 0 for none now. Whole batches: were as little begun as has
 * just ended, small ones would make small ones forever.
 */
static unsigned long clone_batch_room(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;
	unsigned long limit = min_t(unsigned long, h->threshold, clone_step_regions(clone));
	unsigned long nr = min_t(unsigned long, limit, max(h->batch, 1U));

	lockdep_assert_held(&h->lock);

	/* On a device whose rate is known: while one batch is read another one can be written. */
	if (h->ceiling < CLONE_MAX_STEP && h->step == h->ceiling)
		nr = min(nr, max(limit / 2, 1UL));
	if (h->next >= h->careful && h->next < h->careful_end)
		nr = min(nr, 1UL);
	return limit >= h->copying + nr ? nr : 0;
}

/* So many sectors were copied in so many ns: sets how many may be under way. */
static void clone_set_ceiling(struct clone *clone, u64 sectors, u64 ns)
{
	struct clone_hydrator *h = &clone->hydrator;
	u64 may_take = clamp_t(u64, 2 * h->latency, CLONE_QUICK, CLONE_LONG);

	lockdep_assert_held(&h->lock);

	/* Fits: that would be 32 TiB in one period. */
	sectors = min_t(u64, sectors, 1ULL << 36);
	h->ceiling = max_t(u64, div64_u64(sectors * may_take, ns), clone_floor(clone));
	h->step = min(h->step, h->ceiling);
}

/*
 * What the smallest copies take. All others have to end for it, so the longer they take the more
 * seldom. Returns true when it is known.
 */
static bool clone_probe(struct clone *clone, const struct clone_batch *batch, u64 took)
{
	struct clone_hydrator *h = &clone->hydrator;

	lockdep_assert_held(&h->lock);

	if (!batch->alone ||
	    clone_sectors(clone, batch->first, batch->nr) > clone_least_step(clone))
		return false;
	h->probed = h->probes ? min(h->probed, took) : took;
	if (++h->probes < CLONE_PROBES)
		return false;
	h->latency = min_t(u64, h->probed, CLONE_LONG);
	h->probes = 0;
	h->probe_at = jiffies + clamp_t(unsigned long, nsecs_to_jiffies(64 * h->probed),
					CLONE_PROBE, CLONE_MAX_PROBE);
	return true;
}

/* A batch ends well. Only those that were begun with the present step say something about it. */
static void clone_step_up(struct clone *clone, const struct clone_batch *batch)
{
	struct clone_hydrator *h = &clone->hydrator;
	sector_t sectors = clone_sectors(clone, batch->first, batch->nr);
	u64 now = ktime_get_ns(), took = now - batch->begun;

	lockdep_assert_held(&h->lock);

	if (time_before(jiffies, h->calm_at))
		return;
	if (time_after_eq(jiffies, h->probe_at) && !clone_probe(clone, batch, took)) {
		h->step = clone_least_step(clone);
		h->measured = 0;
		return;
	}

	if (!h->measured) {
		h->measured = now;
		h->measured_sectors = 0;
	} else {
		h->measured_sectors += sectors;
	}
	if (now - h->measured >= max_t(u64, CLONE_PERIOD, 8 * h->latency)) {
		clone_set_ceiling(clone, h->measured_sectors, now - h->measured);
		h->measured = now;
		h->measured_sectors = 0;
	}
	if ((took <= CLONE_LONG || h->step < clone_floor(clone)) &&
	    h->copying <= clone_step_regions(clone))
		h->step = min_t(sector_t, 2 * h->step, h->ceiling);
}

/*
 * When others do I/O: whether a small batch is due. Its regions may be large: then it is the longer
 * until the next one.
 */
static bool clone_trickle_is_due(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;
	sector_t sectors = max_t(sector_t, CLONE_STEP_SECTORS, clone_region_size(clone));

	lockdep_assert_held(&h->lock);

	if (h->copying || time_before(jiffies, h->trickle_at))
		return false;
	h->trickle_at = jiffies + div_u64((u64)sectors * HZ, CLONE_TRICKLE_SECTORS);
	return true;
}

/* Claims neighbouring regions, the first ones at or behind a place. */
static unsigned long clone_claim_run(struct clone *clone, unsigned long from, unsigned long most,
				     unsigned long *first)
{
	unsigned long region = from, nr;

	for (;;) {
		region = clone_bitmap_next_unset(clone->bitmap, region);
		if (region == clone->regions)
			return 0;
		if (clone_region_claim(clone, region))
			break;
		region++;
		cond_resched();
	}

	*first = region;
	for (nr = 1; nr < most && region + nr < clone->regions; nr++) {
		if (clone_bitmap_test(clone->bitmap, region + nr) ||
		    !clone_region_claim(clone, region + nr))
			break;
	}
	return nr;
}

static void clone_find_batch(struct clone *clone, struct clone_batch *batch, unsigned long most)
{
	struct clone_hydrator *h = &clone->hydrator;

	lockdep_assert_held(&h->lock);

	batch->clone = clone;
	batch->begun = ktime_get_ns();
	batch->alone = h->copying == most;
	batch->nr = clone_claim_run(clone, h->next, most, &batch->first);
	/* Once around. */
	if (!batch->nr && h->next)
		batch->nr = clone_claim_run(clone, 0, most, &batch->first);
	if (batch->nr)
		h->next = batch->first + batch->nr;
}

static struct clone_batch *clone_next_batch(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;
	unsigned long most, wait = 0;
	struct clone_batch *batch;

	lockdep_assert_held(&h->lock);

	if (!h->enabled || !h->running || !clone_writable(clone) ||
	    clone_bitmap_is_complete(clone->bitmap))
		return NULL;
	if (time_before(jiffies, h->retry_at))
		wait = h->retry_at - jiffies;
	else if (clone_others_are_busy(clone) && !clone_trickle_is_due(clone))
		wait = CLONE_POLL;
	if (wait) {
		queue_delayed_work(clone->wq, &h->work, wait);
		return NULL;
	}

	most = clone_batch_room(clone);
	if (!most)
		return NULL;
	/* If there is none, some are under way, and the end of each leads here. */
	batch = mempool_alloc(&h->batches, GFP_NOWAIT | __GFP_NOWARN);
	if (!batch)
		return NULL;
	/* A bio that finds a region busy looks at it then, see clone_hydrator_is_copying(). */
	WRITE_ONCE(h->copying, h->copying + most);
	clone_find_batch(clone, batch, most);
	WRITE_ONCE(h->copying, h->copying - most + batch->nr);
	if (!batch->nr) {
		/* All that is left is being filled by others, who may fail. */
		mempool_free(batch, &h->batches);
		queue_delayed_work(clone->wq, &h->work, CLONE_RETRY);
		return NULL;
	}
	this_cpu_add(clone->cpus->filled, batch->nr);
	return batch;
}

static void clone_hydrate(struct clone *clone);

static void clone_batch_failed(struct clone *clone, unsigned long first, unsigned long nr)
{
	struct clone_hydrator *h = &clone->hydrator;

	lockdep_assert_held(&h->lock);

	if (nr > 1) {
		h->next = first;
		h->careful = first;
		h->careful_end = first + nr;
	} else if (++h->failures >= CLONE_MAX_FAILURES) {
		h->failures = 0;
		h->retry_at = jiffies + CLONE_RETRY;
	}
}

static void clone_batch_copied(int read_err, unsigned long write_err, void *context)
{
	struct clone_batch *batch = context;
	struct clone *clone = batch->clone;
	struct clone_hydrator *h = &clone->hydrator;
	blk_status_t status = read_err || write_err ? BLK_STS_IOERR : BLK_STS_OK;
	unsigned long i, first = batch->first, nr = batch->nr;

	if (unlikely(status))
		DMERR_LIMIT("%s: Cannot copy regions %lu to %lu: the %s failed", clone_name(clone),
			    first, first + nr - 1, read_err ? "source" : "destination");
	for (i = 0; i < nr; i++) {
		if (unlikely(status))
			clone_region_abandon(clone, first + i);
		else
			clone_region_filled(clone, first + i, BLK_STS_OK);
	}

	mutex_lock(&h->lock);
	if (unlikely(status)) {
		clone_batch_failed(clone, first, nr);
	} else {
		h->failures = 0;
		clone_step_up(clone, batch);
	}
	mempool_free(batch, &h->batches);
	WRITE_ONCE(h->copying, h->copying - nr);
	if (!h->copying)
		wake_up(&h->idle);
	mutex_unlock(&h->lock);

	clone_hydrate(clone);
}

/* Called late if there has been no job. */
static void clone_batch_copy(struct dm_kcopyd_mq_item *item)
{
	struct clone_batch *batch = container_of(item, struct clone_batch, ticket.item);

	clone_copy(batch->clone, batch->clone->background, &batch->ticket, batch->first, batch->nr,
		   clone_batch_copied, batch);
}

/* Starts as many batches as may be under way. A worker is here, too: nothing is waited for. */
static void clone_hydrate(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;
	struct clone_batch *batch;

	for (;;) {
		mutex_lock(&h->lock);
		batch = clone_next_batch(clone);
		mutex_unlock(&h->lock);
		if (!batch)
			return;
		batch->ticket.item.fn = clone_batch_copy;
		if (dm_kcopyd_mq_reserve(clone->background, &batch->ticket))
			clone_batch_copy(&batch->ticket.item);
	}
}

static void clone_hydrate_work(struct work_struct *work)
{
	clone_hydrate(container_of(to_delayed_work(work), struct clone, hydrator.work));
}

/*
 *------------------------------------------------------------
 * Life
 *------------------------------------------------------------
 */

int clone_hydrator_init(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;

	mutex_init(&h->lock);
	INIT_DELAYED_WORK(&h->work, clone_hydrate_work);
	init_waitqueue_head(&h->idle);
	h->threshold = max(CLONE_COPY_SECTORS >> clone->region_shift, 1);
	h->batch = max(CLONE_BATCH_SECTORS >> clone->region_shift, 1);
	h->enabled = true;
	h->retry_at = jiffies;
	h->trickle_at = jiffies;
	h->calm_at = jiffies;
	return mempool_init_slab_pool(&h->batches, CLONE_MIN_BATCHES, clone_batch_slab);
}

void clone_hydrator_exit(struct clone *clone)
{
	mempool_exit(&clone->hydrator.batches);
}

/* After a change: perhaps something can be copied now. */
static void clone_hydrator_wake(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;

	lockdep_assert_held(&h->lock);

	if (h->running)
		mod_delayed_work(clone->wq, &h->work, 0);
}

void clone_hydrator_set(struct clone *clone, const unsigned int *threshold,
			const unsigned int *batch)
{
	struct clone_hydrator *h = &clone->hydrator;

	mutex_lock(&h->lock);
	if (threshold)
		h->threshold = *threshold;
	if (batch)
		h->batch = *batch;
	clone_hydrator_wake(clone);
	mutex_unlock(&h->lock);
}

void clone_hydrator_enable(struct clone *clone, bool enable)
{
	struct clone_hydrator *h = &clone->hydrator;

	mutex_lock(&h->lock);
	h->enabled = enable;
	clone_hydrator_wake(clone);
	mutex_unlock(&h->lock);
}

void clone_hydrator_run(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;

	mutex_lock(&h->lock);
	h->running = true;
	/* The devices may be others than before. */
	h->ceiling = CLONE_MAX_STEP;
	h->latency = 0;
	h->probes = 0;
	h->measured = 0;
	h->step = clone_least_step(clone);
	h->probe_at = jiffies;
	clone_hydrator_wake(clone);
	mutex_unlock(&h->lock);
}

void clone_hydrator_stop(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;

	mutex_lock(&h->lock);
	h->running = false;
	mutex_unlock(&h->lock);
	cancel_delayed_work_sync(&h->work);
	dm_kcopyd_mq_client_urgent_get(clone->background);
	wait_event(h->idle, !READ_ONCE(h->copying));
	dm_kcopyd_mq_client_urgent_put(clone->background);
}

int clone_hydrator_module_init(void)
{
	clone_batch_slab = kmem_cache_create(DM_SCALED_UNIQUE_NAME("dm_clone_batch"),
					     sizeof(struct clone_batch), 0, 0, NULL);
	return clone_batch_slab ? 0 : -ENOMEM;
}

void clone_hydrator_module_exit(void)
{
	kmem_cache_destroy(clone_batch_slab);
}
