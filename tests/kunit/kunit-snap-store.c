// SPDX-License-Identifier: GPL-2.0-only
/*
 * The transient store: each chunk that fits into the device is handed out once, and none beyond.
 */
#include <linux/bitmap.h>

#include "kunit-lib.h"

#include "dm-snap-store.c"

/* A store on a device of @sectors, and which of its chunks were handed out. */
struct store_test {
	struct snap_store store;
	struct block_device *cow;
	unsigned long *taken;
	u64 capacity;
	atomic_t handed_out;
	atomic_t twice;
	atomic_t beyond;
};

static void store_exit(struct kunit *test)
{
	struct store_test *st = test->priv;

	if (st && st->store.batches)
		snap_store_exit(&st->store);
}

static struct store_test *store_create(struct kunit *test, sector_t sectors,
				       unsigned int chunk_size)
{
	struct store_test *st = kunit_kzalloc(test, sizeof(*st), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, st);
	st->cow = ku_fake_bdev(test, sectors, 512);
	st->capacity = sectors / chunk_size;
	st->taken = kunit_kzalloc(test, BITS_TO_LONGS(st->capacity + 1) * sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, st->taken);
	test->priv = st;
	KUNIT_ASSERT_EQ(test, snap_store_init(&st->store, st->cow, chunk_size, false), 0);
	return st;
}

static bool store_alloc(struct store_test *st, u64 *chunk)
{
	bool got;

	local_irq_disable();
	got = snap_store_alloc(&st->store, chunk);
	local_irq_enable();
	if (!got)
		return false;

	atomic_inc(&st->handed_out);
	if (*chunk >= st->capacity)
		atomic_inc(&st->beyond);
	else if (test_and_set_bit(*chunk, st->taken))
		atomic_inc(&st->twice);
	return true;
}

static void expect_usage(struct kunit *test, struct store_test *st, u64 chunks)
{
	sector_t allocated, total;

	snap_store_usage(&st->store, &allocated, &total);
	KUNIT_EXPECT_EQ(test, allocated, chunks * st->store.chunk_size);
	KUNIT_EXPECT_EQ(test, total, bdev_nr_sectors(st->cow));
}

static void expect_all_taken(struct kunit *test, struct store_test *st)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&st->handed_out), st->capacity);
	KUNIT_EXPECT_EQ(test, atomic_read(&st->twice), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&st->beyond), 0);
	KUNIT_EXPECT_TRUE(test, !st->capacity || bitmap_full(st->taken, st->capacity));
	expect_usage(test, st, st->capacity);
}

struct size {
	sector_t sectors;
	unsigned int chunk_size;
};

static const struct size sizes[] = {
	{ 0, 8 },
	{ 7, 8 },		/* not one */
	{ 8, 8 },
	{ 9, 8 },
	{ 15, 8 },
	{ 16, 8 },
	{ 8 * 63, 8 },
	{ 8 * 64 + 7, 8 },	/* one batch, and a part of a chunk */
	{ 8 * 65, 8 },
	{ 8 * 4096 - 1, 8 },
	{ 8 * 4096, 8 },
	{ 100, 1 },
	{ 2097152 * 3 - 1, 2097152 },
	{ 2097152 * 3, 2097152 },
};

static void size_desc(const struct size *s, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%llu sectors in chunks of %u",
		 (unsigned long long)s->sectors, s->chunk_size);
}

KUNIT_ARRAY_PARAM(size, sizes, size_desc);

/* Overflow comes at the exact end, and stays. */
static void full_at_the_exact_end(struct kunit *test)
{
	const struct size *s = test->param_value;
	struct store_test *st = store_create(test, s->sectors, s->chunk_size);
	u64 chunk, i;

	for (i = 0; i < st->capacity; i++) {
		KUNIT_ASSERT_TRUE(test, store_alloc(st, &chunk));
		expect_usage(test, st, i + 1);
	}
	KUNIT_EXPECT_FALSE(test, store_alloc(st, &chunk));
	KUNIT_EXPECT_FALSE(test, store_alloc(st, &chunk));
	expect_all_taken(test, st);
}

/* One CPU's chunks follow each other, so that its writes merge. */
static void hands_out_in_a_row(struct kunit *test)
{
	struct store_test *st = store_create(test, 8 * 100000, 8);
	u64 first, chunk;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, st->store.batch_size, SNAP_BATCH_CHUNKS);
	ku_stay_here();
	KUNIT_EXPECT_TRUE(test, store_alloc(st, &first));
	for (i = 1; i < 3 * SNAP_BATCH_CHUNKS; i++) {
		KUNIT_EXPECT_TRUE(test, store_alloc(st, &chunk));
		KUNIT_EXPECT_EQ(test, chunk, first + i);
	}
}

/* A CPU's batch leaves enough for the others; it is 64 chunks, fewer on a small device. */
static void batch_fits_the_device(struct kunit *test)
{
	unsigned int all = 4 * num_possible_cpus();
	struct {
		u64 chunks;
		unsigned int batch;
	} cases[] = {
		{ 0, 1 }, { 1, 1 }, { 2 * all - 1, 1 }, { 2 * all, 2 },
		{ all * SNAP_BATCH_CHUNKS - 1, SNAP_BATCH_CHUNKS - 1 },
		{ all * SNAP_BATCH_CHUNKS, SNAP_BATCH_CHUNKS },
		{ all * SNAP_BATCH_CHUNKS * 2, SNAP_BATCH_CHUNKS },
		{ 1ULL << 40, SNAP_BATCH_CHUNKS },
	};
	struct snap_store store;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct block_device *cow = ku_fake_bdev(test, cases[i].chunks * 16, 512);

		KUNIT_ASSERT_EQ(test, snap_store_init(&store, cow, 16, false), 0);
		KUNIT_EXPECT_EQ_MSG(test, store.batch_size, cases[i].batch, "%llu chunks",
				    cases[i].chunks);
		KUNIT_EXPECT_EQ(test, store.chunk_shift, 4);
		snap_store_exit(&store);
	}
}

static long take_one(void *arg)
{
	u64 chunk;

	return store_alloc(arg, &chunk);
}

/* What another CPU has taken and not handed out is not lost, and not counted as used. */
static void takes_what_others_have_left(struct kunit *test)
{
	struct store_test *st = store_create(test, 8 * 1024, 8);
	u64 chunk;

	if (!ku_run_elsewhere(take_one, st))
		kunit_skip(test, "one CPU only");
	KUNIT_ASSERT_GT(test, st->store.batch_size, 1);
	expect_usage(test, st, 1);
	while (store_alloc(st, &chunk))
		;
	expect_all_taken(test, st);
	KUNIT_EXPECT_FALSE(test, take_one(st));
}

/* A COW device that was made larger offers what was added, from where the store had ended. */
static void grows_with_the_device(struct kunit *test)
{
	struct store_test *st = store_create(test, 8 * 1000, 8);
	u64 chunk;

	st->cow->bd_nr_sectors = 8 * 10;
	st->capacity = 10;
	while (store_alloc(st, &chunk))
		;
	expect_all_taken(test, st);

	st->cow->bd_nr_sectors = 8 * 1000 + 7;
	st->capacity = 1000;
	KUNIT_ASSERT_TRUE(test, store_alloc(st, &chunk));
	KUNIT_EXPECT_EQ(test, chunk, 10);
	while (store_alloc(st, &chunk))
		;
	expect_all_taken(test, st);
}

static void take_all(unsigned int cpu, void *arg)
{
	u64 chunk;

	while (store_alloc(arg, &chunk))
		cond_resched();
}

/* All CPUs at once, to the end: nothing twice, nothing left. */
static void all_cpus_share_it(struct kunit *test)
{
	struct store_test *st = store_create(test, 8 * 5003 + 3, 8);

	ku_run_on_cpus(test, take_all, st);
	expect_all_taken(test, st);
}

static struct kunit_case store_cases[] = {
	KUNIT_CASE_PARAM(full_at_the_exact_end, size_gen_params),
	KUNIT_CASE(hands_out_in_a_row),
	KUNIT_CASE(batch_fits_the_device),
	KUNIT_CASE(takes_what_others_have_left),
	KUNIT_CASE(grows_with_the_device),
	KUNIT_CASE(all_cpus_share_it),
	{}
};

static struct kunit_suite store_suite = {
	.name = "dm-snap-store",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.exit = store_exit,
	.test_cases = store_cases,
};

kunit_test_suite(store_suite);
