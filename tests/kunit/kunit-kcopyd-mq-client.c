// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine from outside: lists and their workers, callbacks, the end of a client, copies without
 * memory, the CPU on which a job stays, jobs that the throttle holds back.
 */
#include <linux/kthread.h>
#include <linux/sched/stat.h>

#include "kunit-lib.h"
#include "kunit-engine.h"

/* As if other tasks always waited for the CPU. */
static bool client_others_wait;

#define single_task_running()	(!READ_ONCE(client_others_wait) && single_task_running())

#include "dm-kcopyd-mq-client.c"

#undef single_task_running

void ku_set_subjob_kb(unsigned int kb)
{
	kcopyd_subjob_size_kb = kb;
}

/*
 * The size of sub-jobs.
 */

struct subjob {
	unsigned int kb;
	unsigned int sectors;
};

static const struct subjob subjobs[] = {
	{ 0, KMQ_SUBJOB_KB_DEFAULT * 2 },	/* means the default */
	{ 1, PAGE },
	{ 4, 4 * 2 },
	{ 5, 8 * 2 },
	{ 511, 512 * 2 },
	{ 512, 512 * 2 },
	{ KMQ_SUBJOB_KB_MAX, KMQ_SUBJOB_KB_MAX * 2 },
	{ KMQ_SUBJOB_KB_MAX + 1, KMQ_SUBJOB_KB_MAX * 2 },
	{ UINT_MAX, KMQ_SUBJOB_KB_MAX * 2 },
};

static void subjob_desc(const struct subjob *s, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u KiB", s->kb);
}

KUNIT_ARRAY_PARAM(subjob, subjobs, subjob_desc);

/* Whatever the parameter says: whole pages, within the limits. */
static void sub_job_size_has_limits(struct kunit *test)
{
	const struct subjob *s = test->param_value;

	ku_set_subjob_kb(s->kb);
	KUNIT_EXPECT_EQ(test, kmq_sub_job_sectors(), s->sectors);
	ku_set_subjob_kb(0);
}

/*
 * Lists and their workers.
 */

struct order_item {
	struct dm_kcopyd_mq_item item;
	struct dm_kcopyd_mq_client *kc;
	unsigned int *next;
	unsigned int number;
	unsigned int again;	/* times that it queues itself */
	unsigned int cpu;
	int nice;
	bool slow;
	struct completion ended;
};

static void item_run(struct dm_kcopyd_mq_item *item)
{
	struct order_item *oi = container_of(item, struct order_item, item);
	struct dm_kcopyd_mq_client *kc = oi->kc;

	oi->cpu = raw_smp_processor_id();
	oi->nice = task_nice(current);
	if (oi->again) {
		oi->again--;
		dm_kcopyd_mq_queue_item(kc, item, oi->cpu);
		return;
	}
	if (oi->slow)
		ku_pause();
	if (oi->next)
		oi->number = (*oi->next)++;
	complete(&oi->ended);
	dm_kcopyd_mq_release(kc);
}

static struct order_item *item(struct kunit *test, struct dm_kcopyd_mq_client *kc)
{
	struct order_item *oi = kunit_kzalloc(test, sizeof(*oi), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, oi);
	oi->item.fn = item_run;
	oi->kc = kc;
	init_completion(&oi->ended);
	return oi;
}

static bool item_wait(struct order_item *oi)
{
	return wait_for_completion_timeout(&oi->ended, KU_TIMEOUT);
}

/* First in, first out. */
static void items_run_in_the_order_they_come(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = ku_client(test, 0, NULL);
	struct order_item *items[20];
	unsigned int i, next = 0;

	for (i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = item(test, kc);
		items[i]->next = &next;
	}
	/* All of them in one list that the worker takes. */
	preempt_disable();
	for (i = 0; i < ARRAY_SIZE(items); i++)
		dm_kcopyd_mq_queue_item(kc, &items[i]->item, dm_kcopyd_mq_hold(kc));
	preempt_enable();
	for (i = 0; i < ARRAY_SIZE(items); i++) {
		KUNIT_ASSERT_TRUE(test, item_wait(items[i]));
		KUNIT_EXPECT_EQ(test, items[i]->number, i);
		KUNIT_EXPECT_EQ(test, items[i]->cpu, raw_smp_processor_id());
	}
}

static struct dm_kcopyd_mq_client *background_client(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = dm_kcopyd_mq_client_create_background(NULL);

	KUNIT_ASSERT_FALSE(test, IS_ERR(kc));
	return kc;
}

/* No worker ever holds anything at a low priority, those of the background included. */
static void all_workers_have_normal_priority(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc;
	struct order_item *oi;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		kc = i ? background_client(test) : dm_kcopyd_mq_client_create(NULL);
		KUNIT_ASSERT_FALSE(test, IS_ERR(kc));
		oi = item(test, kc);
		dm_kcopyd_mq_queue_item(kc, &oi->item, dm_kcopyd_mq_hold(kc));
		KUNIT_ASSERT_TRUE(test, item_wait(oi));
		dm_kcopyd_mq_client_destroy(kc);
		KUNIT_EXPECT_EQ(test, oi->nice, 0);
	}
}

/* The background's worker is left to the thread of low priority, until somebody waits. */
static void background_waits_for_an_idle_cpu(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = background_client(test);
	struct order_item *items[] = { item(test, kc), item(test, kc) };
	bool pending, urgent, first, second;
	struct kmq_cpu *kcc;

	preempt_disable();
	kcc = this_cpu_ptr(kc->cpus);
	dm_kcopyd_mq_queue_item(kc, &items[0]->item, dm_kcopyd_mq_hold(kc));
	pending = work_pending(&kcc->work);
	dm_kcopyd_mq_client_urgent_get(kc);
	urgent = work_pending(&kcc->work);
	preempt_enable();
	KUNIT_EXPECT_FALSE(test, pending);
	KUNIT_EXPECT_TRUE(test, urgent);
	KUNIT_EXPECT_TRUE(test, item_wait(items[0]));

	/* While it is urgent, and not any longer. */
	flush_work(&kcc->work);
	preempt_disable();
	kcc = this_cpu_ptr(kc->cpus);
	dm_kcopyd_mq_queue_item(kc, &items[1]->item, dm_kcopyd_mq_hold(kc));
	first = work_pending(&kcc->work);
	preempt_enable();
	KUNIT_EXPECT_TRUE(test, first);
	KUNIT_EXPECT_TRUE(test, item_wait(items[1]));
	dm_kcopyd_mq_client_urgent_put(kc);
	kmq_kick_all();
	flush_workqueue(kc->wq);

	reinit_completion(&items[1]->ended);
	preempt_disable();
	kcc = this_cpu_ptr(kc->cpus);
	dm_kcopyd_mq_queue_item(kc, &items[1]->item, dm_kcopyd_mq_hold(kc));
	second = work_pending(&kcc->work);
	preempt_enable();
	KUNIT_EXPECT_FALSE(test, second);
	KUNIT_EXPECT_TRUE(test, item_wait(items[1]));
	dm_kcopyd_mq_client_destroy(kc);
}

/* Others want the CPU: one item at a time, in order; flush waits for what was put off, too. */
static void background_gives_way(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = background_client(test);
	struct order_item *items[20];
	unsigned int i, next = 0;

	for (i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = item(test, kc);
		items[i]->next = &next;
	}
	WRITE_ONCE(client_others_wait, true);
	preempt_disable();
	for (i = 0; i < ARRAY_SIZE(items); i++)
		dm_kcopyd_mq_queue_item(kc, &items[i]->item, dm_kcopyd_mq_hold(kc));
	preempt_enable();
	KUNIT_EXPECT_TRUE(test, item_wait(items[0]));
	dm_kcopyd_mq_client_flush(kc);
	for (i = 1; i < ARRAY_SIZE(items); i++)
		KUNIT_EXPECT_TRUE(test, completion_done(&items[i]->ended));
	for (i = 0; i < ARRAY_SIZE(items); i++)
		KUNIT_EXPECT_EQ(test, items[i]->number, i);

	/* Without anybody who waits it gets on, too. */
	for (i = 0; i < ARRAY_SIZE(items); i++) {
		reinit_completion(&items[i]->ended);
		dm_kcopyd_mq_queue_item(kc, &items[i]->item, dm_kcopyd_mq_hold(kc));
	}
	for (i = 0; i < ARRAY_SIZE(items); i++)
		KUNIT_EXPECT_TRUE(test, item_wait(items[i]));
	/* Nor does its end take longer. */
	for (i = 0; i < ARRAY_SIZE(items); i++) {
		reinit_completion(&items[i]->ended);
		dm_kcopyd_mq_queue_item(kc, &items[i]->item, dm_kcopyd_mq_hold(kc));
	}
	dm_kcopyd_mq_client_destroy(kc);
	WRITE_ONCE(client_others_wait, false);
	for (i = 0; i < ARRAY_SIZE(items); i++)
		KUNIT_EXPECT_TRUE(test, completion_done(&items[i]->ended));
}

/* A list that never ends does not keep the worker for ever, and nothing of it is lost. */
static void worker_goes_on_after_many_rounds(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = ku_client(test, 0, NULL);
	struct order_item *oi = item(test, kc);

	oi->again = 1000;
	dm_kcopyd_mq_queue_item(kc, &oi->item, dm_kcopyd_mq_hold(kc));
	KUNIT_EXPECT_TRUE(test, item_wait(oi));
	KUNIT_EXPECT_EQ(test, oi->again, 0);
}

static void prepared_callback_is_given_its_errors(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = ku_client(test, 0, NULL);
	struct ku_copy *copy = ku_copy_create(test);
	void *prepared = dm_kcopyd_mq_prepare_callback(kc, ku_copy_done, copy);

	ku_pause();
	KUNIT_EXPECT_EQ(test, copy->calls, 0);
	dm_kcopyd_mq_do_callback(prepared, 1, 0xa5);
	ku_expect_copy(test, copy, 1, 0xa5);
}

/* A flush returns when that has run whose I/O had ended, on all CPUs. */
static void flush_waits_for_callbacks(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = ku_client(test, 0, NULL);
	struct order_item **items = kunit_kcalloc(test, nr_cpu_ids, sizeof(*items), GFP_KERNEL);
	int cpu;

	KUNIT_ASSERT_NOT_NULL(test, items);
	for_each_online_cpu(cpu) {
		items[cpu] = item(test, kc);
		items[cpu]->slow = true;
		dm_kcopyd_mq_hold(kc);
		dm_kcopyd_mq_queue_item(kc, &items[cpu]->item, cpu);
	}
	dm_kcopyd_mq_client_flush(kc);
	for_each_online_cpu(cpu) {
		KUNIT_EXPECT_TRUE(test, completion_done(&items[cpu]->ended));
		KUNIT_EXPECT_EQ(test, items[cpu]->cpu, cpu);
	}
}

static int queue_later(void *arg)
{
	struct order_item *oi = arg;

	ku_pause();
	dm_kcopyd_mq_queue_item(oi->kc, &oi->item, oi->number);
	return 0;
}

/* A client is not gone before what was announced has run. */
static void destroy_waits_for_held_items(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = ku_client(test, 0, NULL);
	struct order_item *oi = item(test, kc);
	struct task_struct *task;

	oi->slow = true;
	oi->number = dm_kcopyd_mq_hold(kc);
	task = kthread_run(queue_later, oi, "kunit-later");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	ku_client_destroy(test);
	KUNIT_EXPECT_TRUE(test, completion_done(&oi->ended));
}

/*
 * Without memory.
 */

/* Pages for one segment: copies are read one by one, in the order in which they were submitted. */
static void copies_without_memory_in_order(struct kunit *test)
{
	struct engine *e = engine(test, 1, PAGE);
	struct ku_copy *copies[KMQ_MIN_JOBS];
	unsigned int i;

	test_disk_hold(e->src);
	ku_allow(0);
	for (i = 0; i < ARRAY_SIZE(copies); i++) {
		copies[i] = ku_copy_create(test);
		e->from.sector = i * PAGE;
		e->to[0].sector = i * PAGE;
		dm_kcopyd_mq_copy(e->kc, &e->from, 1, e->to, 0, ku_copy_done, copies[i]);
	}
	for (i = 0; i < ARRAY_SIZE(copies); i++) {
		KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->src) == i + 1));
		if (i % 4 == 0)
			ku_pause();
		KUNIT_EXPECT_EQ(test, test_disk_pending(e->src), 1);
		expect_segment(test, e->src, i, i, REQ_OP_READ);
		/* Only the first of those that wait has memory to go on. */
		KUNIT_EXPECT_EQ(test, e->kc->reserve.nr_pages, 0);
		test_disk_end_oldest(e->src, 1);
		ku_expect_copy(test, copies[i], 0, 0);
	}
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!READ_ONCE(e->kc->reserve.low)));
	KUNIT_EXPECT_EQ(test, e->kc->reserve.nr_pages, 1);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!dm_scaled_pool_is_short(&e->kc->jobs)));
}

/* A large copy has no helpers then, and its segments one after another. */
static void large_copy_without_memory(struct kunit *test)
{
	struct engine *e = engine(test, 1, 20 * PAGE);
	unsigned int i;

	test_disk_hold(e->src);
	ku_allow(0);
	engine_copy(e, BIT(DM_KCOPYD_WRITE_SEQ));
	for (i = 0; i < 20; i++) {
		KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->src) == i + 1));
		KUNIT_EXPECT_EQ(test, test_disk_end_oldest(e->src, 1), 1);
	}
	ku_expect_copy(test, e->copy, 0, 0);
	for (i = 0; i < 20; i++)
		expect_segment(test, e->dst[0], i, i, REQ_OP_WRITE);
}

static const unsigned int short_flags[] = {
	0, BIT(DM_KCOPYD_WRITE_SEQ), BIT(DM_KCOPYD_IGNORE_ERROR),
};

static void short_flags_desc(const unsigned int *flags, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "flags %#x", *flags);
}

KUNIT_ARRAY_PARAM(short_flags, short_flags, short_flags_desc);

#define SHORT_PAGES	63U
#define SHORT_COPIES	2U

/*
 * Segments for which the reserve is too small are copied in parts, here those of copies that have
 * helpers: all of them want all of the reserve. Whoever writes in order and gives back pages in
 * between never gets them again, as a later segment has them and waits for it.
 */
static void copies_without_pages(struct kunit *test)
{
	unsigned int flags = *(const unsigned int *)test->param_value, i, j;
	struct engine *e = engine(test, SHORT_COPIES, SHORT_PAGES * PAGE - 3);
	struct ku_copy *copies[SHORT_COPIES];

	ku_client_destroy(test);
	e->kc = ku_client(test, 32, NULL);
	test_disk_set(e->src, TEST_DISK_TASK, 0, 20);
	ku_exhaust_pages();
	for (i = 0; i < SHORT_COPIES; i++) {
		copies[i] = ku_copy_create(test);
		dm_kcopyd_mq_copy(e->kc, &e->from, 1, &e->to[i], flags, ku_copy_done, copies[i]);
	}
	for (i = 0; i < SHORT_COPIES; i++)
		ku_expect_copy(test, copies[i], 0, 0);
	for (i = 0; i < SHORT_COPIES; i++) {
		for (j = 0; j < SHORT_PAGES - 1; j++)
			KUNIT_ASSERT_TRUE(test, ku_disk_holds(e->dst[i], j * PAGE, PAGE, 'a' + j));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[i], j * PAGE, PAGE - 3, 'a' + j));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[i], SHORT_PAGES * PAGE - 3, 3, 0));
		for (j = 1; flags & BIT(DM_KCOPYD_WRITE_SEQ) && j < engine_records(e->dst[i]); j++)
			KUNIT_EXPECT_GT(test, e->dst[i]->records[j].sector,
					e->dst[i]->records[j - 1].sector);
	}
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!READ_ONCE(e->kc->reserve.low)));
	KUNIT_EXPECT_EQ(test, e->kc->reserve.nr_pages, KMQ_RESERVE_PAGES);
}

/* A copy of which a part fails ends all the same, with what it had and all that it held. */
static void failing_copy_without_pages(struct kunit *test)
{
	unsigned int flags = *(const unsigned int *)test->param_value;
	struct engine *e = engine(test, 1, SHORT_PAGES * PAGE);
	bool ignores = flags & BIT(DM_KCOPYD_IGNORE_ERROR);

	ku_client_destroy(test);
	e->kc = ku_client(test, 32, NULL);
	test_disk_fail(e->src, OP_BIT(REQ_OP_READ), 9 * PAGE, 1, BLK_STS_MEDIUM);
	ku_exhaust_pages();
	engine_copy(e, flags);
	ku_expect_copy(test, e->copy, 1, 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[0], 8 * PAGE, PAGE, ignores ? 'a' + 8 : 0));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[0], 9 * PAGE, PAGE, 0));
	if (ignores)
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[0], 62 * PAGE, PAGE, 'a' + 62));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!READ_ONCE(e->kc->reserve.low)));
	KUNIT_EXPECT_EQ(test, e->kc->reserve.nr_pages, KMQ_RESERVE_PAGES);
}

#define CHAIN_COPIES	200

struct chain_link {
	struct dm_kcopyd_mq_ticket ticket;
	struct chain *chain;
};

struct chain {
	struct engine *e;
	struct chain_link links[CHAIN_COPIES];
	atomic_t begun;
	atomic_t ended;
	atomic_t wrong;
};

static void chain_begin(struct chain *chain);

static void chain_done(int read_err, unsigned long write_err, void *context)
{
	struct chain *chain = context;

	if (read_err || write_err)
		atomic_inc(&chain->wrong);
	chain_begin(chain);
	chain_begin(chain);
	atomic_inc(&chain->ended);
}

static void chain_copy(struct dm_kcopyd_mq_item *item)
{
	struct chain_link *link = container_of(item, struct chain_link, ticket.item);
	struct engine *e = link->chain->e;

	dm_kcopyd_mq_copy_with(e->kc, &link->ticket, &e->from, 1, e->to, 0, chain_done,
			       link->chain);
}

static void chain_begin(struct chain *chain)
{
	unsigned int i = atomic_inc_return(&chain->begun) - 1;
	struct chain_link *link;

	if (i >= CHAIN_COPIES)
		return;
	link = &chain->links[i];
	link->chain = chain;
	link->ticket.item.fn = chain_copy;
	if (dm_kcopyd_mq_reserve(chain->e->kc, &link->ticket))
		chain_copy(&link->ticket.item);
}

/* Callbacks that begin two copies each, with all jobs in use, do not wait for themselves. */
static void callbacks_submit_without_memory(struct kunit *test)
{
	struct engine *e = engine(test, 1, PAGE);
	struct chain *chain = kunit_kzalloc(test, sizeof(*chain), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, chain);
	chain->e = e;
	test_disk_set(e->src, TEST_DISK_TASK, 0, 20);
	ku_allow(0);
	for (i = 0; i < 16; i++)
		chain_begin(chain);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(atomic_read(&chain->ended) == CHAIN_COPIES));
	KUNIT_EXPECT_EQ(test, atomic_read(&chain->wrong), 0);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!dm_scaled_pool_is_short(&e->kc->jobs)));
}

/*
 * CPUs, throttle.
 */

struct cpu_copies {
	struct engine *e;
	struct completion *ended;	/* by CPU */
	atomic_t lost;
};

static void cpu_copy_done(int read_err, unsigned long write_err, void *context)
{
	struct cpu_copies *cc = context;

	complete(&cc->ended[raw_smp_processor_id()]);
}

static void cpu_copy(unsigned int cpu, void *arg)
{
	struct cpu_copies *cc = arg;
	struct engine *e = cc->e;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		dm_kcopyd_mq_copy(e->kc, &e->from, 1, e->to, 0, cpu_copy_done, cc);
		/* It is completed by a callback on this CPU, or not at all. */
		if (!wait_for_completion_timeout(&cc->ended[cpu], KU_TIMEOUT))
			atomic_inc(&cc->lost);
	}
}

/* A job's callback runs on the CPU that submitted it, wherever its bios end. */
static void jobs_stay_on_their_cpu(struct kunit *test)
{
	struct engine *e = engine(test, 1, PAGE);
	struct cpu_copies cc = { .e = e };
	int cpu;

	cc.ended = kunit_kcalloc(test, nr_cpu_ids, sizeof(*cc.ended), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, cc.ended);
	for_each_possible_cpu(cpu)
		init_completion(&cc.ended[cpu]);
	test_disk_set(e->src, TEST_DISK_IRQ, 0, 20);
	test_disk_set(e->dst[0], TEST_DISK_TASK, 0, 20);
	ku_run_on_cpus(test, cpu_copy, &cc);
	KUNIT_EXPECT_EQ(test, atomic_read(&cc.lost), 0);
}

/* With a throttle a job waits, but only so often. */
static void throttled_job_starts_in_the_end(struct kunit *test)
{
	struct dm_kcopyd_mq_throttle throttle = { .throttle = 1, .last_jiffies = jiffies };
	struct engine *e = engine(test, 1, PAGE);
	struct ku_copy *second = ku_copy_create(test);
	unsigned long begin;

	ku_client_destroy(test);
	spin_lock_init(&throttle.lock);
	e->kc = ku_client(test, 0, &throttle);
	test_disk_hold(e->src);
	engine_copy(e, 0);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->src) == 1));
	KUNIT_EXPECT_EQ(test, throttle.num_io_jobs, 1);

	/* All of the time there is one in flight. */
	ku_pause();
	begin = jiffies;
	dm_kcopyd_mq_copy(e->kc, &e->from, 1, e->to, 0, ku_copy_done, second);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(engine_records(e->src) == 2));
	KUNIT_EXPECT_GE(test, jiffies - begin, 10 * (HZ / 10) - 1);
	test_disk_end_oldest(e->src, 2);
	ku_expect_copy(test, e->copy, 0, 0);
	ku_expect_copy(test, second, 0, 0);
	/* The throttle is the case's own, on its stack. */
	ku_client_destroy(test);
	KUNIT_EXPECT_EQ(test, throttle.num_io_jobs, 0);
}

static struct kunit_case client_cases[] = {
	KUNIT_CASE_PARAM(sub_job_size_has_limits, subjob_gen_params),
	KUNIT_CASE(items_run_in_the_order_they_come),
	KUNIT_CASE(all_workers_have_normal_priority),
	KUNIT_CASE(background_waits_for_an_idle_cpu),
	KUNIT_CASE(background_gives_way),
	KUNIT_CASE(worker_goes_on_after_many_rounds),
	KUNIT_CASE(prepared_callback_is_given_its_errors),
	KUNIT_CASE(flush_waits_for_callbacks),
	KUNIT_CASE(destroy_waits_for_held_items),
	KUNIT_CASE(copies_without_memory_in_order),
	KUNIT_CASE(large_copy_without_memory),
	KUNIT_CASE_PARAM(copies_without_pages, short_flags_gen_params),
	KUNIT_CASE_PARAM(failing_copy_without_pages, short_flags_gen_params),
	KUNIT_CASE(callbacks_submit_without_memory),
	KUNIT_CASE(jobs_stay_on_their_cpu),
	KUNIT_CASE(throttled_job_starts_in_the_end),
	{}
};

static struct kunit_suite client_suite = {
	.name = "dm-kcopyd-mq-client",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = ku_exit,
	.test_cases = client_cases,
};

kunit_test_suite(client_suite);
