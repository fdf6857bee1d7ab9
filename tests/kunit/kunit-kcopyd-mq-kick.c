// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lazy kicks: when a worker is started at once, when it is left to the lazy thread or the timer,
 * and what is learnt from how long that took.
 */
#include "kunit-lib.h"

#include <linux/sched/stat.h>

/* Whether another task wants the CPU is what a case says, not what happens to run there. */
static bool kick_is_alone = true;

#define single_task_running() kick_is_alone
#include "dm-kcopyd-mq-kick.c"
#undef single_task_running

/* A CPU's part of a client, with a worker that counts. */
struct part {
	struct dm_kcopyd_mq_client kc;
	struct kmq_cpu kcc;
	atomic_t runs;
};

static void part_work(struct work_struct *work)
{
	atomic_inc(&container_of(work, struct part, kcc.work)->runs);
}

/* The case's task submits, and stays on its CPU. */
static int kick_init(struct kunit *test)
{
	struct part *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	p->kc.wq = dm_scaled_alloc_percpu_wq("kunit-kick", 0);
	if (!p->kc.wq)
		return -ENOMEM;
	INIT_WORK(&p->kcc.work, part_work);
	p->kcc.kc = &p->kc;
	p->kcc.submitter = current;
	kick_is_alone = true;
	ku_stay_here();
	p->kcc.cpu = raw_smp_processor_id();
	test->priv = p;
	return 0;
}

static void kick_exit(struct kunit *test)
{
	struct part *p = test->priv;

	kick_is_alone = true;
	if (!p)
		return;
	kmq_kick_all();
	synchronize_rcu();
	destroy_workqueue(p->kc.wq);
}

static bool lazily(struct part *p)
{
	bool lazy;

	rcu_read_lock();
	lazy = kmq_kick_lazily(&p->kcc);
	rcu_read_unlock();
	return lazy;
}

struct judgement {
	unsigned int ticks;
	unsigned int backoff;
	unsigned int expected;
};

static const struct judgement judgements[] = {
	{ 0, 0, 0 },
	{ KMQ_LAZY_TICKS - 1, 0, 0 },
	{ KMQ_LAZY_TICKS, 0, 8 },
	{ KMQ_LAZY_TICKS + 1000, 0, 8 },
	{ KMQ_LAZY_TICKS, 8, 16 },
	{ KMQ_LAZY_TICKS, 1024, 2048 },
	{ KMQ_LAZY_TICKS, 32768, 65536 },
	{ KMQ_LAZY_TICKS, 65536, 65536 },
	{ KMQ_LAZY_TICKS - 1, 65536, 32768 },
	{ 0, 16, 8 },
	{ 0, 8, 0 },
};

static void judgement_desc(const struct judgement *j, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u ticks after a backoff of %u", j->ticks,
		 j->backoff);
}

KUNIT_ARRAY_PARAM(judgement, judgements, judgement_desc);

/*
 * Each time that being lazy costs time, there is twice as long no laziness; each time that it does
 * not, half as long.
 */
static void learns(struct kunit *test)
{
	const struct judgement *j = test->param_value;
	struct part *p = test->priv;
	unsigned long begin;

	/* Again if there was a tick between the two. */
	do {
		begin = jiffies;
		p->kcc.backoff = j->backoff;
		p->kcc.lazy_since = begin - j->ticks;
		kmq_judge(&p->kcc);
	} while (time_after(jiffies, begin));
	KUNIT_EXPECT_EQ(test, p->kcc.backoff, j->expected);
	KUNIT_EXPECT_EQ(test, p->kcc.hasty, j->expected);
}

/* Somebody else's completion, in an interrupt or another task, starts the worker at once. */
static void only_for_the_submitter(struct kunit *test)
{
	struct part *p = test->priv;

	p->kcc.submitter = NULL;
	KUNIT_EXPECT_FALSE(test, lazily(p));
	KUNIT_EXPECT_FALSE(test, p->kcc.lazy);
	p->kcc.submitter = current;
}

static void only_on_its_cpu(struct kunit *test)
{
	struct part *p = test->priv;

	p->kcc.cpu++;
	KUNIT_EXPECT_FALSE(test, lazily(p));
	KUNIT_EXPECT_FALSE(test, p->kcc.lazy);
	p->kcc.cpu--;
}

/* If another task wants the CPU, the worker does not wait for that one to sleep. */
static void only_if_nobody_else_wants_the_cpu(struct kunit *test)
{
	struct task_struct *thread = per_cpu(kmq_lazy_thread, raw_smp_processor_id());
	struct part *p = test->priv;
	bool again;

	KUNIT_ASSERT_TRUE(test, ku_wait_until(!READ_ONCE(thread->on_rq)));
	kick_is_alone = false;
	KUNIT_EXPECT_FALSE(test, lazily(p));
	KUNIT_EXPECT_FALSE(test, p->kcc.lazy);

	/* What has been left to the thread, which then wants the CPU itself, stays with it. */
	local_irq_disable();
	kick_is_alone = true;
	KUNIT_EXPECT_TRUE(test, lazily(p));
	kick_is_alone = false;
	again = lazily(p);
	local_irq_enable();
	KUNIT_EXPECT_TRUE(test, again);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(atomic_read(&p->runs)));
}

static void hasty_for_a_while(struct kunit *test)
{
	struct part *p = test->priv;

	p->kcc.hasty = 2;
	KUNIT_EXPECT_FALSE(test, lazily(p));
	KUNIT_EXPECT_FALSE(test, lazily(p));
	KUNIT_EXPECT_EQ(test, p->kcc.hasty, 0);
	KUNIT_EXPECT_FALSE(test, p->kcc.lazy);
	KUNIT_EXPECT_TRUE(test, lazily(p));
}

/* The worker runs once, for however many kicks, when the submitter sleeps. */
static void starts_when_the_submitter_sleeps(struct kunit *test)
{
	struct part *p = test->priv;
	bool lazy, listed, again;

	/* Nor does the timer come between the two, however long this CPU of a VM stands still. */
	local_irq_disable();
	lazy = lazily(p);
	listed = p->kcc.lazy;
	again = lazily(p);
	local_irq_enable();
	KUNIT_EXPECT_TRUE(test, lazy);
	KUNIT_EXPECT_TRUE(test, listed);
	KUNIT_EXPECT_TRUE(test, again);

	KUNIT_EXPECT_TRUE(test, ku_wait_until(atomic_read(&p->runs)));
	ku_pause();
	KUNIT_EXPECT_EQ(test, atomic_read(&p->runs), 1);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(p->kcc.lazy));

	/* And again: it has been taken off the list. */
	KUNIT_EXPECT_TRUE(test, lazily(p) || READ_ONCE(p->kcc.hasty) > 0);
}

/* A submitter that holds the CPU is found out by the timer, and not waited for any more. */
static void timer_finds_out_who_does_not_sleep(struct kunit *test)
{
	struct part *p = test->priv;
	u64 begin = ktime_get_ns();
	bool lazy;

	preempt_disable();
	lazy = lazily(p);
	while (READ_ONCE(p->kcc.lazy) && ktime_get_ns() - begin < 5 * NSEC_PER_SEC)
		cpu_relax();
	preempt_enable();

	KUNIT_EXPECT_TRUE(test, lazy);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(p->kcc.lazy));
	KUNIT_EXPECT_EQ(test, p->kcc.hasty, KMQ_MIN_BACKOFF);
	KUNIT_EXPECT_FALSE(test, lazily(p));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(atomic_read(&p->runs) == 1));
}

/* For the end of a client: what is in the list is started now. */
static void kick_all_leaves_nothing(struct kunit *test)
{
	struct part *p = test->priv;
	bool lazy, listed;

	preempt_disable();
	lazy = lazily(p);
	kmq_kick_all();
	listed = p->kcc.lazy;
	preempt_enable();

	KUNIT_EXPECT_TRUE(test, lazy);
	KUNIT_EXPECT_FALSE(test, listed);
	flush_work(&p->kcc.work);
	KUNIT_EXPECT_EQ(test, atomic_read(&p->runs), 1);
}

/* A CPU's list has the parts of several clients. */
static void starts_all_in_the_list(struct kunit *test)
{
	struct part *p = test->priv, *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	bool both;

	KUNIT_ASSERT_NOT_NULL(test, other);
	other->kc.wq = p->kc.wq;
	INIT_WORK(&other->kcc.work, part_work);
	other->kcc.kc = &other->kc;
	other->kcc.submitter = current;
	other->kcc.cpu = p->kcc.cpu;

	preempt_disable();
	both = lazily(p) && lazily(other);
	preempt_enable();
	KUNIT_EXPECT_TRUE(test, both);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(atomic_read(&p->runs) &&
					      atomic_read(&other->runs)));
	kmq_kick_all();
	synchronize_rcu();
	flush_workqueue(p->kc.wq);
}

static void idly(struct part *p)
{
	rcu_read_lock();
	kmq_kick_idle(&p->kcc);
	rcu_read_unlock();
}

/* A worker of the background is started by the thread, once for however many kicks. */
static void background_starts_when_idle(struct kunit *test)
{
	struct part *p = test->priv;
	bool listed, pending;

	preempt_disable();
	idly(p);
	idly(p);
	listed = p->kcc.lazy;
	pending = work_pending(&p->kcc.work);
	preempt_enable();
	KUNIT_EXPECT_TRUE(test, listed);
	KUNIT_EXPECT_FALSE(test, pending);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(atomic_read(&p->runs)));
	ku_pause();
	KUNIT_EXPECT_EQ(test, atomic_read(&p->runs), 1);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(p->kcc.lazy));
}

/* If somebody waits, or the thread does not serve the CPU, it is started at once. */
static void background_starts_at_once(struct kunit *test)
{
	struct part *p = test->priv;
	struct kmq_lazy *lazy = per_cpu_ptr(&kmq_lazy, p->kcc.cpu);
	bool urgent, offline, listed;

	atomic_set(&p->kc.urgent, 1);
	preempt_disable();
	idly(p);
	urgent = work_pending(&p->kcc.work);
	preempt_enable();
	atomic_set(&p->kc.urgent, 0);
	KUNIT_EXPECT_TRUE(test, urgent);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!READ_ONCE(p->kcc.lazy)));
	flush_work(&p->kcc.work);

	preempt_disable();
	idly(p);
	kmq_lazy_close(p->kcc.cpu);
	listed = p->kcc.lazy;
	idly(p);
	listed |= p->kcc.lazy;
	offline = work_pending(&p->kcc.work);
	kmq_lazy_open(p->kcc.cpu);
	preempt_enable();
	KUNIT_EXPECT_FALSE(test, listed);
	KUNIT_EXPECT_TRUE(test, offline);
	KUNIT_EXPECT_TRUE(test, lazy->open);
}

static struct kunit_case kick_cases[] = {
	KUNIT_CASE_PARAM(learns, judgement_gen_params),
	KUNIT_CASE(only_for_the_submitter),
	KUNIT_CASE(only_on_its_cpu),
	KUNIT_CASE(only_if_nobody_else_wants_the_cpu),
	KUNIT_CASE(hasty_for_a_while),
	KUNIT_CASE(starts_when_the_submitter_sleeps),
	KUNIT_CASE(timer_finds_out_who_does_not_sleep),
	KUNIT_CASE(kick_all_leaves_nothing),
	KUNIT_CASE(starts_all_in_the_list),
	KUNIT_CASE(background_starts_when_idle),
	KUNIT_CASE(background_starts_at_once),
	{}
};

static struct kunit_suite kick_suite = {
	.name = "dm-kcopyd-mq-kick",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = kick_init,
	.exit = kick_exit,
	.test_cases = kick_cases,
};

kunit_test_suite(kick_suite);
