// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reference counts kept by CPUs: when they are drained, and by whom.
 */
#include <linux/kthread.h>

#include "kunit-lib.h"

#include "dm-scaled-refs.c"

struct refs_test {
	struct dm_scaled_refs refs;
	struct completion ended;
};

static struct refs_test *refs_test(struct kunit *test)
{
	struct refs_test *rt = kunit_kzalloc(test, sizeof(*rt), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, rt);
	KUNIT_ASSERT_EQ(test, dm_scaled_refs_init(&rt->refs), 0);
	init_completion(&rt->ended);
	return rt;
}

static void refs_end(struct refs_test *rt)
{
	synchronize_rcu();
	dm_scaled_refs_exit(&rt->refs);
}

static void no_reference_is_waited_for(struct kunit *test)
{
	struct refs_test *rt = refs_test(test);

	dm_scaled_refs_drain(&rt->refs);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&rt->refs.left), 0);
	refs_end(rt);
}

static void get_some(unsigned int cpu, void *arg)
{
	struct refs_test *rt = arg;
	unsigned int i;

	for (i = 0; i <= cpu; i++)
		dm_scaled_refs_get(&rt->refs);
}

static void put_one(unsigned int cpu, void *arg)
{
	struct refs_test *rt = arg;

	dm_scaled_refs_put(&rt->refs);
}

static int drain(void *arg)
{
	struct refs_test *rt = arg;

	dm_scaled_refs_drain(&rt->refs);
	complete(&rt->ended);
	return 0;
}

/* References may be put on other CPUs than those on which they were got, and late. */
static void last_reference_ends_it(struct kunit *test)
{
	struct refs_test *rt = refs_test(test);
	unsigned int left = 0, cpu;
	struct task_struct *task;

	for_each_online_cpu(cpu)
		left += cpu + 1;
	ku_run_on_cpus(test, get_some, rt);
	ku_run_on_cpus(test, put_one, rt);
	left -= num_online_cpus();
	for (; left > 2; left--)
		dm_scaled_refs_put(&rt->refs);
	for (; left < 2; left++)
		dm_scaled_refs_get(&rt->refs);

	task = kthread_run(drain, rt, "kunit-drain");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(atomic_long_read(&rt->refs.left) == 2));
	/* Who has one may get another one. */
	dm_scaled_refs_get(&rt->refs);
	dm_scaled_refs_put(&rt->refs);
	dm_scaled_refs_put(&rt->refs);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, completion_done(&rt->ended));
	dm_scaled_refs_put(&rt->refs);
	wait_for_completion(&rt->ended);

	dm_scaled_refs_reinit(&rt->refs);
	dm_scaled_refs_get(&rt->refs);
	KUNIT_EXPECT_FALSE(test, rt->refs.draining);
	dm_scaled_refs_put(&rt->refs);
	dm_scaled_refs_drain(&rt->refs);
	refs_end(rt);
}

/* Who holds none gets none when it has been stopped; and all who wait are told, however late. */
static void none_after_the_stop(struct kunit *test)
{
	struct refs_test *rt = refs_test(test);

	KUNIT_EXPECT_TRUE(test, dm_scaled_refs_tryget(&rt->refs));
	KUNIT_EXPECT_TRUE(test, dm_scaled_refs_tryget(&rt->refs));
	dm_scaled_refs_stop(&rt->refs);
	KUNIT_EXPECT_FALSE(test, dm_scaled_refs_tryget(&rt->refs));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&rt->refs.left), 2);
	dm_scaled_refs_put(&rt->refs);
	KUNIT_EXPECT_FALSE(test, completion_done(&rt->refs.drained));
	dm_scaled_refs_put(&rt->refs);
	wait_for_completion(&rt->refs.drained);
	wait_for_completion(&rt->refs.drained);
	KUNIT_EXPECT_FALSE(test, dm_scaled_refs_tryget(&rt->refs));

	dm_scaled_refs_reinit(&rt->refs);
	KUNIT_EXPECT_TRUE(test, dm_scaled_refs_tryget(&rt->refs));
	dm_scaled_refs_put(&rt->refs);
	dm_scaled_refs_stop(&rt->refs);
	KUNIT_EXPECT_TRUE(test, completion_done(&rt->refs.drained));
	refs_end(rt);
}

#define REFS_ROUNDS	20U

struct refs_race {
	struct refs_test rt;
	atomic_t live;
	bool stop;
};

/* Each user holds one all the time, and gets and puts another one. */
static int refs_user(void *arg)
{
	struct refs_race *race = arg;

	while (!READ_ONCE(race->stop)) {
		dm_scaled_refs_get(&race->rt.refs);
		dm_scaled_refs_put(&race->rt.refs);
		cond_resched();
	}
	atomic_dec(&race->live);
	dm_scaled_refs_put(&race->rt.refs);
	return 0;
}

/* However get and put race with the beginning: it ends when all are gone, not earlier. */
static void nothing_is_lost_in_a_race(struct kunit *test)
{
	struct refs_race *race = kunit_kzalloc(test, sizeof(*race), GFP_KERNEL);
	struct task_struct *task;
	unsigned int i, j;

	KUNIT_ASSERT_NOT_NULL(test, race);
	KUNIT_ASSERT_EQ(test, dm_scaled_refs_init(&race->rt.refs), 0);
	for (i = 0; i < REFS_ROUNDS; i++) {
		WRITE_ONCE(race->stop, false);
		init_completion(&race->rt.ended);
		for (j = 0; j < 4; j++) {
			dm_scaled_refs_get(&race->rt.refs);
			atomic_inc(&race->live);
			task = kthread_run(refs_user, race, "kunit-refs");
			KUNIT_ASSERT_FALSE(test, IS_ERR(task));
		}
		task = kthread_run(drain, &race->rt, "kunit-drain");
		KUNIT_ASSERT_FALSE(test, IS_ERR(task));
		KUNIT_EXPECT_TRUE(test, ku_wait_until(READ_ONCE(race->rt.refs.draining)));
		KUNIT_EXPECT_FALSE(test, completion_done(&race->rt.ended));
		WRITE_ONCE(race->stop, true);
		wait_for_completion(&race->rt.ended);
		KUNIT_EXPECT_EQ(test, atomic_read(&race->live), 0);
		synchronize_rcu();
		dm_scaled_refs_reinit(&race->rt.refs);
	}
	dm_scaled_refs_exit(&race->rt.refs);
}

static struct kunit_case refs_cases[] = {
	KUNIT_CASE(no_reference_is_waited_for),
	KUNIT_CASE(last_reference_ends_it),
	KUNIT_CASE(none_after_the_stop),
	KUNIT_CASE(nothing_is_lost_in_a_race),
	{}
};

static struct kunit_suite refs_suite = {
	.name = "dm-scaled-refs",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = ku_exit,
	.test_cases = refs_cases,
};

kunit_test_suite(refs_suite);
