// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of the engine: magazines, the reserve of jobs, the reserve of pages and who gets it first.
 * Magazines of jobs are in kunit-scaled-cache.c.
 */
#include <linux/cpu.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "kunit-lib.h"

/*
 * Memory that runs out where the engine can do without, and pages that are counted.
 */

static atomic_t pages_live;

static bool refused(gfp_t gfp)
{
	return !(gfp & __GFP_DIRECT_RECLAIM) && (READ_ONCE(ku_no_pages) || !ku_may_allocate());
}

static struct page *mem_alloc_page(gfp_t gfp)
{
	struct page *page = refused(gfp) ? NULL : alloc_page(gfp);

	if (page)
		atomic_inc(&pages_live);
	return page;
}

static void mem_free_page(struct page *page)
{
	atomic_dec(&pages_live);
	__free_page(page);
}

static void *mem_kmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	return refused(gfp) ? NULL : kmalloc_array(n, size, gfp);
}

#undef alloc_page
#define alloc_page(gfp)			mem_alloc_page(gfp)
#undef __free_page
#define __free_page(page)		mem_free_page(page)
#undef kmalloc_array
#define kmalloc_array(n, size, gfp)	mem_kmalloc_array(n, size, gfp)

#include "dm-kcopyd-mq-mem.c"

#define MAX_JOBS	100
void ku_exhaust_pages(void)
{
	WRITE_ONCE(ku_no_pages, true);
	kmq_magazines_empty_local();
}

/* Jobs of sixteen pages: more than a magazine of pages holds. */
#define NR_FILL		40

/* Jobs that only hold memory. They tell in which order they were served. */
struct mem_test {
	struct ku ku;
	struct dm_kcopyd_mq_client *kc;
	struct kmq_job *jobs[MAX_JOBS];
	unsigned int nr_jobs;
	struct kmq_job *served[MAX_JOBS];
	unsigned int nr_served;
};

static struct mem_test *mem_now;

static int mem_case_init(struct kunit *test)
{
	struct mem_test *mt = kunit_kzalloc(test, sizeof(*mt), GFP_KERNEL);

	ku_stay_here();
	test->priv = mt;
	mem_now = mt;
	return mt ? 0 : -ENOMEM;
}

/* Pages and jobs are returned, and so are those of the magazines when there is no client left. */
static void mem_case_exit(struct kunit *test)
{
	struct mem_test *mt = test->priv;

	if (!mt)
		return;
	ku_allow(KU_ALL);
	if (mt->kc) {
		dm_kcopyd_mq_client_flush(mt->kc);
		while (mt->nr_jobs) {
			kmq_pages_put(mt->jobs[--mt->nr_jobs]);
			kmq_job_free(mt->jobs[mt->nr_jobs]);
		}
		KUNIT_EXPECT_FALSE(test, mt->kc->reserve.low);
		KUNIT_EXPECT_FALSE(test, dm_scaled_pool_is_short(&mt->kc->jobs));
	}
	ku_exit(test);
	KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), 0);
	KUNIT_EXPECT_EQ(test, kmq_clients, 0);
}

static struct mem_test *mem_client(struct kunit *test, unsigned int subjob_kb)
{
	struct mem_test *mt = test->priv;

	mt->kc = ku_client(test, subjob_kb, NULL);
	return mt;
}

static void job_served(struct dm_kcopyd_mq_item *item)
{
	mem_now->served[mem_now->nr_served++] = container_of(item, struct kmq_job, item);
}

/* A job for @sectors, without pages. */
static struct kmq_job *mem_job(struct kunit *test, unsigned int sectors)
{
	struct mem_test *mt = test->priv;
	struct kmq_job *job;
	bool direct;

	KUNIT_ASSERT_LT(test, mt->nr_jobs, MAX_JOBS);
	job = kmq_job_alloc(mt->kc, &direct);
	KUNIT_ASSERT_EQ(test, job->nr_pages, 0);
	job->item.fn = job_served;
	job->kc = mt->kc;
	job->cpu = raw_smp_processor_id();
	job->count = sectors;
	job->write_count = sectors;
	job->rest = 0;
	job->vecs = job->inline_vecs;
	mt->jobs[mt->nr_jobs++] = job;
	return job;
}

/* A job for @pages, which fails or waits if there is no memory. */
static struct kmq_job *mem_job_of(struct kunit *test, unsigned int pages)
{
	return mem_job(test, pages * PAGE_SECTORS);
}

/* Nothing but the reserve is left. */
static void exhaust(struct kunit *test)
{
	kmq_magazines_empty_local();
	ku_allow(0);
}

static void expect_reserve(struct kunit *test, unsigned int pages)
{
	struct mem_test *mt = test->priv;
	struct kmq_reserve *r = &mt->kc->reserve;
	struct page *page;
	unsigned int nr = 0;

	KUNIT_EXPECT_EQ(test, r->nr_pages, pages);
	list_for_each_entry(page, &r->pages, lru)
		nr++;
	KUNIT_EXPECT_EQ(test, nr, pages);
}

/* @nr jobs have been served so far, the last of them @job. */
static void expect_served(struct kunit *test, unsigned int nr, struct kmq_job *job)
{
	struct mem_test *mt = test->priv;

	ku_pause();
	dm_kcopyd_mq_client_flush(mt->kc);
	KUNIT_ASSERT_EQ(test, mt->nr_served, nr);
	if (job)
		KUNIT_EXPECT_PTR_EQ(test, mt->served[nr - 1], job);
}

/*
 * Sizes.
 */

struct reserve {
	unsigned int subjob_kb, pages;
};

static const struct reserve reserves[] = {
	{ 4, 1 }, { 8, 2 }, { 16, 4 }, { 20, 4 }, { 64, 4 }, { 512, 4 }, { 1024, 4 },
};

static void reserve_desc(const struct reserve *r, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u KiB", r->subjob_kb);
}

KUNIT_ARRAY_PARAM(reserve, reserves, reserve_desc);

/* A client keeps what one sub-job needs, but no more than a little. */
static void reserve_is_small(struct kunit *test)
{
	const struct reserve *param = test->param_value;
	struct mem_test *mt = mem_client(test, param->subjob_kb);
	struct kmq_reserve *r = &mt->kc->reserve;

	KUNIT_EXPECT_EQ(test, r->size, param->pages);
	KUNIT_EXPECT_FALSE(test, r->low);
	expect_reserve(test, param->pages);
	KUNIT_EXPECT_EQ(test, mt->kc->jobs.curr_nr, KMQ_MIN_JOBS);
	KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), param->pages);
}

/* A segment must not split a logical block, however little memory there is. */
static void reserve_has_a_block(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 512);

	KUNIT_EXPECT_EQ(test, dm_kcopyd_mq_client_blocks(mt->kc, 4096), 0);
	expect_reserve(test, KMQ_RESERVE_PAGES);
	KUNIT_EXPECT_EQ(test, dm_kcopyd_mq_client_blocks(mt->kc, SZ_32K), 0);
	expect_reserve(test, SZ_32K / PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mt->kc->reserve.size, SZ_32K / PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, dm_kcopyd_mq_client_blocks(mt->kc, SZ_64K), 0);
	expect_reserve(test, SZ_64K / PAGE_SIZE);
}

static const unsigned int segments[] = {
	1, 7, 8, 9, 16, 17, 8 * 16, 8 * 16 + 1, 8 * 17, 1023, 1024,
};

static void segment_desc(const unsigned int *sectors, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u sectors", *sectors);
}

KUNIT_ARRAY_PARAM(segment, segments, segment_desc);

static void expect_pages(struct kunit *test, struct kmq_job *job)
{
	unsigned int i, pages = DIV_ROUND_UP(job->count, PAGE_SECTORS);

	KUNIT_EXPECT_EQ(test, job->nr_pages, pages);
	KUNIT_EXPECT_EQ(test, job->vecs == job->inline_vecs, pages <= KMQ_INLINE_VECS);
	for (i = 0; i < job->nr_pages; i++) {
		KUNIT_EXPECT_NOT_NULL(test, job->vecs[i].bv_page);
		KUNIT_EXPECT_EQ(test, job->vecs[i].bv_len, PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, job->vecs[i].bv_offset, 0);
	}
}

/* A segment gets the pages it needs, in an array of its own if there are many. */
static void segment_gets_its_pages(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 512);
	struct kmq_job *job = mem_job(test, *(const unsigned int *)test->param_value);

	KUNIT_EXPECT_TRUE(test, kmq_pages_try_get(job));
	expect_pages(test, job);
	expect_reserve(test, mt->kc->reserve.size);

	kmq_pages_put(job);
	KUNIT_EXPECT_EQ(test, job->nr_pages, 0);
	KUNIT_EXPECT_PTR_EQ(test, job->vecs, &job->inline_vecs[0]);
	kmq_pages_put(job);
	KUNIT_EXPECT_EQ(test, job->nr_pages, 0);
}

/*
 * Magazines.
 */

/* What a job gave back is what the next one on this CPU gets. */
static void magazine_gives_back_what_was_used_last(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	struct kmq_job *job, *again;
	struct page *page;

	job = mem_job_of(test, 1);
	KUNIT_EXPECT_TRUE(test, kmq_pages_try_get(job));
	page = job->vecs[0].bv_page;
	kmq_pages_put(job);
	kmq_job_free(job);
	mt->nr_jobs--;

	/* Even without memory. */
	ku_allow(0);
	again = kmq_job_try_alloc();
	KUNIT_EXPECT_PTR_EQ(test, again, job);
	if (again) {
		mt->jobs[mt->nr_jobs++] = again;
		again->count = 1;
		KUNIT_EXPECT_TRUE(test, kmq_pages_try_get(again));
		KUNIT_EXPECT_PTR_EQ(test, again->vecs[0].bv_page, page);
	}
	ku_allow(KU_ALL);
}

/* More than a magazine holds goes back to the system. */
static void magazine_has_limits(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 1024);
	struct kmq_magazine *m;
	unsigned int i;

	kmq_magazines_empty_local();
	m = raw_cpu_ptr(kmq_magazines);
	for (i = 0; i < NR_FILL; i++)
		mem_job_of(test, 16);
	for (i = 0; i < NR_FILL; i++)
		KUNIT_EXPECT_TRUE(test, kmq_pages_try_get(mt->jobs[i]));

	for (i = 0; i < NR_FILL; i++) {
		kmq_pages_put(mt->jobs[i]);
		kmq_job_free(mt->jobs[i]);
		KUNIT_EXPECT_EQ(test, m->nr_pages, min(16 * (i + 1), (u32)KMQ_MAGAZINE_PAGES));
	}
	mt->nr_jobs = 0;
	KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), mt->kc->reserve.size + KMQ_MAGAZINE_PAGES);

	kmq_magazines_empty_local();
	KUNIT_EXPECT_EQ(test, dm_scaled_caches_at_hand(raw_smp_processor_id()), 0);
	KUNIT_EXPECT_EQ(test, m->nr_pages, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), mt->kc->reserve.size);
}

static void fill_magazine(unsigned int cpu, void *arg)
{
	struct dm_kcopyd_mq_client *kc = arg;
	struct kmq_job *job = kmq_job_try_alloc();

	if (!job)
		return;
	job->kc = kc;
	job->count = 8;
	if (kmq_pages_try_get(job))
		kmq_pages_put(job);
	kmq_job_free(job);
}

/* The last client takes the contents of all magazines with it. */
static void last_client_empties_magazines(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	struct dm_kcopyd_mq_client *other = dm_kcopyd_mq_client_create(NULL);
	unsigned int held = atomic_read(&pages_live);
	int cpu;

	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	ku_run_on_cpus(test, fill_magazine, mt->kc);
	KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), held + num_online_cpus());

	held -= other->reserve.size;
	dm_kcopyd_mq_client_destroy(other);
	KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), held + num_online_cpus());

	ku_client_destroy(test);
	mt->kc = NULL;
	KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), 0);
	for_each_possible_cpu(cpu) {
		KUNIT_EXPECT_EQ(test, dm_scaled_caches_at_hand(cpu), 0);
		KUNIT_EXPECT_EQ(test, per_cpu_ptr(kmq_magazines, cpu)->nr_pages, 0);
	}
}

#define HOLD_ROUNDS	5
#define HOLD_LIMIT	(15 * HZ)

/**
 * struct hold - a CPU that a real-time task holds
 * @work:    runs there, if any work does
 * @rcu:     of hold_grace_period()
 * @ended:   completed when that is not called again
 * @passed:  jiffies at the end of the last grace period
 * @over:    nobody waits for anything any more
 * @worked:  @work has run
 * @gave_up: the CPU was held for HOLD_LIMIT, and whoever should not wait for it has
 * @stuck:   but no grace period has ended there for long: softirqs wait for ksoftirqd, a task like
 *           any other, which happens when a CPU of a VM stands still in one
 */
static struct hold {
	struct work_struct work;
	struct rcu_head rcu;
	struct completion ended;
	unsigned long passed;
	bool over;
	bool worked;
	bool gave_up;
	bool stuck;
} hold;

static void hold_work(struct work_struct *work)
{
	WRITE_ONCE(hold.worked, true);
}

static void hold_grace_period(struct rcu_head *head)
{
	WRITE_ONCE(hold.passed, jiffies);
	if (READ_ONCE(hold.over))
		complete(&hold.ended);
	else
		call_rcu(&hold.rcu, hold_grace_period);
}

static int hold_cpu(void *unused)
{
	unsigned long end = jiffies + HOLD_LIMIT;

	sched_set_fifo(current);
	while (!kthread_should_stop()) {
		if (time_before(jiffies, end)) {
			cpu_relax();
			continue;
		}
		if (!hold.gave_up) {
			hold.stuck = time_before(READ_ONCE(hold.passed), end - HOLD_LIMIT / 2);
			hold.gave_up = true;
		}
		msleep(20);
	}
	return 0;
}

/*
 * Destroys the only client while a real-time task holds a CPU; whether no work ran there. Test 040
 * has the scheduler give no other task a turn there; without that work may run, and says nothing.
 */
static bool destroys_beside_held_cpu(struct kunit *test, unsigned int cpu)
{
	struct mem_test *mt = mem_client(test, 64);
	struct task_struct *task;
	bool worked;

	memset(&hold, 0, sizeof(hold));
	INIT_WORK(&hold.work, hold_work);
	init_completion(&hold.ended);
	hold.passed = jiffies;
	ku_run_on_cpus(test, fill_magazine, mt->kc);
	task = kthread_create_on_cpu(hold_cpu, NULL, cpu, "kunit-hold/%u");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	call_rcu(&hold.rcu, hold_grace_period);
	wake_up_process(task);
	msleep(20);
	schedule_work_on(cpu, &hold.work);
	ku_client_destroy(test);
	mt->kc = NULL;
	usleep_range(500, 1000);
	worked = READ_ONCE(hold.worked);
	WRITE_ONCE(hold.over, true);
	kthread_stop(task);
	flush_work(&hold.work);
	wait_for_completion(&hold.ended);
	KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), 0);
	return !worked && !hold.gave_up;
}

/* The last client does not wait for a CPU to give back what it has. */
static void held_cpu_is_not_waited_for(struct kunit *test)
{
	unsigned int here = raw_smp_processor_id(), i;
	unsigned int cpu = cpumask_any_but(cpu_online_mask, here);

	if (cpu >= nr_cpu_ids) {
		kunit_skip(test, "needs two CPUs");
		return;
	}
	for (i = 0; i < HOLD_ROUNDS; i++) {
		if (destroys_beside_held_cpu(test, cpu))
			break;
		KUNIT_ASSERT_TRUE(test, !hold.gave_up || hold.stuck);
	}
	KUNIT_EXPECT_LT(test, i, HOLD_ROUNDS);
}

/* So does a CPU that has gone. */
static void dead_cpu_leaves_nothing(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	unsigned int cpu;

	cpu = raw_smp_processor_id();
	fill_magazine(cpu, mt->kc);
	KUNIT_EXPECT_EQ(test, per_cpu_ptr(kmq_magazines, cpu)->nr_pages, 1);
	KUNIT_EXPECT_EQ(test, kmq_cpu_dead(cpu), 0);
	KUNIT_EXPECT_EQ(test, per_cpu_ptr(kmq_magazines, cpu)->nr_pages, 0);
	KUNIT_EXPECT_EQ(test, dm_scaled_caches_at_hand(cpu), 0);
}

static unsigned int all_at_hand(void)
{
	unsigned int nr = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		nr += kmq_at_hand(cpu);
	return nr;
}

/* Whatever was freed before is forgotten; with @armed, as if a work were going to run. */
static void rest_set(bool armed)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		cancel_delayed_work_sync(&per_cpu(dm_scaled_rest, cpu).work);
		per_cpu(dm_scaled_rest, cpu).used = false;
		per_cpu(dm_scaled_rest, cpu).armed = armed;
	}
}

/* All CPUs have something at hand for which no work is going to run. */
static void fill_without_rest(struct kunit *test, struct mem_test *mt)
{
	rest_set(true);
	ku_run_on_cpus(test, fill_magazine, mt->kc);
	KUNIT_EXPECT_GE(test, all_at_hand(), 2 * num_online_cpus());
	rest_set(false);
}

/*
 * A CPU that frees nothing for a second gives back what it has; one that does keeps it. A CPU of a
 * VM may stand still for as long: it is looked at only if the last but one that was freed was not
 * a second ago.
 */
static void rest_empties_magazines(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	unsigned long end = jiffies + KU_TIMEOUT, before, filled = jiffies - HZ;
	unsigned int at_hand, looked = 0;

	rest_set(false);
	ku_run_on_cpus(test, fill_magazine, mt->kc);
	KUNIT_EXPECT_GE(test, all_at_hand(), 2 * num_online_cpus());
	while (looked < 28 && time_before(jiffies, end)) {
		before = filled;
		filled = jiffies;
		fill_magazine(raw_smp_processor_id(), mt->kc);
		msleep(100);
		at_hand = kmq_at_hand(raw_smp_processor_id());
		if (time_before(jiffies, before + HZ)) {
			KUNIT_EXPECT_NE(test, at_hand, 0);
			looked++;
		}
	}
	KUNIT_EXPECT_EQ(test, looked, 28);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!all_at_hand()));
	/* And again. */
	fill_magazine(raw_smp_processor_id(), mt->kc);
	KUNIT_EXPECT_NE(test, all_at_hand(), 0);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!all_at_hand()));
}

/* So does every CPU when the system is short of memory. */
static void shrinker_empties_magazines(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	struct shrink_control sc = { .gfp_mask = GFP_NOIO, .nr_to_scan = 1 };
	unsigned int here;

	fill_without_rest(test, mt);
	here = kmq_at_hand(raw_smp_processor_id());
	KUNIT_EXPECT_EQ(test, kmq_shrink_count(kmq_shrinker, &sc), all_at_hand());
	/* What is on this CPU is enough. */
	KUNIT_EXPECT_EQ(test, kmq_shrink_scan(kmq_shrinker, &sc), here);
	KUNIT_EXPECT_EQ(test, kmq_at_hand(raw_smp_processor_id()), 0);

	sc.nr_to_scan = 1000;
	fill_without_rest(test, mt);
	KUNIT_EXPECT_NE(test, kmq_shrink_scan(kmq_shrinker, &sc), SHRINK_STOP);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!all_at_hand()));
	KUNIT_EXPECT_EQ(test, kmq_shrink_scan(kmq_shrinker, &sc), SHRINK_STOP);
	KUNIT_EXPECT_EQ(test, kmq_shrink_count(kmq_shrinker, &sc), SHRINK_EMPTY);
}

/* Also what a CPU has for which no work is going to run: the last one ran on another CPU. */
static void shrinker_empties_what_was_left(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	struct shrink_control sc = { .gfp_mask = GFP_NOIO, .nr_to_scan = 1000 };

	fill_without_rest(test, mt);
	kmq_shrink_scan(kmq_shrinker, &sc);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!all_at_hand()));
}

/*
 * Pages without memory.
 */

/* All pages or none: an attempt that fails half way keeps nothing. */
static void failed_attempt_keeps_nothing(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 128);
	struct kmq_job *job = mem_job_of(test, 20);
	unsigned int i, held;

	/* The array, then pages. */
	for (i = 0; i <= 20; i++) {
		exhaust(test);
		held = atomic_read(&pages_live);
		ku_allow(i);
		KUNIT_EXPECT_FALSE(test, kmq_pages_try_get(job));
		KUNIT_EXPECT_EQ(test, job->nr_pages, 0);
		KUNIT_EXPECT_PTR_EQ(test, job->vecs, &job->inline_vecs[0]);
		KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), held);
	}
	ku_allow(21);
	KUNIT_EXPECT_TRUE(test, kmq_pages_try_get(job));
	expect_pages(test, job);
	expect_reserve(test, mt->kc->reserve.size);
}

/* The reserve gives exactly what is needed, and is complete again afterwards. */
static void reserve_gives_and_gets_back(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 144);
	struct kmq_job *large = mem_job_of(test, 2), *small = mem_job_of(test, 1);
	struct kmq_reserve *r = &mt->kc->reserve;

	exhaust(test);
	expect_reserve(test, 4);
	KUNIT_EXPECT_TRUE(test, kmq_pages_get(large));
	expect_pages(test, large);
	expect_reserve(test, 2);
	KUNIT_EXPECT_TRUE(test, r->low);

	KUNIT_EXPECT_TRUE(test, kmq_pages_get(small));
	expect_pages(test, small);
	expect_reserve(test, 1);

	kmq_pages_put(large);
	expect_reserve(test, 3);
	KUNIT_EXPECT_TRUE(test, r->low);
	kmq_pages_put(small);
	expect_reserve(test, 4);
	KUNIT_EXPECT_FALSE(test, r->low);
	KUNIT_EXPECT_EQ(test, atomic_read(&pages_live), 4);
}

/* The very last page, and not one more. */
static void reserve_can_be_used_up(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 16);
	struct kmq_job *job, *last, *waits;

	job = mem_job_of(test, 3);
	last = mem_job_of(test, 1);
	waits = mem_job_of(test, 1);
	exhaust(test);
	KUNIT_EXPECT_TRUE(test, kmq_pages_get(job));
	KUNIT_EXPECT_TRUE(test, kmq_pages_get(last));
	expect_reserve(test, 0);
	KUNIT_EXPECT_FALSE(test, kmq_pages_get(waits));
	expect_served(test, 0, NULL);

	/* It gets the page at once, which does not go through the reserve a second time. */
	kmq_pages_put(last);
	expect_served(test, 1, waits);
	expect_pages(test, waits);
	expect_reserve(test, 0);

	kmq_pages_put(waits);
	kmq_pages_put(job);
	expect_reserve(test, 4);
	KUNIT_EXPECT_FALSE(test, mt->kc->reserve.low);
}

static const unsigned int lengths[] = {
	1, 8, 4 * 8 - 1, 4 * 8, 4 * 8 + 1, 5 * 8, 16 * 8, 17 * 8, 1023, 1024,
};

KUNIT_ARRAY_PARAM(length, lengths, segment_desc);

/* A segment for which the reserve is too small becomes shorter, and nothing of it is lost. */
static void segment_is_made_shorter(struct kunit *test)
{
	unsigned int sectors = *(const unsigned int *)test->param_value;
	unsigned int count = min(sectors, 4 * PAGE_SECTORS);
	unsigned int pages = DIV_ROUND_UP(count, PAGE_SECTORS);
	struct kmq_job *one, *job;

	mem_client(test, 512);
	one = mem_job_of(test, 1);
	job = mem_job(test, sectors);
	exhaust(test);
	KUNIT_EXPECT_TRUE(test, kmq_pages_get(one));
	/* If it needs all it waits until all is there. */
	KUNIT_EXPECT_EQ(test, kmq_pages_get(job), pages < 4);
	kmq_pages_put(one);
	expect_served(test, pages == 4, pages == 4 ? job : NULL);
	expect_reserve(test, 4 - pages);
	expect_pages(test, job);
	KUNIT_EXPECT_EQ(test, job->count, count);
	KUNIT_EXPECT_EQ(test, job->write_count, count);
	KUNIT_EXPECT_EQ(test, job->rest, sectors - count);
	kmq_pages_put(job);
	expect_reserve(test, 4);
}

/* Who waits longer is served first, and nobody overtakes: not even one who needs less. */
static void waiting_jobs_are_served_in_order(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 16);
	struct kmq_job *holds[4], *waits[4], *late;
	static const unsigned int needs[] = { 1, 2, 1, 4 };
	unsigned int i;

	for (i = 0; i < 4; i++)
		holds[i] = mem_job_of(test, 1);
	for (i = 0; i < 4; i++)
		waits[i] = mem_job_of(test, needs[i]);
	late = mem_job_of(test, 1);
	exhaust(test);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_TRUE(test, kmq_pages_get(holds[i]));
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_FALSE(test, kmq_pages_get(waits[i]));

	kmq_pages_put(holds[0]);
	expect_served(test, 1, waits[0]);
	/* One page is free: waits[2] could have it, but it is not its turn. */
	kmq_pages_put(holds[1]);
	expect_served(test, 1, waits[0]);
	expect_reserve(test, 1);
	KUNIT_EXPECT_FALSE(test, kmq_pages_get(late));

	kmq_pages_put(holds[2]);
	expect_served(test, 2, waits[1]);
	kmq_pages_put(holds[3]);
	expect_served(test, 3, waits[2]);

	kmq_pages_put(waits[0]);
	kmq_pages_put(waits[2]);
	expect_served(test, 3, waits[2]);
	kmq_pages_put(waits[1]);
	expect_served(test, 4, waits[3]);
	kmq_pages_put(waits[3]);
	expect_served(test, 5, late);
	KUNIT_EXPECT_TRUE(test, mt->kc->reserve.low);
	kmq_pages_put(late);
	KUNIT_EXPECT_FALSE(test, mt->kc->reserve.low);
	expect_reserve(test, 4);
}

/* One who gives back enough for several serves several, the oldest first. */
static void serves_as_many_as_it_can(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 16);
	struct kmq_job *holds = mem_job_of(test, 4), *waits[5];
	unsigned int i;

	for (i = 0; i < 5; i++)
		waits[i] = mem_job_of(test, 1);
	exhaust(test);
	KUNIT_EXPECT_TRUE(test, kmq_pages_get(holds));
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_FALSE(test, kmq_pages_get(waits[i]));
	kmq_pages_put(holds);
	expect_served(test, 4, waits[3]);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_PTR_EQ(test, mt->served[i], waits[i]);
	for (i = 0; i < 4; i++)
		kmq_pages_put(waits[i]);
	expect_served(test, 5, waits[4]);
}

/* While the reserve is not complete, pages that come from the system complete it. */
static void any_pages_complete_the_reserve(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 16);
	struct kmq_job *normal = mem_job_of(test, 3), *reserved = mem_job_of(test, 2), *waits;

	waits = mem_job_of(test, 3);
	KUNIT_EXPECT_TRUE(test, kmq_pages_get(normal));
	exhaust(test);
	KUNIT_EXPECT_TRUE(test, kmq_pages_get(reserved));
	KUNIT_EXPECT_FALSE(test, kmq_pages_get(waits));

	/* Two complete the reserve; the third is left over for the magazine. */
	kmq_pages_put(normal);
	expect_served(test, 1, waits);
	expect_reserve(test, 1);
	kmq_pages_put(reserved);
	expect_reserve(test, 3);
	KUNIT_EXPECT_TRUE(test, mt->kc->reserve.low);
	kmq_pages_put(waits);
	expect_reserve(test, 4);
	KUNIT_EXPECT_FALSE(test, mt->kc->reserve.low);
}

/*
 * Jobs without memory.
 */

/* A job of the reserve must not be submitted by the caller, who may have bios on its list. */
static void reserved_jobs_are_the_workers(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	struct kmq_job *job;
	bool direct = false;

	job = kmq_job_alloc(mt->kc, &direct);
	KUNIT_EXPECT_TRUE(test, direct);
	KUNIT_EXPECT_FALSE(test, dm_scaled_pool_is_short(&mt->kc->jobs));
	job->kc = mt->kc;
	kmq_job_free(job);

	exhaust(test);
	KUNIT_EXPECT_NULL(test, kmq_job_try_alloc());
	job = kmq_job_alloc(mt->kc, &direct);
	KUNIT_EXPECT_FALSE(test, direct);
	KUNIT_EXPECT_TRUE(test, dm_scaled_pool_is_short(&mt->kc->jobs));
	KUNIT_EXPECT_EQ(test, mt->kc->jobs.curr_nr, KMQ_MIN_JOBS - 1);

	/* What is freed completes the reserve before it goes to a magazine. */
	job->kc = mt->kc;
	kmq_job_free(job);
	KUNIT_EXPECT_FALSE(test, dm_scaled_pool_is_short(&mt->kc->jobs));
	KUNIT_EXPECT_NULL(test, kmq_job_try_alloc());
}

struct waiter {
	struct dm_kcopyd_mq_client *kc;
	struct kmq_job *job;
	struct completion ended;
};

static int wait_for_job(void *arg)
{
	struct waiter *w = arg;
	bool direct;

	w->job = kmq_job_alloc(w->kc, &direct);
	complete(&w->ended);
	return 0;
}

/* With all jobs of the reserve in use, a submitter waits for one of them to end. */
static void waits_for_a_job(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	struct task_struct *task;
	struct waiter w = { .kc = mt->kc };
	unsigned int i;

	init_completion(&w.ended);
	exhaust(test);
	for (i = 0; i < KMQ_MIN_JOBS; i++)
		mem_job_of(test, 1);
	KUNIT_EXPECT_EQ(test, mt->kc->jobs.curr_nr, 0);

	task = kthread_run(wait_for_job, &w, "kunit-wait");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, completion_done(&w.ended));
	kmq_job_free(mt->jobs[--mt->nr_jobs]);
	wait_for_completion(&w.ended);
	KUNIT_EXPECT_NOT_NULL(test, w.job);
	w.job->kc = mt->kc;
	w.job->nr_pages = 0;
	mt->jobs[mt->nr_jobs++] = w.job;
}

/*
 * Tickets.
 */

#define NR_TICKETS	3

static struct dm_kcopyd_mq_ticket tickets[NR_TICKETS];
static unsigned int tickets_served[NR_TICKETS], nr_tickets_served;

static void ticket_served(struct dm_kcopyd_mq_item *item)
{
	struct dm_kcopyd_mq_ticket *ticket = container_of(item, struct dm_kcopyd_mq_ticket, item);

	tickets_served[nr_tickets_served++] = ticket - tickets;
}

/* With all jobs of the reserve in use, tickets wait, and their submitter does not. */
static void use_up_jobs(struct kunit *test)
{
	struct mem_test *mt = test->priv;
	unsigned int i;

	exhaust(test);
	for (i = 0; i < KMQ_MIN_JOBS; i++)
		mem_job_of(test, 1);
	KUNIT_ASSERT_EQ(test, mt->kc->jobs.curr_nr, 0);

	nr_tickets_served = 0;
	for (i = 0; i < NR_TICKETS; i++) {
		tickets[i].item.fn = ticket_served;
		tickets[i].cpu = raw_smp_processor_id();
		KUNIT_EXPECT_FALSE(test, kmq_job_reserve(mt->kc, &tickets[i]));
	}
}

static void keep_ticket_job(struct kunit *test, struct dm_kcopyd_mq_ticket *ticket)
{
	struct mem_test *mt = test->priv;
	struct kmq_job *job = ticket->job;

	KUNIT_ASSERT_NOT_NULL(test, job);
	KUNIT_EXPECT_FALSE(test, ticket->direct);
	job->kc = mt->kc;
	mt->jobs[mt->nr_jobs++] = job;
}

static void expect_tickets(struct kunit *test, unsigned int nr)
{
	struct mem_test *mt = test->priv;
	unsigned int i;

	ku_pause();
	dm_kcopyd_mq_client_flush(mt->kc);
	KUNIT_ASSERT_EQ(test, nr_tickets_served, nr);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, tickets_served[i], i);
}

/* Each job that ends serves the ticket that has waited longest; nobody overtakes it. */
static void tickets_are_served_in_order(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	struct dm_kcopyd_mq_ticket late = { .cpu = raw_smp_processor_id() };
	unsigned int i;

	use_up_jobs(test);
	expect_tickets(test, 0);
	for (i = 0; i < NR_TICKETS; i++) {
		kmq_job_free(mt->jobs[--mt->nr_jobs]);
		expect_tickets(test, i + 1);
		keep_ticket_job(test, &tickets[i]);
	}
	KUNIT_EXPECT_NULL(test, mt->kc->parked);

	/* And without anybody waiting a job of the reserve is to be had at once. */
	kmq_job_free(mt->jobs[--mt->nr_jobs]);
	KUNIT_EXPECT_TRUE(test, kmq_job_reserve(mt->kc, &late));
	keep_ticket_job(test, &late);
	expect_tickets(test, NR_TICKETS);
}

static long free_all_jobs(void *arg)
{
	struct mem_test *mt = arg;

	while (mt->nr_jobs)
		kmq_job_free(mt->jobs[--mt->nr_jobs]);
	return 0;
}

/* Wherever jobs end. */
static void any_cpu_serves_tickets(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	unsigned int i;

	use_up_jobs(test);
	if (!ku_run_elsewhere(free_all_jobs, mt))
		free_all_jobs(mt);
	expect_tickets(test, NR_TICKETS);
	for (i = 0; i < NR_TICKETS; i++)
		keep_ticket_job(test, &tickets[i]);
}

/* A ticket gets what is at hand, to be submitted by its owner. */
static void ticket_with_memory(struct kunit *test)
{
	struct mem_test *mt = mem_client(test, 64);
	struct dm_kcopyd_mq_ticket ticket = { };
	struct kmq_job *job;

	KUNIT_ASSERT_TRUE(test, kmq_job_reserve(mt->kc, &ticket));
	KUNIT_EXPECT_TRUE(test, ticket.direct);
	job = ticket.job;
	job->kc = mt->kc;
	kmq_job_free(job);
}

static struct kunit_case mem_cases[] = {
	KUNIT_CASE(reserve_has_a_block),
	KUNIT_CASE_PARAM(reserve_is_small, reserve_gen_params),
	KUNIT_CASE_PARAM(segment_gets_its_pages, segment_gen_params),
	KUNIT_CASE(magazine_gives_back_what_was_used_last),
	KUNIT_CASE(magazine_has_limits),
	KUNIT_CASE(last_client_empties_magazines),
	KUNIT_CASE(held_cpu_is_not_waited_for),
	KUNIT_CASE(dead_cpu_leaves_nothing),
	KUNIT_CASE(rest_empties_magazines),
	KUNIT_CASE(shrinker_empties_magazines),
	KUNIT_CASE(shrinker_empties_what_was_left),
	KUNIT_CASE(failed_attempt_keeps_nothing),
	KUNIT_CASE(reserve_gives_and_gets_back),
	KUNIT_CASE(reserve_can_be_used_up),
	KUNIT_CASE_PARAM(segment_is_made_shorter, length_gen_params),
	KUNIT_CASE(waiting_jobs_are_served_in_order),
	KUNIT_CASE(serves_as_many_as_it_can),
	KUNIT_CASE(any_pages_complete_the_reserve),
	KUNIT_CASE(reserved_jobs_are_the_workers),
	KUNIT_CASE(waits_for_a_job),
	KUNIT_CASE(tickets_are_served_in_order),
	KUNIT_CASE(any_cpu_serves_tickets),
	KUNIT_CASE(ticket_with_memory),
	{}
};

static struct kunit_suite mem_suite = {
	.name = "dm-kcopyd-mq-mem",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = mem_case_init,
	.exit = mem_case_exit,
	.test_cases = mem_cases,
};

kunit_test_suite(mem_suite);
