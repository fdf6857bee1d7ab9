// SPDX-License-Identifier: GPL-2.0-only
/*
 * Caches of objects: what a CPU has at hand, its limit, the reserve.
 */
#include <linux/kthread.h>

#include "kunit-lib.h"

/* Even an allocation that may wait fails, so that objects in reserve are used up. */
static void *cache_slab_alloc(struct kmem_cache *slab, gfp_t gfp)
{
	return ku_may_allocate() ? kmem_cache_alloc(slab, gfp) : NULL;
}

/* It is a macro already where the kernel accounts allocations to their callers. */
#undef kmem_cache_alloc
#define kmem_cache_alloc(slab, gfp)	cache_slab_alloc(slab, gfp)

#include "dm-scaled-cache.c"

#define NR_RESERVE	2

struct cache_test {
	struct dm_scaled_cache cache;
	mempool_t pool;
};

static atomic_t constructed;

static void cache_ctor(void *object)
{
	memset(object, 'c', 32);
	atomic_inc(&constructed);
}

static unsigned int cleaned;

static void cache_clean(void *object)
{
	cleaned++;
}

static int cache_case_init(struct kunit *test)
{
	struct cache_test *ct = kunit_kzalloc(test, sizeof(*ct), GFP_KERNEL);

	ku_stay_here();
	test->priv = ct;
	if (!ct)
		return -ENOMEM;
	if (dm_scaled_cache_init(&ct->cache, "kunit_cache", 32, 0, cache_ctor, cache_clean))
		return -ENOMEM;
	return dm_scaled_pool_init(&ct->pool, NR_RESERVE, &ct->cache);
}

static void cache_case_exit(struct kunit *test)
{
	struct cache_test *ct = test->priv;
	unsigned int cpu;

	ku_allow(KU_ALL);
	if (!ct || !ct->cache.slab)
		return;
	for_each_possible_cpu(cpu)
		dm_scaled_caches_empty(cpu);
	mempool_exit(&ct->pool);
	dm_scaled_cache_exit(&ct->cache);
}

/* Nothing is cleared, neither by the slab nor here. */
static void gives_back_what_was_freed_last(struct kunit *test)
{
	struct cache_test *ct = test->priv;
	u8 *a = dm_scaled_cache_try_alloc(&ct->cache), *b = dm_scaled_cache_try_alloc(&ct->cache);

	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_ASSERT_NOT_NULL(test, b);
	KUNIT_EXPECT_EQ(test, a[31], 'c');
	b[31] = 'b';
	dm_scaled_cache_free(&ct->cache, &ct->pool, a);
	dm_scaled_cache_free(&ct->cache, &ct->pool, b);

	/* Even without memory. */
	ku_allow(0);
	KUNIT_EXPECT_PTR_EQ(test, dm_scaled_cache_try_alloc(&ct->cache), (void *)b);
	KUNIT_EXPECT_PTR_EQ(test, dm_scaled_cache_try_alloc(&ct->cache), (void *)a);
	KUNIT_EXPECT_NULL(test, dm_scaled_cache_try_alloc(&ct->cache));
	KUNIT_EXPECT_EQ(test, b[31], 'b');
	dm_scaled_cache_free(&ct->cache, &ct->pool, a);
	dm_scaled_cache_free(&ct->cache, &ct->pool, b);
}

/* More than a magazine holds goes back to the slab. */
static void holds_no_more_than_a_magazine(struct kunit *test)
{
	struct cache_test *ct = test->priv;
	void *objects[DM_SCALED_MAGAZINE + 1];
	unsigned int cpu = raw_smp_processor_id(), others = dm_scaled_caches_at_hand(cpu), i;

	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		objects[i] = dm_scaled_cache_try_alloc(&ct->cache);
		KUNIT_ASSERT_NOT_NULL(test, objects[i]);
	}
	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		dm_scaled_cache_free(&ct->cache, &ct->pool, objects[i]);
		KUNIT_EXPECT_EQ(test, dm_scaled_caches_at_hand(cpu) - others,
				min_t(u32, i + 1, DM_SCALED_MAGAZINE));
	}
	dm_scaled_caches_empty(cpu);
	KUNIT_EXPECT_EQ(test, dm_scaled_caches_at_hand(cpu), 0);
}

/* Cleaned is what leaves the CPU: for the reserve, from a full magazine, when it is emptied. */
static void cleans_what_leaves(struct kunit *test)
{
	struct cache_test *ct = test->priv;
	void *objects[DM_SCALED_MAGAZINE + 1], *reserved;
	unsigned int i, before;

	for (i = 0; i < ARRAY_SIZE(objects); i++) {
		objects[i] = dm_scaled_cache_try_alloc(&ct->cache);
		KUNIT_ASSERT_NOT_NULL(test, objects[i]);
	}
	ku_allow(0);
	reserved = mempool_alloc(&ct->pool, GFP_NOIO);
	KUNIT_ASSERT_NOT_NULL(test, reserved);
	before = cleaned;
	dm_scaled_cache_free(&ct->cache, &ct->pool, reserved);
	KUNIT_EXPECT_EQ(test, cleaned, before + 1);
	for (i = 0; i < DM_SCALED_MAGAZINE; i++)
		dm_scaled_cache_free(&ct->cache, &ct->pool, objects[i]);
	KUNIT_EXPECT_EQ(test, cleaned, before + 1);
	dm_scaled_cache_free(&ct->cache, &ct->pool, objects[i]);
	KUNIT_EXPECT_EQ(test, cleaned, before + 2);
	dm_scaled_caches_empty(raw_smp_processor_id());
	KUNIT_EXPECT_EQ(test, cleaned, before + 2 + DM_SCALED_MAGAZINE);
}

/* What is freed completes the reserve before it goes to a magazine. */
static void reserve_comes_first(struct kunit *test)
{
	struct cache_test *ct = test->priv;
	unsigned int cpu = raw_smp_processor_id(), others = dm_scaled_caches_at_hand(cpu);
	void *object = dm_scaled_cache_try_alloc(&ct->cache), *reserved;

	KUNIT_ASSERT_NOT_NULL(test, object);
	KUNIT_EXPECT_FALSE(test, dm_scaled_pool_is_short(&ct->pool));
	ku_allow(0);
	reserved = mempool_alloc(&ct->pool, GFP_NOIO);
	KUNIT_ASSERT_NOT_NULL(test, reserved);
	KUNIT_EXPECT_TRUE(test, dm_scaled_pool_is_short(&ct->pool));

	dm_scaled_cache_free(&ct->cache, &ct->pool, object);
	KUNIT_EXPECT_FALSE(test, dm_scaled_pool_is_short(&ct->pool));
	KUNIT_EXPECT_EQ(test, dm_scaled_caches_at_hand(cpu), others);
	dm_scaled_cache_free(&ct->cache, &ct->pool, reserved);
	KUNIT_EXPECT_EQ(test, dm_scaled_caches_at_hand(cpu), others + 1);
}

/* A name can be used again: nothing is left. */
static void leaves_nothing(struct kunit *test)
{
	struct dm_scaled_cache cache;
	unsigned int before = atomic_read(&constructed);
	void *object;
	mempool_t pool;

	KUNIT_ASSERT_EQ(test, dm_scaled_cache_init(&cache, "kunit_cache2", 64, SLAB_HWCACHE_ALIGN,
						   cache_ctor, NULL), 0);
	KUNIT_ASSERT_EQ(test, dm_scaled_pool_init(&pool, 1, &cache), 0);
	object = dm_scaled_cache_try_alloc(&cache);
	KUNIT_EXPECT_NOT_NULL(test, object);
	KUNIT_EXPECT_GT(test, (unsigned int)atomic_read(&constructed), before);
	dm_scaled_cache_free(&cache, &pool, object);
	dm_scaled_caches_empty(raw_smp_processor_id());
	mempool_exit(&pool);
	dm_scaled_cache_exit(&cache);
	KUNIT_EXPECT_EQ(test, dm_scaled_cache_init(&cache, "kunit_cache2", 64, 0, cache_ctor,
						   NULL), 0);
	dm_scaled_cache_exit(&cache);
}

static bool cpus_go;

static int empty_other_cpus(void *unused)
{
	while (!kthread_should_stop()) {
		/* As for CPUs that go offline: any that nobody uses a cache on. */
		dm_scaled_caches_empty(nr_cpu_ids - 1);
		WRITE_ONCE(cpus_go, true);
		cond_resched();
	}
	return 0;
}

/* Caches come and go while CPUs go offline. */
static void list_changes_while_cpus_go(struct kunit *test)
{
	static const char * const names[] = {
		"kunit_cache3", "kunit_cache4", "kunit_cache5", "kunit_cache6",
	};
	struct dm_scaled_cache caches[ARRAY_SIZE(names)];
	struct task_struct *task;
	unsigned long end = jiffies + HZ / 2;
	unsigned int i;

	WRITE_ONCE(cpus_go, false);
	task = kthread_run(empty_other_cpus, NULL, "kunit-cpus");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	while (time_before(jiffies, end) || !READ_ONCE(cpus_go)) {
		for (i = 0; i < ARRAY_SIZE(caches); i++)
			if (dm_scaled_cache_init(&caches[i], names[i], 64, 0, NULL, NULL))
				break;
		KUNIT_EXPECT_EQ(test, i, ARRAY_SIZE(caches));
		while (i)
			dm_scaled_cache_exit(&caches[--i]);
	}
	kthread_stop(task);
}

static struct kunit_case cache_cases[] = {
	KUNIT_CASE(gives_back_what_was_freed_last),
	KUNIT_CASE(holds_no_more_than_a_magazine),
	KUNIT_CASE(cleans_what_leaves),
	KUNIT_CASE(reserve_comes_first),
	KUNIT_CASE(leaves_nothing),
	KUNIT_CASE(list_changes_while_cpus_go),
	{}
};

static struct kunit_suite cache_suite = {
	.name = "dm-scaled-cache",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = cache_case_init,
	.exit = cache_case_exit,
	.test_cases = cache_cases,
};

kunit_test_suite(cache_suite);
