// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hydration in the background: which regions are copied, how many at a time, and when. Time, the
 * copies and the worker are the test's own, but for the last cases.
 */
#include <linux/prandom.h>
#include <linux/random.h>

#include "kunit-clone.h"

#define dm_table_device_name(table)	"kunit"

#include "dm-clone-scaled.h"

static bool hydrate_reserve(struct dm_kcopyd_mq_client *kcopyd,
			    struct dm_kcopyd_mq_ticket *ticket);
static void hydrate_copy(struct clone *clone, struct dm_kcopyd_mq_client *kcopyd,
			 struct dm_kcopyd_mq_ticket *ticket, unsigned long region,
			 unsigned long nr, dm_kcopyd_notify_fn fn, void *context);
static void hydrate_queue(struct clone *clone, unsigned long delay);
static void hydrate_mod(struct clone *clone, unsigned long delay);
static void *hydrate_alloc(mempool_t *pool, gfp_t gfp);
static u64 hydrate_ns(void);
static void hydrate_urgent(struct dm_kcopyd_mq_client *kc, int change);

/* It is a macro already where the kernel accounts allocations to their callers. */
static void *hydrate_kernels_alloc(mempool_t *pool, gfp_t gfp)
{
	return mempool_alloc(pool, gfp);
}

#undef mempool_alloc
#define dm_kcopyd_mq_reserve(kcopyd, ticket)	hydrate_reserve(kcopyd, ticket)
#define clone_copy(clone, kcopyd, ticket, region, nr, fn, context) \
	hydrate_copy(clone, kcopyd, ticket, region, nr, fn, context)
#define queue_delayed_work(wq, work, delay)	hydrate_queue(clone, delay)
#define mod_delayed_work(wq, work, delay)	hydrate_mod(clone, delay)
#define mempool_alloc(pool, gfp)		hydrate_alloc(pool, gfp)
#define ktime_get_ns()				hydrate_ns()
#define dm_kcopyd_mq_client_urgent_get(kc)	hydrate_urgent(kc, 1)
#define dm_kcopyd_mq_client_urgent_put(kc)	hydrate_urgent(kc, -1)

#include "dm-clone-hydrate.c"

#undef dm_kcopyd_mq_reserve
#undef clone_copy
#undef queue_delayed_work
#undef mod_delayed_work
#undef mempool_alloc
#undef ktime_get_ns
#undef dm_kcopyd_mq_client_urgent_get
#undef dm_kcopyd_mq_client_urgent_put

/* A step is of one region, which is twice as large, a batch of 16, and the threshold is 256. */
#define SHIFT		7
#define STEP		1
#define REGIONS		1000UL
#define SIZE		((sector_t)REGIONS << SHIFT)
#define MAX_COPIES	16384
#define NOT_QUEUED	ULONG_MAX
#define HOUR		(3600ULL * NSEC_PER_SEC)

/**
 * struct hydrate_copy - a batch that is being copied
 * @first:   first region
 * @nr:      number of them
 * @fn:      to be called at the end
 * @context: for @fn
 * @begun:   when, ns
 * @ends:    when it ends, for devices of a certain speed
 */
struct hydrate_copy {
	unsigned long first;
	unsigned long nr;
	u64 begun;
	u64 ends;
	dm_kcopyd_notify_fn fn;
	void *context;
};

/**
 * struct fixture - a clone that is in no table
 * @test:       the case
 * @meta:       for the bitmap
 * @clone:      the clone
 * @ti:         its target
 * @source_dev: and devices, if it copies
 * @dest_dev:   likewise
 * @ns:         the time
 * @urgent:     how many want the background's copies at once
 * @delay:      after which the worker is to come, or NOT_QUEUED
 * @copies:     all that were begun
 * @nr_copies:  number of them
 * @done:       so many of them have ended
 * @made:       the hydrator has been initialized
 * @real:       it copies, and time passes
 */
static struct fixture {
	struct kunit *test;
	struct test_disk *meta;
	struct clone clone;
	struct dm_target ti;
	struct dm_dev source_dev;
	struct dm_dev dest_dev;
	u64 ns;
	atomic_t urgent;
	unsigned long delay;
	struct hydrate_copy copies[MAX_COPIES];
	unsigned int nr_copies;
	unsigned int done;
	bool made;
	bool real;
} fixture;

static bool hydrate_reserve(struct dm_kcopyd_mq_client *kcopyd,
			    struct dm_kcopyd_mq_ticket *ticket)
{
	return !fixture.real || dm_kcopyd_mq_reserve(kcopyd, ticket);
}

static void hydrate_copy(struct clone *clone, struct dm_kcopyd_mq_client *kcopyd,
			 struct dm_kcopyd_mq_ticket *ticket, unsigned long region,
			 unsigned long nr, dm_kcopyd_notify_fn fn, void *context)
{
	struct fixture *f = &fixture;

	if (f->real)
		clone_copy(clone, kcopyd, ticket, region, nr, fn, context);
	else if (!WARN_ON(f->nr_copies == MAX_COPIES))
		f->copies[f->nr_copies++] = (struct hydrate_copy) {
			.first = region,
			.nr = nr,
			.begun = f->ns,
			.fn = fn,
			.context = context,
		};
}

/* Whoever is queued already comes when he was to come. */
static void hydrate_queue(struct clone *clone, unsigned long delay)
{
	if (fixture.real)
		queue_delayed_work(clone->wq, &clone->hydrator.work, delay);
	else if (fixture.delay == NOT_QUEUED)
		fixture.delay = delay;
}

static void hydrate_mod(struct clone *clone, unsigned long delay)
{
	if (fixture.real)
		mod_delayed_work(clone->wq, &clone->hydrator.work, delay);
	else
		fixture.delay = delay;
}

static void *hydrate_alloc(mempool_t *pool, gfp_t gfp)
{
	return ku_may_allocate() ? hydrate_kernels_alloc(pool, gfp) : NULL;
}

static u64 hydrate_ns(void)
{
	return fixture.real ? ktime_get_ns() : fixture.ns;
}

static void hydrate_urgent(struct dm_kcopyd_mq_client *kc, int change)
{
	KUNIT_EXPECT_PTR_EQ(fixture.test, kc, fixture.clone.background);
	atomic_add(change, &fixture.urgent);
}

/*
 * The clone.
 */

static struct fixture *setup_clone(struct kunit *test, unsigned int shift, sector_t size)
{
	struct fixture *f = &fixture;
	struct clone *c = &f->clone;

	f->test = test;
	f->meta = ku_disk(test, 64, 0);
	f->ns = 1;
	f->delay = NOT_QUEUED;
	f->ti.len = size;
	c->ti = &f->ti;
	ku_clone_make(test, c, f->meta, shift);
	KUNIT_ASSERT_EQ(test, clone_hydrator_init(c), 0);
	f->made = true;
	return f;
}

/* It is running, but the worker has not come yet. What small copies take is measured later. */
static struct fixture *setup_size(struct kunit *test, sector_t size)
{
	struct fixture *f = setup_clone(test, SHIFT, size);

	clone_hydrator_run(&f->clone);
	KUNIT_EXPECT_EQ(test, f->delay, 0UL);
	f->clone.hydrator.probe_at = f->ns + HOUR;
	return f;
}

static struct fixture *setup(struct kunit *test)
{
	return setup_size(test, SIZE);
}

/* The same; @threshold regions are copied at a time, in batches of @batch, which teach nothing. */
static struct fixture *setup_batches(struct kunit *test, unsigned int threshold,
				     unsigned int batch)
{
	struct fixture *f = setup(test);

	f->clone.hydrator.step = CLONE_MAX_STEP / 2;
	f->clone.hydrator.calm_at = f->ns + HOUR;
	clone_hydrator_set(&f->clone, &threshold, &batch);
	return f;
}

/* Time passes. */
static void pass(struct fixture *f, u64 ns)
{
	f->ns += ns;
}

/* The worker comes. */
static void work(struct fixture *f)
{
	if (f->delay == NOT_QUEUED)
		return;
	pass(f, jiffies_to_nsecs(f->delay));
	f->delay = NOT_QUEUED;
	clone_hydrate_work(&f->clone.hydrator.work.work);
}

static unsigned int open_copies(struct fixture *f)
{
	return f->nr_copies - f->done;
}

/* The copy that was begun first ends. */
static void end_copy(struct fixture *f, int read_err, unsigned long write_err)
{
	struct hydrate_copy *copy;

	KUNIT_ASSERT_GT(f->test, open_copies(f), 0U);
	copy = &f->copies[f->done++];
	copy->fn(read_err, write_err, copy->context);
}

static void expect_copy(struct kunit *test, struct fixture *f, unsigned int i,
			unsigned long first, unsigned long nr)
{
	KUNIT_ASSERT_GT(test, f->nr_copies, i);
	KUNIT_EXPECT_EQ(test, f->copies[i].first, first);
	KUNIT_EXPECT_EQ(test, f->copies[i].nr, nr);
}

static long filling(struct fixture *f)
{
	unsigned int cpu;
	long sum = 0;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(f->clone.cpus, cpu)->filled;
	return sum;
}

static bool is_hydrated(struct fixture *f, unsigned long region)
{
	return clone_bitmap_test(f->clone.bitmap, region);
}

static void hydrate(struct fixture *f, unsigned long first, unsigned long last)
{
	unsigned long region;

	for (region = first; region < last; region++)
		clone_bitmap_set(f->clone.bitmap, region);
}

/* Bios of others. */
static void others(struct fixture *f, unsigned int begun, unsigned int ended)
{
	this_cpu_add(f->clone.cpus->bios.begun, begun);
	this_cpu_add(f->clone.cpus->bios.ended, ended);
}

static void hydrate_exit(struct kunit *test)
{
	struct fixture *f = &fixture;
	struct clone *c = &f->clone;

	ku_allow(KU_ALL);
	if (f->made) {
		c->hydrator.running = false;
		while (open_copies(f))
			end_copy(f, 0, 0);
		clone_hydrator_stop(c);
		KUNIT_EXPECT_EQ(test, find_first_bit(c->busy, c->regions), c->regions);
		KUNIT_EXPECT_EQ(test, filling(f), 0L);
		KUNIT_EXPECT_EQ(test, c->hydrator.copying, 0UL);
		KUNIT_EXPECT_EQ(test, c->hydrator.batches.curr_nr, CLONE_MIN_BATCHES);
		clone_hydrator_exit(c);
	}
	ku_client_destroy(test);
	if (c->wq)
		destroy_workqueue(c->wq);
	ku_clone_destroy(c);
	memset(f, 0, sizeof(*f));
	ku_exit(test);
}

/*
 * Which regions.
 */

struct defaults {
	unsigned int shift;
	unsigned int threshold;
	unsigned int batch;
};

static const struct defaults all_defaults[] = {
	{ 3, 4096, 256 }, { 7, 256, 16 }, { 11, 16, 1 }, { 12, 8, 1 }, { 15, 1, 1 }, { 21, 1, 1 },
};

static void defaults_desc(const struct defaults *d, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "regions of %u sectors", 1U << d->shift);
}

KUNIT_ARRAY_PARAM(defaults, all_defaults, defaults_desc);

static void begins_with_defaults(struct kunit *test)
{
	const struct defaults *d = test->param_value;
	struct fixture *f = setup_clone(test, d->shift, (sector_t)REGIONS << d->shift);
	struct clone_hydrator *h = &f->clone.hydrator;

	KUNIT_EXPECT_EQ(test, h->threshold, d->threshold);
	KUNIT_EXPECT_EQ(test, h->batch, d->batch);
	KUNIT_EXPECT_TRUE(test, h->enabled);
	KUNIT_EXPECT_FALSE(test, h->running);
	/* One is copied, however large it is. */
	clone_hydrator_run(&f->clone);
	work(f);
	KUNIT_ASSERT_GE(test, f->nr_copies, 1U);
	KUNIT_EXPECT_EQ(test, f->copies[0].first, 0UL);
	KUNIT_EXPECT_EQ(test, f->copies[0].nr, max(CLONE_LEAST_SECTORS >> d->shift, 1));
}

static void keeps_to_threshold_and_batch(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 7, 3);
	unsigned int value;

	work(f);
	expect_copy(test, f, 0, 0, 3);
	expect_copy(test, f, 1, 3, 3);
	/* There is room for one more region, but not for a batch. */
	KUNIT_EXPECT_EQ(test, f->nr_copies, 2U);
	KUNIT_EXPECT_EQ(test, filling(f), 6L);
	KUNIT_EXPECT_EQ(test, f->clone.hydrator.copying, 6UL);
	KUNIT_EXPECT_TRUE(test, test_bit(5, f->clone.busy));
	KUNIT_EXPECT_FALSE(test, test_bit(6, f->clone.busy));

	/* The end of one is the begin of the next. */
	end_copy(f, 0, 0);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 0) && is_hydrated(f, 1) && is_hydrated(f, 2));
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 3));
	expect_copy(test, f, 2, 6, 3);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 3U);
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);

	/* With less there is nothing to begin until enough has ended. */
	value = 3;
	clone_hydrator_set(&f->clone, &value, NULL);
	KUNIT_EXPECT_EQ(test, f->delay, 0UL);
	work(f);
	end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 3U);
	end_copy(f, 0, 0);
	expect_copy(test, f, 3, 9, 3);

	/* Batches of none are of one. */
	value = 0;
	clone_hydrator_set(&f->clone, NULL, &value);
	KUNIT_EXPECT_EQ(test, f->clone.hydrator.threshold, 3U);
	end_copy(f, 0, 0);
	expect_copy(test, f, 4, 12, 1);
	expect_copy(test, f, 6, 14, 1);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 7U);

	/* A threshold of none means none. */
	clone_hydrator_set(&f->clone, &value, NULL);
	work(f);
	while (open_copies(f))
		end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 7U);
	value = 1;
	clone_hydrator_set(&f->clone, &value, NULL);
	work(f);
	expect_copy(test, f, 7, 15, 1);
}

/* Batches that were small, as there was not more in one piece, fill the room, and grow again. */
static void small_batches_are_not_handed_down(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 8, 4);
	unsigned long region;
	unsigned int i;

	for (region = 1; region < 16; region += 2)
		hydrate(f, region, region + 1);
	work(f);
	/* The next one might be twice as large as the last one. */
	KUNIT_EXPECT_EQ(test, f->nr_copies, 7U);
	for (i = 0; i < 8; i++) {
		end_copy(f, 0, 0);
		expect_copy(test, f, i, 2 * i, 1);
	}
	expect_copy(test, f, 8, 16, 2);
	expect_copy(test, f, 9, 18, 4);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 10U);
}

static void skips_what_needs_no_copy(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 13, 4);

	hydrate(f, 0, 2);
	hydrate(f, 5, 7);
	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 9));
	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 14));
	work(f);
	expect_copy(test, f, 0, 2, 3);
	expect_copy(test, f, 1, 7, 2);
	expect_copy(test, f, 2, 10, 4);
	expect_copy(test, f, 3, 15, 4);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 4U);
	clone_region_release(&f->clone, 9, BLK_STS_IOERR);
	clone_region_release(&f->clone, 14, BLK_STS_IOERR);
}

static void goes_round(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 4, 2);

	hydrate(f, 10, REGIONS - 2);
	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 2));
	work(f);
	expect_copy(test, f, 0, 0, 2);
	expect_copy(test, f, 1, 3, 2);
	end_copy(f, 0, 0);
	end_copy(f, 0, 0);
	expect_copy(test, f, 2, 5, 2);
	expect_copy(test, f, 3, 7, 2);
	/* Meanwhile whoever had that one has failed. */
	clone_region_release(&f->clone, 2, BLK_STS_IOERR);
	end_copy(f, 0, 0);
	expect_copy(test, f, 4, 9, 1);
	/* The last ones, and the first one that is left. */
	end_copy(f, 0, 0);
	expect_copy(test, f, 5, REGIONS - 2, 2);
	end_copy(f, 0, 0);
	expect_copy(test, f, 6, 2, 1);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 7U);
}

static void ends_when_all_is_hydrated(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 4, 4);

	hydrate(f, 0, REGIONS - 4);
	work(f);
	expect_copy(test, f, 0, REGIONS - 4, 4);
	end_copy(f, 0, 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_complete(f->clone.bitmap));
	KUNIT_EXPECT_EQ(test, f->nr_copies, 1U);
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);
	clone_hydrator_enable(&f->clone, true);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 1U);
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);
}

/* They may fail: so it looks again, without haste. */
static void waits_for_others_to_fill(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 4, 4);

	hydrate(f, 1, REGIONS);
	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 0));
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 0U);
	KUNIT_EXPECT_EQ(test, f->delay, nsecs_to_jiffies(CLONE_RETRY));
	KUNIT_EXPECT_EQ(test, f->clone.hydrator.copying, 0UL);
	KUNIT_EXPECT_EQ(test, f->clone.hydrator.batches.curr_nr, CLONE_MIN_BATCHES);
	clone_region_release(&f->clone, 0, BLK_STS_IOERR);
	work(f);
	expect_copy(test, f, 0, 0, 1);
}

/*
 * How much.
 */

/* Nobody else does anything: until as much is copied as may be. */
static void speed_up(struct kunit *test, struct fixture *f)
{
	while (f->clone.hydrator.copying < 256) {
		KUNIT_ASSERT_LT(test, f->done, 200U);
		end_copy(f, 0, 0);
	}
}

static void step_doubles(struct kunit *test)
{
	static const unsigned long nr[] = { 1, 2, 4, 8, 16 };
	struct fixture *f = setup(test);
	unsigned long first = 0;
	unsigned int i;

	work(f);
	for (i = 0; i < ARRAY_SIZE(nr); i++) {
		expect_copy(test, f, i, first, nr[i]);
		KUNIT_EXPECT_EQ(test, f->nr_copies, i + 1);
		first += nr[i];
		end_copy(f, 0, 0);
	}
	/* No longer in one batch; as far as the threshold, and then as batches end. */
	KUNIT_EXPECT_EQ(test, f->clone.hydrator.copying, 32UL);
	KUNIT_EXPECT_EQ(test, f->nr_copies, i + 2);
	speed_up(test, f);
	end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, f->clone.hydrator.copying, 256UL);
}

/* Others have done something since it was last looked: a little, and then more again. */
static void step_falls_back(struct kunit *test)
{
	struct fixture *f = setup_size(test, 4 * SIZE);
	unsigned int i, begun;

	work(f);
	speed_up(test, f);
	others(f, 1, 1);
	begun = f->nr_copies;
	/* Each of them, even the last one, is as much as a step. */
	while (f->done < begun) {
		KUNIT_EXPECT_EQ(test, f->nr_copies, begun);
		end_copy(f, 0, 0);
	}
	KUNIT_ASSERT_GT(test, f->nr_copies, begun);
	KUNIT_EXPECT_EQ(test, f->copies[begun].nr, (unsigned long)STEP);

	/* Nothing has happened since, but not for long. */
	for (i = 0; i < 5; i++) {
		end_copy(f, 0, 0);
		KUNIT_EXPECT_EQ(test, f->clone.hydrator.copying, (unsigned long)STEP);
	}
	pass(f, CLONE_CALM);
	speed_up(test, f);
}

/* Nor does the ceiling, with the largest step there is. */
static void step_does_not_overflow(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct clone_hydrator *h = &f->clone.hydrator;
	struct clone_batch batch = { .clone = &f->clone, .nr = 1, .full = true };
	unsigned int i;

	h->threshold = UINT_MAX;
	mutex_lock(&h->lock);
	for (i = 0; i < 200; i++) {
		batch.window = h->step;
		batch.begun = f->ns;
		if (i >= 100)
			pass(f, NSEC_PER_MSEC);
		clone_adapt(&f->clone, &batch);
	}
	KUNIT_EXPECT_EQ(test, h->step, CLONE_MAX_STEP);
	KUNIT_EXPECT_EQ(test, h->ceiling, CLONE_MAX_STEP);
	KUNIT_EXPECT_EQ(test, (sector_t)clone_window_regions(&f->clone, h->step),
			CLONE_MAX_STEP >> SHIFT);
	mutex_unlock(&h->lock);
}

/* With a small threshold it stays at that: a larger one is approached as usual. */
static void step_keeps_to_the_threshold(struct kunit *test)
{
	struct fixture *f = setup(test);
	unsigned int i, threshold = 2;

	clone_hydrator_set(&f->clone, &threshold, NULL);
	work(f);
	for (i = 0; i < 100; i++)
		end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, f->clone.hydrator.step, (sector_t)2 << SHIFT);
}

/**
 * struct speed - of the devices
 * @name:    of the case
 * @shift:   of the size of regions, sectors
 * @sectors: that they copy in a second
 * @latency: of each copy besides, ns
 * @jitter:  that much more once in two copies, twice that in four, and so on: the mean, ns
 * @holes:   every second region needs no copy
 * @least:   ns for which there must be copies under way in the end, at least
 * @most:    and at most
 * @percent: of @sectors that must be copied in a second in the end
 */
struct speed {
	const char *name;
	unsigned int shift;
	u64 sectors;
	u64 latency;
	u64 jitter;
	bool holes;
	u64 least;
	u64 most;
	unsigned int percent;
};

#define US	((u64)NSEC_PER_USEC)
#define MS	((u64)NSEC_PER_MSEC)

static const struct speed speeds[] = {
	{ "8 MB/s", 3, 16000, 0, 0, false, 0, 1 * MS, 95 },
	/* Two regions, although three would fit into twice the latency, and a half. */
	{ "8 MB/s, and 0.2 ms", 3, 16000, 200 * US, 0, false, 0, 1 * MS, 95 },
	{ "8 MB/s, holes", 3, 16000, 0, 0, true, 0, 1 * MS, 80 },
	{ "1 MB/s", 3, 2000, 0, 0, false, 0, 8 * MS, 95 },
	{ "100 MB/s", 3, 200000, 0, 0, false, 0, 1100 * US, 95 },
	{ "100 MB/s that seeks", 7, 200000, 10 * MS, 0, false, 10 * MS, 25 * MS, 90 },
	/* The first of these find the window at once, the last ones have to approach it. */
	{ "100 MB/s, 20 ms away", 3, 200000, 20 * MS, 0, false, 20 * MS, 55 * MS, 85 },
	{ "100 MB/s, 30 ms away", 3, 200000, 30 * MS, 0, false, 20 * MS, 60 * MS, 80 },
	{ "100 MB/s, 45 ms away", 3, 200000, 45 * MS, 0, false, 40 * MS, 75 * MS, 70 },
	/* It has not found the window in that time. */
	{ "100 MB/s far away", 3, 200000, 300 * MS, 0, false, 64 * (NSEC_PER_SEC / 200000),
	  330 * MS, 0 },
	{ "100 MB/s with jitter", 3, 200000, 300 * US, 1 * MS, false, 0, 10 * MS, 40 },
	{ "100 MB/s, 1 ms away with jitter", 3, 200000, 1 * MS, 1 * MS, false, 0, 15 * MS, 40 },
	/* What is under way takes 5 ms, as more would only wait, and its average copy 14 ms. */
	{ "100 MB/s, 5 ms away with jitter", 3, 200000, 5 * MS, 5 * MS, false, 0, 15 * MS, 30 },
	{ "100 MB/s, 1 ms away, holes", 3, 200000, 1 * MS, 100 * US, true, 0, 6 * MS, 80 },
	{ "100 MB/s, 2 ms away, holes", 3, 200000, 2 * MS, 400 * US, true, 0, 10 * MS, 80 },
	{ "4 GB/s", 8, 8000000, 0, 0, false, 500 * US, 1200 * US, 90 },
};

static void speed_desc(const struct speed *s, char *desc)
{
	strscpy(desc, s->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(speed, speeds, speed_desc);

/**
 * struct devices - that copy
 * @s:       their speed
 * @random:  for the jitter
 * @begun:   so many copies have a time
 * @free_at: ns; when the transfer of the next one can begin
 * @busy:    sectors being copied, at most, since it was set to 0
 */
struct devices {
	const struct speed *s;
	struct rnd_state random;
	unsigned int begun;
	u64 free_at;
	u64 busy;
};

/*
 * The next copy ends: one transfer follows another, each copy takes its latency besides, and may
 * overtake those with more.
 */
static void end_next_copy(struct fixture *f, struct devices *d)
{
	const struct speed *s = d->s;
	unsigned int i, next;

	d->busy = max(d->busy, (u64)f->clone.hydrator.copying << s->shift);
	if (f->done >= MAX_COPIES / 2) {
		memmove(f->copies, f->copies + f->done, open_copies(f) * sizeof(f->copies[0]));
		d->begun -= f->done;
		f->nr_copies -= f->done;
		f->done = 0;
	}
	for (; d->begun < f->nr_copies; d->begun++) {
		struct hydrate_copy *copy = &f->copies[d->begun];
		u64 transfer = ((u64)copy->nr << s->shift) * NSEC_PER_SEC;

		d->free_at = max(copy->begun, d->free_at) + div64_u64(transfer, s->sectors);
		copy->ends = d->free_at + s->latency;
		while (prandom_u32_state(&d->random) & 1)
			copy->ends += s->jitter;
	}
	next = f->done;
	for (i = next; i < f->nr_copies; i++)
		if (f->copies[i].ends < f->copies[next].ends)
			next = i;
	swap(f->copies[f->done], f->copies[next]);
	pass(f, f->copies[f->done].ends - f->ns);
	end_copy(f, 0, 0);
}

/* No more is under way than makes copying faster, and as much as does. */
static void copies_at_the_speed_of_devices(struct kunit *test)
{
	const struct speed *s = test->param_value;
	unsigned long regions = 40000, copied = 0, i;
	struct fixture *f = setup_clone(test, s->shift, (u64)regions << s->shift);
	struct clone_hydrator *h = &f->clone.hydrator;
	struct devices d = { .s = s };
	u64 since, takes;

	prandom_seed_state(&d.random, 1);
	for (i = 1; s->holes && i < regions; i += 2)
		hydrate(f, i, i + 1);
	clone_hydrator_run(&f->clone);
	work(f);
	while (h->next < regions / 3 * 2 && f->ns < 4ULL * NSEC_PER_SEC)
		end_next_copy(f, &d);
	takes = div64_u64(d.busy * NSEC_PER_SEC, s->sectors);
	/* Until the ceiling is known as well, but for the last doubling. */
	KUNIT_EXPECT_LE(test, takes, 2 * s->most);

	since = f->ns;
	d.busy = 0;
	while (h->next < regions - 2000 && f->ns < 6ULL * NSEC_PER_SEC) {
		copied += f->copies[f->done].nr;
		end_next_copy(f, &d);
	}
	takes = div64_u64(d.busy * NSEC_PER_SEC, s->sectors);
	KUNIT_EXPECT_GE(test, takes, s->least);
	KUNIT_EXPECT_LE(test, takes, s->most);
	KUNIT_EXPECT_GE(test, ((u64)copied << s->shift) * 100,
			div_u64((f->ns - since) / USEC_PER_MSEC * s->sectors, USEC_PER_SEC) *
			s->percent);
}

/* A copy ends that took so long. */
static void end_copy_after(struct fixture *f, u64 ns)
{
	pass(f, ns);
	end_copy(f, 0, 0);
}

/*
 * The quickest of some copies counts that are the smallest ones and alone; then it is no longer
 * measured, for a while.
 */
static void smallest_copies_are_measured(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct clone_hydrator *h = &f->clone.hydrator;
	unsigned int i, late;

	h->step = 8 << SHIFT;
	work(f);
	KUNIT_EXPECT_EQ(test, open_copies(f), 1U);
	h->step = 32 << SHIFT;
	end_copy_after(f, 5000);
	KUNIT_ASSERT_GT(test, open_copies(f), 1U);
	KUNIT_EXPECT_EQ(test, h->latency, 0ULL);

	h->probe_at = f->ns;
	late = f->nr_copies;
	while (f->done < late)
		end_copy_after(f, 1000);
	KUNIT_EXPECT_EQ(test, h->latency, 0ULL);
	for (i = 0; i < CLONE_PROBES; i++) {
		KUNIT_EXPECT_EQ(test, open_copies(f), 1U);
		KUNIT_EXPECT_EQ(test, f->copies[f->done].nr, 1UL);
		KUNIT_EXPECT_EQ(test, h->latency, 0ULL);
		end_copy_after(f, i == 1 ? 2000 : 3000 + i);
	}
	KUNIT_EXPECT_EQ(test, h->latency, 2000ULL);
	KUNIT_EXPECT_EQ(test, h->probe_at, f->ns + CLONE_PROBE);
	KUNIT_EXPECT_GT(test, f->copies[f->done].nr, 1UL);

	/* It is forgotten what it was. */
	pass(f, CLONE_PROBE);
	late = f->nr_copies;
	while (f->done < late + CLONE_PROBES)
		end_copy_after(f, 7000);
	KUNIT_EXPECT_EQ(test, h->latency, 7000ULL);
}

/* Copies that others disturb say nothing about the devices, even if that is noticed late. */
static void others_are_not_measured(struct kunit *test)
{
	struct fixture *f = setup_clone(test, SHIFT, 150000ULL << SHIFT);
	struct clone_hydrator *h = &f->clone.hydrator;
	sector_t ceiling;
	unsigned int i;

	clone_hydrator_run(&f->clone);
	work(f);
	for (i = 0; i < 2000; i++)
		end_copy_after(f, NSEC_PER_MSEC / 10);
	ceiling = h->ceiling;
	others(f, 1, 1);
	end_copy_after(f, NSEC_PER_SEC);
	KUNIT_EXPECT_EQ(test, h->ceiling, ceiling);

	/* Nor while the smallest copies are measured. */
	pass(f, NSEC_PER_SEC);
	h->probe_at = f->ns;
	h->probes = 0;
	for (i = 0; i < 100 && !h->probes; i++)
		end_copy_after(f, 1000);
	KUNIT_ASSERT_EQ(test, h->probes, 1U);
	others(f, 1, 1);
	end_copy_after(f, 1000);
	KUNIT_EXPECT_EQ(test, h->probes, 1U);
}

/* Nor do pauses. */
static void pauses_are_not_measured(struct kunit *test)
{
	static const struct speed speed = { "", 3, 200000 };
	struct fixture *f = setup_clone(test, 3, 150000 << 3);
	struct clone_hydrator *h = &f->clone.hydrator;
	struct devices d = { .s = &speed };
	sector_t ceiling;

	clone_hydrator_run(&f->clone);
	work(f);
	while (f->ns < NSEC_PER_SEC)
		end_next_copy(f, &d);
	ceiling = h->ceiling;
	clone_hydrator_enable(&f->clone, false);
	work(f);
	while (open_copies(f))
		end_next_copy(f, &d);
	pass(f, 500 * NSEC_PER_MSEC);
	clone_hydrator_enable(&f->clone, true);
	work(f);
	while (f->ns < 1600 * NSEC_PER_MSEC) {
		end_next_copy(f, &d);
		KUNIT_ASSERT_GE(test, h->ceiling, ceiling / 2);
	}
}

/* What was mapped before it ran does not make the first copies worth nothing. */
static void begins_with_measuring(struct kunit *test)
{
	struct fixture *f = setup_clone(test, 3, 1000 << 3);
	struct clone_hydrator *h = &f->clone.hydrator;
	unsigned int i;

	others(f, 5, 5);
	clone_hydrator_run(&f->clone);
	work(f);
	for (i = 0; i < CLONE_PROBES; i++) {
		expect_copy(test, f, i, i, 1);
		end_copy_after(f, 1000);
	}
	KUNIT_EXPECT_EQ(test, h->latency, 1000ULL);
}

/*
 * When.
 */

/* While bios of others are under way nothing is begun, but for a trickle. */
static void gives_way(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct clone_hydrator *h = &f->clone.hydrator;
	u64 since = f->ns;

	/* The first one after a pause waits for nothing of ours. */
	others(f, 2, 1);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 0U);
	KUNIT_EXPECT_EQ(test, f->delay, nsecs_to_jiffies(CLONE_POLL));
	pass(f, CLONE_CALM);
	work(f);
	expect_copy(test, f, 0, 0, STEP);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 1U);
	KUNIT_EXPECT_EQ(test, f->delay, nsecs_to_jiffies(CLONE_POLL));

	/* It has not ended: it is not due, however long that takes. */
	pass(f, NSEC_PER_SEC);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 1U);
	KUNIT_EXPECT_EQ(test, f->delay, nsecs_to_jiffies(CLONE_POLL));
	others(f, 1, 1);
	end_copy(f, 0, 0);
	expect_copy(test, f, 1, STEP, STEP);
	others(f, 1, 1);
	end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 2U);
	since = f->ns;
	while (f->nr_copies == 2) {
		KUNIT_ASSERT_LE(test, f->ns - since, (u64)NSEC_PER_SEC);
		KUNIT_ASSERT_EQ(test, f->delay, nsecs_to_jiffies(CLONE_POLL));
		work(f);
	}
	expect_copy(test, f, 2, 2 * STEP, STEP);
	/* 128 sectors, of 2560 a second. */
	KUNIT_EXPECT_GE(test, f->ns - since, 50ULL * NSEC_PER_MSEC);
	KUNIT_EXPECT_LE(test, f->ns - since, 50ULL * NSEC_PER_MSEC + CLONE_POLL);
	KUNIT_EXPECT_EQ(test, h->copying, (unsigned long)STEP);
}

/* A large region is a larger part of what is copied in a second. */
static void trickles_large_regions_more_seldom(struct kunit *test)
{
	struct fixture *f = setup_clone(test, 12, 100 << 12);
	u64 since;

	clone_hydrator_run(&f->clone);
	others(f, 1, 0);
	work(f);
	pass(f, CLONE_CALM);
	work(f);
	expect_copy(test, f, 0, 0, 1);
	since = f->ns;
	others(f, 1, 1);
	end_copy(f, 0, 0);
	while (f->nr_copies == 1) {
		KUNIT_ASSERT_LE(test, f->ns - since, 3ULL * NSEC_PER_SEC);
		others(f, 1, 1);
		work(f);
	}
	expect_copy(test, f, 1, 1, 1);
	KUNIT_EXPECT_GE(test, f->ns - since, 1600ULL * NSEC_PER_MSEC);
	KUNIT_EXPECT_LE(test, f->ns - since, 1600ULL * NSEC_PER_MSEC + CLONE_POLL);
}

/* What was copied counts, not what might have been. */
static void trickles_what_it_says(struct kunit *test)
{
	struct fixture *f = setup_clone(test, 3, 10000 << 3);
	struct clone_hydrator *h = &f->clone.hydrator;
	u64 since, sectors;

	clone_hydrator_run(&f->clone);
	/* As on a slow device. */
	h->ceiling = CLONE_LEAST_SECTORS;
	others(f, 1, 0);
	work(f);
	pass(f, CLONE_CALM);
	work(f);
	since = f->ns;
	while (f->ns < since + 2ULL * NSEC_PER_SEC) {
		if (open_copies(f))
			end_copy(f, 0, 0);
		work(f);
	}
	sectors = h->next << 3;
	/* A poll takes a tick or two. */
	KUNIT_EXPECT_GE(test, sectors, 2ULL * CLONE_TRICKLE_SECTORS / 2);
	KUNIT_EXPECT_LE(test, sectors, 2ULL * CLONE_TRICKLE_SECTORS * 11 / 10);
}

/* Nor is anything counted if there was nothing to copy. */
static void trickles_when_there_is_something(struct kunit *test)
{
	struct fixture *f = setup_clone(test, SHIFT, SIZE);

	hydrate(f, 1, REGIONS);
	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 0));
	clone_hydrator_run(&f->clone);
	others(f, 1, 0);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 0U);
	pass(f, CLONE_CALM);
	work(f);
	clone_region_release(&f->clone, 0, BLK_STS_IOERR);
	f->delay = 0;
	work(f);
	expect_copy(test, f, 0, 0, 1);
}

/* After a rest of years, or, with 32 bits, of weeks. */
static void goes_on_after_a_long_rest(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 1, 1);
	unsigned int i;

	work(f);
	for (i = 0; i < CLONE_MAX_FAILURES; i++)
		end_copy(f, 1, 0);
	work(f);
	KUNIT_ASSERT_EQ(test, open_copies(f), 1U);
	f->ns += 100ULL * 365 * 24 * 3600 * NSEC_PER_SEC;
	end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, open_copies(f), 1U);
}

static void goes_on_in_a_pause(struct kunit *test)
{
	struct fixture *f = setup(test);

	f->clone.hydrator.trickle_at = f->ns + NSEC_PER_SEC;
	others(f, 5, 4);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 0U);
	others(f, 0, 1);
	work(f);
	KUNIT_ASSERT_GT(test, f->nr_copies, 0U);
	expect_copy(test, f, 0, 0, STEP);
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);
}

/* Bios end on other CPUs than they begin on; only sums mean something. */
static void counts_all_cpus(struct kunit *test)
{
	struct fixture *f = setup(test);
	unsigned int cpu, nr = 0;

	f->clone.hydrator.trickle_at = f->ns + NSEC_PER_SEC;
	for_each_possible_cpu(cpu) {
		per_cpu_ptr(f->clone.cpus, cpu)->bios.begun = 100 + cpu;
		nr += 100 + cpu;
	}
	this_cpu_add(f->clone.cpus->bios.ended, nr - 1);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 0U);
	this_cpu_inc(f->clone.cpus->bios.ended);
	work(f);
	KUNIT_EXPECT_GT(test, f->nr_copies, 0U);
}

static void copies_if_it_may(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 8, 4);
	struct clone *c = &f->clone;

	clone_hydrator_enable(c, false);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 0U);
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);
	clone_hydrator_enable(c, true);
	KUNIT_EXPECT_EQ(test, f->delay, 0UL);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 2U);

	/* What is under way ends well. */
	clone_hydrator_enable(c, false);
	work(f);
	end_copy(f, 0, 0);
	end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 2U);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 7));
	clone_hydrator_enable(c, true);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 4U);

	/* No region can be hydrated. */
	c->mode = CLONE_READ_ONLY;
	end_copy(f, 0, 0);
	end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 4U);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 8));
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);
	c->mode = CLONE_WRITE;
	/* It begins anew, with one alone. */
	clone_hydrator_run(c);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 5U);
}

static void runs_only_while_it_is_in_use(struct kunit *test)
{
	struct fixture *f = setup_clone(test, SHIFT, SIZE);
	struct clone *c = &f->clone;
	unsigned int value = 4;

	/* A change of what is not in use wakes nobody. */
	clone_hydrator_set(c, &value, &value);
	clone_hydrator_enable(c, true);
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);
	clone_hydrate(c);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 0U);
	clone_hydrator_run(c);
	KUNIT_EXPECT_EQ(test, f->delay, 0UL);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 1U);
	end_copy(f, 0, 0);
	end_copy(f, 0, 0);
	while (open_copies(f)) {
		c->hydrator.running = false;
		end_copy(f, 0, 0);
	}
	clone_hydrator_stop(c);
	clone_hydrator_enable(c, true);
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);
	clone_hydrator_run(c);
	KUNIT_EXPECT_EQ(test, f->delay, 0UL);
}

struct stop {
	struct fixture *f;
	struct completion ended;
	struct work_struct work;
};

static void stop_work(struct work_struct *work)
{
	struct stop *stop = container_of(work, struct stop, work);

	clone_hydrator_stop(&stop->f->clone);
	complete(&stop->ended);
}

static void stop_waits_for_copies(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 8, 4);
	struct stop stop = { .f = f };

	work(f);
	KUNIT_ASSERT_EQ(test, f->nr_copies, 2U);
	init_completion(&stop.ended);
	INIT_WORK_ONSTACK(&stop.work, stop_work);
	schedule_work(&stop.work);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!READ_ONCE(f->clone.hydrator.running)));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, completion_done(&stop.ended));
	/* The copies know that somebody waits. */
	KUNIT_EXPECT_EQ(test, atomic_read(&f->urgent), 1);
	end_copy(f, 0, 0);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, completion_done(&stop.ended));
	/* A failed one is not tried again either. */
	end_copy(f, 1, 0);
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&stop.ended, KU_TIMEOUT));
	flush_work(&stop.work);
	destroy_work_on_stack(&stop.work);
	KUNIT_EXPECT_EQ(test, atomic_read(&f->urgent), 0);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 2U);
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 4));

	clone_hydrator_run(&f->clone);
	work(f);
	expect_copy(test, f, 2, 4, 1);
}

/* Without memory nothing is claimed; when a batch ends it goes on. */
static void goes_on_without_memory(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 8, 2);

	ku_allow(2);
	work(f);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 2U);
	KUNIT_EXPECT_EQ(test, f->clone.hydrator.copying, 4UL);
	KUNIT_EXPECT_FALSE(test, test_bit(4, f->clone.busy));
	end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 2U);
	ku_allow(KU_ALL);
	end_copy(f, 0, 0);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 6U);
	expect_copy(test, f, 2, 4, 2);
}

/*
 * Failures.
 */

struct failing {
	const char *name;
	int read_err;
	unsigned long write_err;
};

static const struct failing failings[] = {
	{ "source", 1, 0 }, { "destination", 0, 1 }, { "both", 1, 1 },
};

static void failing_desc(const struct failing *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(failing, failings, failing_desc);

/* One bad sector costs one region: what has failed together is tried again one by one. */
static void failed_batch_is_taken_apart(struct kunit *test)
{
	const struct failing *c = test->param_value;
	struct fixture *f = setup_batches(test, 4, 4);
	unsigned int i;

	work(f);
	end_copy(f, 0, 0);
	expect_copy(test, f, 1, 4, 4);
	end_copy(f, c->read_err, c->write_err);
	for (i = 4; i < 8; i++)
		KUNIT_EXPECT_FALSE(test, is_hydrated(f, i));
	for (i = 0; i < 4; i++)
		expect_copy(test, f, 2 + i, 4 + i, 1);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 6U);

	/* The third one of them is the bad one. */
	end_copy(f, 0, 0);
	end_copy(f, 0, 0);
	end_copy(f, c->read_err, c->write_err);
	end_copy(f, 0, 0);
	for (i = 4; i < 8; i++)
		KUNIT_EXPECT_EQ(test, is_hydrated(f, i), i != 6);
	KUNIT_EXPECT_FALSE(test, test_bit(6, f->clone.busy));
	/* Behind them there is no reason to be careful. */
	expect_copy(test, f, 6, 8, 4);
	KUNIT_EXPECT_EQ(test, f->nr_copies, 7U);

	/* When all others are hydrated that one is tried again. */
	hydrate(f, 12, REGIONS);
	end_copy(f, 0, 0);
	expect_copy(test, f, 7, 6, 1);
	end_copy(f, 0, 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_complete(f->clone.bitmap));
}

static void pauses_after_failures(struct kunit *test)
{
	struct fixture *f = setup_batches(test, 1, 1);
	u64 since = f->ns;
	unsigned int i;

	work(f);
	/* What succeeds in between begins the count anew. */
	for (i = 0; i < CLONE_MAX_FAILURES - 1; i++)
		end_copy(f, 1, 0);
	end_copy(f, 0, 0);
	for (i = 0; i < CLONE_MAX_FAILURES - 1; i++)
		end_copy(f, 0, 1);
	KUNIT_EXPECT_EQ(test, open_copies(f), 1U);
	KUNIT_EXPECT_EQ(test, f->delay, NOT_QUEUED);
	end_copy(f, 0, 1);
	KUNIT_EXPECT_EQ(test, open_copies(f), 0U);
	KUNIT_EXPECT_EQ(test, f->delay, nsecs_to_jiffies(CLONE_RETRY));

	/* Whoever wakes it does not end the pause. */
	pass(f, CLONE_RETRY / 2);
	clone_hydrator_enable(&f->clone, true);
	work(f);
	KUNIT_EXPECT_EQ(test, open_copies(f), 0U);
	KUNIT_EXPECT_EQ(test, f->delay, nsecs_to_jiffies(CLONE_RETRY - CLONE_RETRY / 2));
	work(f);
	KUNIT_EXPECT_EQ(test, f->ns - since, (u64)CLONE_RETRY);
	KUNIT_EXPECT_EQ(test, open_copies(f), 1U);
	expect_copy(test, f, 2 * CLONE_MAX_FAILURES, 2 * CLONE_MAX_FAILURES, 1);

	/* And it takes as many until the next one. */
	for (i = 0; i < CLONE_MAX_FAILURES - 1; i++)
		end_copy(f, 1, 0);
	KUNIT_EXPECT_EQ(test, open_copies(f), 1U);
	end_copy(f, 1, 0);
	KUNIT_EXPECT_EQ(test, open_copies(f), 0U);
}

/*
 * With the engine and a worker.
 */

#define REAL_SHIFT	3
#define REAL_SIZE	4093

static struct fixture *setup_real(struct kunit *test, struct test_disk **source,
				  struct test_disk **dest)
{
	struct fixture *f = setup_clone(test, REAL_SHIFT, REAL_SIZE);
	struct clone *c = &f->clone;

	f->real = true;
	*source = ku_disk(test, REAL_SIZE, 0);
	*dest = ku_disk(test, REAL_SIZE, 0);
	ku_disk_fill(*source, 0, REAL_SIZE, 's');
	ku_disk_fill(*dest, 0, REAL_SIZE, 'd');
	test_disk_set(*source, TEST_DISK_IRQ, 0, 100);
	test_disk_set(*dest, TEST_DISK_IRQ, 0, 100);
	f->source_dev.bdev = (*source)->bdev;
	f->dest_dev.bdev = (*dest)->bdev;
	c->source = &f->source_dev;
	c->dest = &f->dest_dev;
	c->kcopyd = ku_client(test, 64, NULL);
	c->background = c->kcopyd;
	c->wq = alloc_workqueue("kunit-clone", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	KUNIT_ASSERT_NOT_NULL(test, c->wq);
	return f;
}

static bool is_complete(struct fixture *f)
{
	return clone_bitmap_is_complete(f->clone.bitmap);
}

static void hydrates_all(struct kunit *test)
{
	struct test_disk *source, *dest;
	struct fixture *f = setup_real(test, &source, &dest);
	unsigned int i, batch = 5;

	clone_hydrator_set(&f->clone, NULL, &batch);
	test_disk_fail(source, OP_BIT(REQ_OP_READ), 1000, 1, BLK_STS_MEDIUM);
	clone_hydrator_run(&f->clone);
	/* All but the one with the bad sector. */
	KUNIT_EXPECT_TRUE(test, ku_wait_until(clone_bitmap_next_unset(f->clone.bitmap, 0) == 125 &&
					      clone_bitmap_next_unset(f->clone.bitmap, 126) ==
					      f->clone.regions));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(dest, 1000, 8, 'd'));
	for (i = 0; i < 3; i++) {
		clone_hydrator_stop(&f->clone);
		clone_hydrator_run(&f->clone);
	}
	test_disk_heal(source);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(is_complete(f)));
	clone_hydrator_stop(&f->clone);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(dest, 0, REAL_SIZE, 's'));
}

struct rivals {
	struct fixture *f;
	struct test_disk *dest;
	unsigned long *filled;
	atomic_t wrong;
};

/*
 * Fills regions of its own accord, as a writer of whole regions does; a few of them fail. The
 * hydrator begins when some have been filled.
 */
static void fill_some(unsigned int cpu, void *arg)
{
	struct rivals *r = arg;
	struct clone *c = &r->f->clone;
	bool first = cpu == cpumask_first(cpu_online_mask);
	unsigned int i, dice;
	unsigned long region;

	for (i = 0; i < 1000; i++) {
		if (first && i == 20)
			clone_hydrator_run(c);
		dice = get_random_u32();
		region = (dice >> 8) % (c->regions - 1);
		if (clone_bitmap_test(c->bitmap, region) || !clone_region_claim(c, region))
			continue;
		this_cpu_inc(c->cpus->filled);
		if (test_and_set_bit(region, r->filled))
			atomic_inc(&r->wrong);
		if (dice % 8) {
			ku_disk_fill(r->dest, region << REAL_SHIFT, 1 << REAL_SHIFT, 'w');
			clone_region_filled(c, region, BLK_STS_OK);
		} else {
			clear_bit(region, r->filled);
			clone_region_filled(c, region, BLK_STS_IOERR);
		}
		if (first && i > 20 && dice % 32 == 1) {
			clone_hydrator_stop(c);
			clone_hydrator_run(c);
		}
	}
}

static void rivals_fill_too(struct kunit *test)
{
	struct test_disk *source, *dest;
	struct fixture *f = setup_real(test, &source, &dest);
	struct rivals rivals = { .f = f, .dest = dest };
	unsigned long region, by_others = 0;
	unsigned int threshold = 8, batch = 3;

	rivals.filled = kunit_kcalloc(test, BITS_TO_LONGS(f->clone.regions), sizeof(long),
				      GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, rivals.filled);
	clone_hydrator_set(&f->clone, &threshold, &batch);
	ku_run_on_cpus(test, fill_some, &rivals);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(is_complete(f)));
	clone_hydrator_stop(&f->clone);
	KUNIT_EXPECT_EQ(test, atomic_read(&rivals.wrong), 0);
	/* Whoever filled a region was the only one. */
	for (region = 0; region < f->clone.regions - 1; region++) {
		bool other = test_bit(region, rivals.filled);

		by_others += other;
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(dest, region << REAL_SHIFT, 1 << REAL_SHIFT,
						      other ? 'w' : 's'));
	}
	KUNIT_EXPECT_GT(test, by_others, 0UL);
}

static int hydrate_suite_init(struct kunit_suite *suite)
{
	int r;

	r = ku_suite_init(suite);
	if (r)
		return r;
	r = clone_hydrator_module_init();
	if (r)
		ku_suite_exit(suite);
	return r;
}

static void hydrate_suite_exit(struct kunit_suite *suite)
{
	clone_hydrator_module_exit();
	ku_suite_exit(suite);
}

static struct kunit_case hydrate_cases[] = {
	KUNIT_CASE_PARAM(begins_with_defaults, defaults_gen_params),
	KUNIT_CASE(keeps_to_threshold_and_batch),
	KUNIT_CASE(small_batches_are_not_handed_down),
	KUNIT_CASE(skips_what_needs_no_copy),
	KUNIT_CASE(goes_round),
	KUNIT_CASE(ends_when_all_is_hydrated),
	KUNIT_CASE(waits_for_others_to_fill),
	KUNIT_CASE(step_doubles),
	KUNIT_CASE(step_falls_back),
	KUNIT_CASE(step_does_not_overflow),
	KUNIT_CASE(step_keeps_to_the_threshold),
	KUNIT_CASE_PARAM(copies_at_the_speed_of_devices, speed_gen_params),
	KUNIT_CASE(smallest_copies_are_measured),
	KUNIT_CASE(others_are_not_measured),
	KUNIT_CASE(pauses_are_not_measured),
	KUNIT_CASE(begins_with_measuring),
	KUNIT_CASE(gives_way),
	KUNIT_CASE(trickles_large_regions_more_seldom),
	KUNIT_CASE(trickles_what_it_says),
	KUNIT_CASE(trickles_when_there_is_something),
	KUNIT_CASE(goes_on_after_a_long_rest),
	KUNIT_CASE(goes_on_in_a_pause),
	KUNIT_CASE(counts_all_cpus),
	KUNIT_CASE(copies_if_it_may),
	KUNIT_CASE(runs_only_while_it_is_in_use),
	KUNIT_CASE(stop_waits_for_copies),
	KUNIT_CASE(goes_on_without_memory),
	KUNIT_CASE_PARAM(failed_batch_is_taken_apart, failing_gen_params),
	KUNIT_CASE(pauses_after_failures),
	KUNIT_CASE(hydrates_all),
	KUNIT_CASE(rivals_fill_too),
	{}
};

static struct kunit_suite hydrate_suite = {
	.name = "dm-clone-hydrate",
	.suite_init = hydrate_suite_init,
	.suite_exit = hydrate_suite_exit,
	.init = ku_init,
	.exit = hydrate_exit,
	.test_cases = hydrate_cases,
};

kunit_test_suite(hydrate_suite);
