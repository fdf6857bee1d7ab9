// SPDX-License-Identifier: GPL-2.0-only
/*
 * The store: each chunk that fits into the device is handed out once, and none beyond; and how many
 * a persistent one may have left in batches.
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

static unsigned int store_alloc_run(struct store_test *st, unsigned int want, u64 *chunk)
{
	unsigned int got, i;

	local_irq_disable();
	got = snap_store_alloc(&st->store, want, chunk);
	local_irq_enable();

	atomic_add(got, &st->handed_out);
	if (got > want)
		atomic_inc(&st->beyond);
	for (i = 0; i < got; i++) {
		if (*chunk + i >= st->capacity)
			atomic_inc(&st->beyond);
		else if (test_and_set_bit(*chunk + i, st->taken))
			atomic_inc(&st->twice);
	}
	return got;
}

static bool store_alloc(struct store_test *st, u64 *chunk)
{
	return store_alloc_run(st, 1, chunk);
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

/* Runs are as long as wanted, whatever the batch has left, which is not lost. */
static void runs_follow_each_other(struct kunit *test)
{
	struct store_test *st = store_create(test, 8 * 100000, 8);
	u64 single, run, chunk;

	ku_stay_here();
	KUNIT_EXPECT_EQ(test, store_alloc_run(st, 1, &single), 1);
	/* From the batch, as it has enough. */
	KUNIT_EXPECT_EQ(test, store_alloc_run(st, SNAP_BATCH_CHUNKS - 3, &run),
			SNAP_BATCH_CHUNKS - 3);
	KUNIT_EXPECT_EQ(test, run, single + 1);
	/* It has two more, which a long run does not want. */
	KUNIT_EXPECT_EQ(test, store_alloc_run(st, 17, &run), 17);
	KUNIT_EXPECT_EQ(test, run, single + SNAP_BATCH_CHUNKS);
	KUNIT_EXPECT_EQ(test, store_alloc_run(st, 5000, &run), 5000);
	KUNIT_EXPECT_EQ(test, run, single + SNAP_BATCH_CHUNKS + 17);
	/* A short one takes them, and the next one begins a batch. */
	KUNIT_EXPECT_EQ(test, store_alloc_run(st, 16, &chunk), 2);
	KUNIT_EXPECT_EQ(test, chunk, single + SNAP_BATCH_CHUNKS - 2);
	KUNIT_EXPECT_EQ(test, store_alloc_run(st, 16, &chunk), 16);
	KUNIT_EXPECT_EQ(test, chunk, single + SNAP_BATCH_CHUNKS + 5017);
	KUNIT_EXPECT_EQ(test, store_alloc_run(st, 1, &chunk), 1);
	KUNIT_EXPECT_EQ(test, chunk, single + SNAP_BATCH_CHUNKS + 5033);
	expect_usage(test, st, SNAP_BATCH_CHUNKS + 5034);
}

/* Where fewer are left than are wanted, those are handed out: overflow comes at the last chunk. */
static void runs_end_with_the_device(struct kunit *test)
{
	const struct size *s = test->param_value;
	struct store_test *st = store_create(test, s->sectors, s->chunk_size);
	unsigned int got;
	u64 chunk, sum = 0;

	while ((got = store_alloc_run(st, 1 + sum % 100, &chunk))) {
		sum += got;
		expect_usage(test, st, sum);
	}
	KUNIT_EXPECT_EQ(test, store_alloc_run(st, 1, &chunk), 0);
	expect_all_taken(test, st);
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

static void take_all_in_runs(unsigned int cpu, void *arg)
{
	unsigned int i = cpu;
	u64 chunk;

	while (store_alloc_run(arg, 1 + i++ % 70, &chunk))
		cond_resched();
}

/* All CPUs at once, to the end: nothing twice, nothing left. */
static void all_cpus_share_it(struct kunit *test)
{
	struct store_test *st = store_create(test, 8 * 5003 + 3, 8);

	ku_run_on_cpus(test, take_all, st);
	expect_all_taken(test, st);
}

static void all_cpus_share_it_in_runs(struct kunit *test)
{
	struct store_test *st = store_create(test, 8 * 5003 + 3, 8);

	ku_run_on_cpus(test, take_all_in_runs, st);
	expect_all_taken(test, st);
}

/*
 * A persistent store with 2048 chunks of data, or a few more, for an origin of as many as needed.
 */
static struct snap_store *persistent_create(struct kunit *test, unsigned int spare, u64 needed)
{
	struct store_test *st = kunit_kzalloc(test, sizeof(*st), GFP_KERNEL);
	u64 last = snap_data_chunk(8, 2047 + spare);

	KUNIT_ASSERT_NOT_NULL(test, st);
	/* Where an area is full, the next one must have its metadata. */
	st->cow = ku_fake_bdev(test, (last + 1 + !spare) * 8, 512);
	test->priv = st;
	KUNIT_ASSERT_EQ(test, snap_store_init(&st->store, st->cow, 8, true), 0);
	st->store.needed = needed;
	return &st->store;
}

static u64 persistent_take(struct kunit *test, struct snap_store *store)
{
	u64 chunk, index = 0;
	bool got;

	local_irq_disable();
	got = snap_store_alloc(store, 1, &chunk);
	local_irq_enable();
	KUNIT_EXPECT_TRUE(test, got);
	KUNIT_EXPECT_TRUE(test, snap_data_index(store->area_shift, chunk, &index));
	return index;
}

static long persistent_take_elsewhere(void *arg)
{
	u64 chunk;
	bool got;

	local_irq_disable();
	got = snap_store_alloc(arg, 1, &chunk);
	local_irq_enable();
	return got ? chunk : -1;
}

/* All CPUs together never have more left than the device has to spare. */
static void batches_leave_what_is_spare(struct kunit *test)
{
	unsigned int cpus = num_possible_cpus();
	struct {
		unsigned int spare;
		u64 needed;
		unsigned int batch;
	} cases[] = {
		{ 0, 2048, 1 }, { cpus - 1, 2048, 1 }, { cpus, 2048, 2 },
		{ 3 * cpus + 1, 2048, 4 }, { 0, 1, SNAP_BATCH_PERSISTENT },
		{ 0, 1 << 20, SNAP_BATCH_PERSISTENT },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct snap_store *store = persistent_create(test, cases[i].spare, cases[i].needed);

		if (store->batch_size < SNAP_BATCH_PERSISTENT)
			kunit_skip(test, "too many CPUs");
		persistent_take(test, store);
		KUNIT_EXPECT_EQ_MSG(test, store->next,
				    min_t(u64, cases[i].batch, snap_store_capacity(store)),
				    "%u to spare, %llu needed", cases[i].spare, cases[i].needed);
		snap_store_exit(store);
		store->batches = NULL;
	}
}

/* What larger batches have left is used before anything new. */
static void smaller_batches_take_what_is_left(struct kunit *test)
{
	struct snap_store *store = persistent_create(test, 0, 1);
	unsigned int i, batch = SNAP_BATCH_PERSISTENT;

	if (store->batch_size < batch || !ku_run_elsewhere(persistent_take_elsewhere, store))
		kunit_skip(test, "one CPU only, or too many");
	persistent_take(test, store);
	KUNIT_EXPECT_EQ(test, store->next, 2 * batch);
	/* As when the device has been extended to the size that is just enough. */
	store->needed = 2048;
	for (i = 2; i < 2 * batch; i++)
		KUNIT_EXPECT_LT(test, persistent_take(test, store), 2 * batch);
	KUNIT_EXPECT_EQ(test, persistent_take(test, store), 2 * batch);
	KUNIT_EXPECT_EQ(test, persistent_take(test, store), 2 * batch + 1);
}

/* A run of a persistent store is one on the device, too: it ends before the next metadata. */
static void runs_end_before_metadata(struct kunit *test)
{
	struct snap_store *store = persistent_create(test, 0, 2048);
	u64 chunk, index, sum = 0;
	unsigned int got;

	KUNIT_ASSERT_EQ(test, snap_store_add_hole(store, 200, 300), 0);
	snap_store_set_next(store, 500);
	for (;;) {
		local_irq_disable();
		got = snap_store_alloc(store, 77, &chunk);
		local_irq_enable();
		if (!got)
			break;
		sum += got;
		KUNIT_ASSERT_LE(test, got, 77);
		KUNIT_ASSERT_TRUE(test, snap_data_index(store->area_shift, chunk, &index));
		KUNIT_EXPECT_EQ(test, index >> 8, (index + got - 1) >> 8);
		KUNIT_EXPECT_TRUE(test, index >= 500 || (index >= 200 && index + got <= 300));
	}
	KUNIT_EXPECT_EQ(test, sum, 100 + snap_store_capacity(store) - 500);
}

/* What batches have left, which may be too much now, is used before new runs are. */
static void runs_take_what_is_left_first(struct kunit *test)
{
	struct snap_store *store = persistent_create(test, 0, 1);
	unsigned int batch = SNAP_BATCH_PERSISTENT, got, sum = 0;
	u64 chunk, index;

	if (store->batch_size < batch || !ku_run_elsewhere(persistent_take_elsewhere, store))
		kunit_skip(test, "one CPU only, or too many");
	persistent_take(test, store);
	store->needed = 2048;
	while (sum < 2 * batch - 2) {
		local_irq_disable();
		got = snap_store_alloc(store, 40, &chunk);
		local_irq_enable();
		KUNIT_ASSERT_GT(test, got, 0);
		KUNIT_EXPECT_TRUE(test, snap_data_index(store->area_shift, chunk, &index));
		KUNIT_EXPECT_LE(test, index + got, 2 * batch);
		sum += got;
	}
	local_irq_disable();
	got = snap_store_alloc(store, 40, &chunk);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, got, 40);
	KUNIT_EXPECT_EQ(test, store->next, 2 * batch + 40);
}

/* Holes come first, as many as there are, and cost no large allocation. */
static void holes_are_many(struct kunit *test)
{
	struct snap_store *store = persistent_create(test, 0, 2048);
	unsigned int i, nr = 3 * SNAP_HOLES / 2;
	unsigned long *taken = kunit_kzalloc(test, BITS_TO_LONGS(2048) * sizeof(long), GFP_KERNEL);
	sector_t allocated, total;

	KUNIT_ASSERT_NOT_NULL(test, taken);
	for (i = 0; i < nr; i++)
		KUNIT_ASSERT_EQ(test, snap_store_add_hole(store, 4 * i, 4 * i + 2), 0);
	snap_store_set_next(store, 4 * nr);
	snap_store_usage(store, &allocated, &total);
	KUNIT_EXPECT_EQ(test, allocated, snap_data_chunk(8, 2 * nr) * 8);
	for (i = 0; i < 2 * nr; i++) {
		u64 index = persistent_take(test, store);

		KUNIT_ASSERT_LT(test, index, 4 * nr);
		KUNIT_EXPECT_LT(test, index % 4, 2);
		KUNIT_EXPECT_FALSE(test, __test_and_set_bit(index, taken));
	}
	KUNIT_EXPECT_EQ(test, persistent_take(test, store), 4 * nr);
	KUNIT_EXPECT_NULL(test, store->holes);
}

static struct kunit_case store_cases[] = {
	KUNIT_CASE_PARAM(full_at_the_exact_end, size_gen_params),
	KUNIT_CASE(hands_out_in_a_row),
	KUNIT_CASE(runs_follow_each_other),
	KUNIT_CASE_PARAM(runs_end_with_the_device, size_gen_params),
	KUNIT_CASE(batch_fits_the_device),
	KUNIT_CASE(takes_what_others_have_left),
	KUNIT_CASE(grows_with_the_device),
	KUNIT_CASE(all_cpus_share_it),
	KUNIT_CASE(all_cpus_share_it_in_runs),
	KUNIT_CASE(batches_leave_what_is_spare),
	KUNIT_CASE(smaller_batches_take_what_is_left),
	KUNIT_CASE(runs_end_before_metadata),
	KUNIT_CASE(runs_take_what_is_left_first),
	KUNIT_CASE(holes_are_many),
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
