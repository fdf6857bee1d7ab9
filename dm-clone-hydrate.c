// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hydration in the background.
 *
 * Batches of neighbouring regions are copied, several at a time; the end of one starts the next.
 * The window (@step) limits the sectors under way. It doubles with each round of copies that comes
 * back in time, as long as nobody else does I/O. A bio of anybody else makes it small again, until
 * a pause has lasted for a while, and no batch begins while such a bio is under way; so a user's
 * I/O never has much of ours to wait for. If there is no pause for a while, a small batch is copied
 * now and then all the same: a clone must become complete some day.
 *
 * A user's I/O waits for what is under way when it comes. "In time" is twice what the smallest copy
 * takes by itself: the devices are in use all the time then, and more would only wait. It may be a
 * millisecond, if that is more, and is never more than 25 ms longer than the smallest copy. If
 * copies take longer than that on average, the window shrinks in proportion (the ceiling, beyond
 * which it does not double). Only batches that fill the present window, and that nobody disturbs,
 * are averaged.
 *
 * Of the smallest copies the quickest says what the devices need; others may have waited for a CPU.
 * But with jitter the average of any window is more than twice that, so half more than the average
 * of the smallest copies is in time, too.
 *
 * If the smallest copy alone takes 25 ms or more, 32 KiB are under way at least.
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
/* Sectors under way at most, so that calculating with them does not overflow. */
#define CLONE_MAX_STEP		((sector_t)1 << 31)
/* Sectors that are copied at a time when others have just done I/O. */
#define CLONE_STEP_SECTORS	64
/* Sectors that are copied at a time however slow the devices are. */
#define CLONE_LEAST_SECTORS	8
/* All times are in ns: jiffies wrap, on 32-bit systems within weeks. */
/* How long the copies under way may take always, and longer than the smallest one at most. */
#define CLONE_QUICK		NSEC_PER_MSEC
#define CLONE_WAIT		(25 * NSEC_PER_MSEC)
/* What the smallest copies take counts up to that. */
#define CLONE_MAX_LATENCY	((u64)NSEC_PER_SEC)
/* For how long what copies take is averaged. */
#define CLONE_PERIOD		(50 * NSEC_PER_MSEC)
/* How seldom it is measured what the smallest copies take: always, and at most. */
#define CLONE_PROBE		(2ULL * NSEC_PER_SEC)
#define CLONE_MAX_PROBE		(60ULL * NSEC_PER_SEC)
/* By so many. */
#define CLONE_PROBES		4
/* How long nobody else must have done any before more is copied at a time. */
#define CLONE_CALM		(20 * NSEC_PER_MSEC)
/* Sectors a second that are copied while others do I/O all the time. */
#define CLONE_TRICKLE_SECTORS	2560
/* How soon to look for a pause of theirs. */
#define CLONE_POLL		(5 * NSEC_PER_MSEC)
/* After so many regions that failed one after another there is a pause. */
#define CLONE_MAX_FAILURES	16
#define CLONE_RETRY		NSEC_PER_SEC
#define CLONE_MIN_BATCHES	16

/**
 * struct clone_batch - neighbouring regions that are copied together
 * @clone: whose
 * @ticket: starts its copy
 * @first: the first one
 * @nr:    number of them
 * @begun: when, ns
 * @window: sectors that could be under way then
 * @alone: no other one was under way then
 * @full:  the window had no room for another one, and was half full at least
 */
struct clone_batch {
	struct clone *clone;
	struct dm_kcopyd_mq_ticket ticket;
	unsigned long first;
	unsigned long nr;
	u64 begun;
	sector_t window;
	bool alone;
	bool full;
};

static struct kmem_cache *clone_batch_slab;

/*
 * Whether bios of others are under way. These, and any that have been since the last call, make
 * the next batches small.
 */
static bool clone_others_are_busy(struct clone *clone, u64 now)
{
	struct clone_hydrator *h = &clone->hydrator;
	unsigned long begun;
	bool under_way, busy;

	lockdep_assert_held(&h->lock);

	begun = dm_scaled_bios_begun(&clone->cpus->bios, &under_way);
	busy = begun != h->begun || under_way;
	if (busy) {
		h->step = min_t(sector_t, CLONE_STEP_SECTORS, h->ceiling);
		h->calm_at = now + CLONE_CALM;
		h->measured = 0;
	}
	/* The first bio after a pause does not wait for a trickle, too. */
	if (busy && !h->others)
		h->trickle_at = max(h->trickle_at, h->calm_at);
	h->others = busy;
	h->begun = begun;
	return under_way;
}

/* The smallest step; a region at least, whatever its size. */
static sector_t clone_least_step(struct clone *clone)
{
	return max_t(sector_t, CLONE_LEAST_SECTORS, clone_region_size(clone));
}

/*
 * ns that the copies under way may take on average: as long again as the smallest one at its
 * quickest, or half as long again as it takes on average; but for a limit.
 */
static u64 clone_may_take(struct clone_hydrator *h)
{
	return max3((u64)CLONE_QUICK, h->latency + min_t(u64, h->latency, CLONE_WAIT),
		    h->mean + min_t(u64, h->mean / 2, CLONE_WAIT));
}

/* Where the window stops shrinking; on far devices, where it would take long to grow again. */
static sector_t clone_floor(struct clone *clone)
{
	if (clone->hydrator.latency < CLONE_WAIT)
		return clone_least_step(clone);
	return max_t(sector_t, CLONE_STEP_SECTORS, clone_region_size(clone));
}

/* Whether it is being measured what the smallest copies take; not while others do I/O. */
static bool clone_is_probing(struct clone_hydrator *h, u64 now)
{
	return now >= max(h->probe_at, h->calm_at);
}

/*
 * Regions that may be under way. What almost makes one more does: were the window rounded down, one
 * that just fits would shrink and grow without end. Two keep the source and the destination in use,
 * and a third one is what a user's I/O waits for: it has to fit well.
 */
static unsigned long clone_window_regions(struct clone *clone, sector_t window)
{
	sector_t region = clone_region_size(clone);
	unsigned long nr = (window + region / 4) >> clone->region_shift;

	if (nr == 3 && 2 * window < 7 * region)
		nr = 2;
	return min_t(unsigned long, clone->hydrator.threshold, max(nr, 1UL));
}

/*
 * Regions that the next batch may have, 0 for none now. Whole batches: were as little begun as has
 * just ended, small ones would make small ones forever.
 */
static unsigned long clone_batch_room(struct clone *clone, sector_t window)
{
	struct clone_hydrator *h = &clone->hydrator;
	unsigned long limit = clone_window_regions(clone, window);
	unsigned long nr = min_t(unsigned long, limit, max(h->batch, 1U));

	lockdep_assert_held(&h->lock);

	/*
	 * A window that no longer grows is filled by equal batches, of which one can be read while
	 * another one is written.
	 */
	if (window == h->ceiling && nr)
		nr = max(limit / max(DIV_ROUND_UP(limit, nr), 2UL), 1UL);
	/* Where runs are short no room is kept for long ones. */
	if (h->run)
		nr = min(nr, 2 * h->run);
	if (h->next >= h->careful && h->next < h->careful_end)
		nr = min(nr, 1UL);
	return limit >= h->copying + nr ? nr : 0;
}

/*
 * A batch ends during a probe. All others have to end for it, so the longer the smallest copies
 * take the more seldom they are measured.
 */
static void clone_probe(struct clone *clone, const struct clone_batch *batch, u64 now)
{
	struct clone_hydrator *h = &clone->hydrator;
	u64 took = now - batch->begun;

	lockdep_assert_held(&h->lock);

	h->measured = 0;
	if (!batch->alone ||
	    clone_sectors(clone, batch->first, batch->nr) > clone_least_step(clone))
		return;
	h->quickest = h->probes ? min(h->quickest, took) : took;
	h->probed = (h->probes ? h->probed : 0) + min(took, CLONE_MAX_LATENCY);
	if (++h->probes < CLONE_PROBES)
		return;
	h->probes = 0;
	h->probe_at = now + clamp_t(u64, 64 * h->quickest, CLONE_PROBE, CLONE_MAX_PROBE);
	h->latency = min(h->quickest, CLONE_MAX_LATENCY);
	h->mean = div_u64(h->probed, CLONE_PROBES);
	h->ceiling = max(h->ceiling, clone_floor(clone));
	h->step = max(h->step, clone_floor(clone));
}

/* A batch that filled the present window took so many ns: sets the ceiling now and then. */
static void clone_measure(struct clone *clone, u64 took, u64 now)
{
	struct clone_hydrator *h = &clone->hydrator;
	u64 sectors = (u64)clone_window_regions(clone, h->step) << clone->region_shift;

	lockdep_assert_held(&h->lock);

	if (!h->measured) {
		h->measured = now;
		h->measured_took = 0;
		h->measured_nr = 0;
	}
	h->measured_took += took;
	h->measured_nr++;
	if (now - h->measured < max_t(u64, CLONE_PERIOD, 8 * h->latency))
		return;
	took = max_t(u64, div64_u64(h->measured_took, h->measured_nr), 1);
	/* Fits: not much more than 2^31 by less than 2^31. */
	h->ceiling = clamp_t(u64, div64_u64(sectors * clone_may_take(h), took),
			     clone_floor(clone), CLONE_MAX_STEP);
	h->step = min(h->step, h->ceiling);
	h->measured = 0;
}

/* A batch ends well. Only one that filled the present window says something about it. */
static void clone_adapt(struct clone *clone, const struct clone_batch *batch)
{
	struct clone_hydrator *h = &clone->hydrator;
	u64 now = ktime_get_ns(), took = now - batch->begun;

	lockdep_assert_held(&h->lock);

	/* A bio that has come and gone meanwhile has disturbed this batch. */
	clone_others_are_busy(clone, now);
	if (batch->begun < h->calm_at)
		return;
	if (clone_is_probing(h, now)) {
		clone_probe(clone, batch, now);
	} else if (batch->window != h->step || !batch->full) {
		return;
	} else if (took <= clone_may_take(h) && h->step < h->ceiling &&
		   clone_window_regions(clone, h->step) < h->threshold) {
		h->step = min(2 * h->step, h->ceiling);
		h->measured = 0;
	} else {
		clone_measure(clone, took, now);
	}
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

	batch->nr = clone_claim_run(clone, h->next, most, &batch->first);
	/* Once around. */
	if (!batch->nr && h->next)
		batch->nr = clone_claim_run(clone, 0, most, &batch->first);
	if (batch->nr)
		h->next = batch->first + batch->nr;
}

static void clone_look_after(struct clone *clone, u64 ns)
{
	queue_delayed_work(clone->wq, &clone->hydrator.work, max(nsecs_to_jiffies(ns), 1UL));
}

static struct clone_batch *clone_next_batch(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;
	struct clone_batch *batch;
	u64 now = ktime_get_ns();
	unsigned long most;
	sector_t window;
	bool busy;

	lockdep_assert_held(&h->lock);

	if (!h->enabled || !h->running || !clone_writable(clone) ||
	    clone_bitmap_is_complete(clone->bitmap))
		return NULL;
	if (now < h->retry_at) {
		clone_look_after(clone, h->retry_at - now);
		return NULL;
	}
	busy = clone_others_are_busy(clone, now);
	if (busy && (h->copying || now < h->trickle_at)) {
		clone_look_after(clone, CLONE_POLL);
		return NULL;
	}

	window = clone_is_probing(h, now) ? clone_least_step(clone) : h->step;
	most = clone_batch_room(clone, window);
	if (!most)
		return NULL;
	/* If there is none, some are under way, and the end of each leads here. */
	batch = mempool_alloc(&h->batches, GFP_NOWAIT | __GFP_NOWARN);
	if (!batch)
		return NULL;
	batch->clone = clone;
	batch->begun = now;
	batch->window = window;
	batch->alone = !h->copying;
	/* A bio that finds a region busy looks at it then, see clone_hydrator_is_copying(). */
	WRITE_ONCE(h->copying, h->copying + most);
	clone_find_batch(clone, batch, most);
	WRITE_ONCE(h->copying, h->copying - most + batch->nr);
	if (!batch->nr) {
		/* All that is left is being filled by others, who may fail. */
		mempool_free(batch, &h->batches);
		clone_look_after(clone, CLONE_RETRY);
		return NULL;
	}
	h->run = batch->nr < most ? batch->nr : 0;
	batch->full = !clone_batch_room(clone, window) &&
		      2 * h->copying >= clone_window_regions(clone, window);
	/* Regions may be large: then it is the longer until the next one. */
	if (busy)
		h->trickle_at = now + div_u64(clone_sectors(clone, batch->first, batch->nr) *
					      (u64)NSEC_PER_SEC, CLONE_TRICKLE_SECTORS);
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
		h->retry_at = ktime_get_ns() + CLONE_RETRY;
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
		clone_adapt(clone, batch);
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
		WRITE_ONCE(h->threshold, *threshold);
	if (batch)
		WRITE_ONCE(h->batch, *batch);
	clone_hydrator_wake(clone);
	mutex_unlock(&h->lock);
}

void clone_hydrator_enable(struct clone *clone, bool enable)
{
	struct clone_hydrator *h = &clone->hydrator;

	mutex_lock(&h->lock);
	WRITE_ONCE(h->enabled, enable);
	clone_hydrator_wake(clone);
	mutex_unlock(&h->lock);
}

void clone_hydrator_run(struct clone *clone)
{
	struct clone_hydrator *h = &clone->hydrator;
	u64 now = ktime_get_ns();

	mutex_lock(&h->lock);
	h->running = true;
	/* The devices may be others than before. */
	h->ceiling = CLONE_MAX_STEP;
	h->latency = 0;
	h->mean = 0;
	h->probes = 0;
	/* What was mapped before does not disturb the first copies. */
	clone_others_are_busy(clone, now);
	h->step = clone_least_step(clone);
	h->calm_at = now;
	h->probe_at = now;
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
