// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine: segments and their order, errors of each destination, zeroes. Disks are held, so that
 * each case decides what ends when. How jobs get to their CPU is in kunit-kcopyd-mq-client.c.
 */
#include "kunit-lib.h"
#include "kunit-engine.h"

static bool refuse_bios;

static struct bio *kcopyd_bio_alloc(struct block_device *bdev, unsigned short nr_vecs, blk_opf_t op,
				    gfp_t gfp, struct bio_set *bs)
{
	return refuse_bios ? NULL : bio_alloc_bioset(bdev, nr_vecs, op, gfp, bs);
}

#define bio_alloc_bioset(bdev, nr_vecs, op, gfp, bs)	kcopyd_bio_alloc(bdev, nr_vecs, op, gfp, bs)

#include "dm-kcopyd-mq.c"

#define WRITES		(OP_BIT(REQ_OP_WRITE) | OP_BIT(REQ_OP_WRITE_ZEROES))

/*
 * Segments.
 */

struct split {
	sector_t count;
	unsigned int nr;
	unsigned int last;
};

static const struct split splits[] = {
	{ 0, 0, 0 }, { 1, 1, 1 }, { 15, 1, 15 }, { 16, 1, 16 }, { 17, 2, 1 }, { 32, 2, 16 },
	{ 1023, 64, 15 },
};

static void split_desc(const struct split *s, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%llu sectors", (unsigned long long)s->count);
}

KUNIT_ARRAY_PARAM(split, splits, split_desc);

/* A first job that is nobody's, with sub-jobs of 16 sectors. */
static struct kmq_job *fake_job(struct kunit *test, sector_t count)
{
	struct dm_kcopyd_mq_client *kc = kunit_kzalloc(test, sizeof(*kc), GFP_KERNEL);
	struct kmq_job *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, kc);
	KUNIT_ASSERT_NOT_NULL(test, job);
	kc->sub_job_size = 16;
	job->kc = kc;
	job->first = job;
	job->source.count = count;
	return job;
}

/* Segments follow each other without gaps, and are as long as a sub-job but for the last. */
static void splits_into_segments(struct kunit *test)
{
	const struct split *s = test->param_value;
	struct kmq_job *job = fake_job(test, s->count);
	unsigned int i;

	for (i = 0; i < s->nr; i++) {
		KUNIT_EXPECT_TRUE(test, kmq_next_segment(job));
		KUNIT_EXPECT_EQ(test, job->offset, 16 * i);
		KUNIT_EXPECT_EQ(test, job->count, i + 1 < s->nr ? 16 : s->last);
	}
	KUNIT_EXPECT_FALSE(test, kmq_next_segment(job));
	KUNIT_EXPECT_EQ(test, job->progress, s->count);
}

/* More than 32 bits of sectors. */
static void splits_at_large_offsets(struct kunit *test)
{
	struct kmq_job *job = fake_job(test, (1ULL << 40) + 3);

	job->progress = 1ULL << 40;
	KUNIT_EXPECT_TRUE(test, kmq_next_segment(job));
	KUNIT_EXPECT_EQ(test, job->offset, 1ULL << 40);
	KUNIT_EXPECT_EQ(test, job->count, 3);
	job->progress = 5;
	KUNIT_EXPECT_TRUE(test, kmq_next_segment(job));
	KUNIT_EXPECT_EQ(test, job->count, 16);
}

/* After an error there are no more segments, unless errors are ignored. */
static void error_ends_the_segments(struct kunit *test)
{
	struct kmq_job *job = fake_job(test, 64), *helper = fake_job(test, 0);

	helper->kc = job->kc;
	helper->first = job;
	KUNIT_EXPECT_TRUE(test, kmq_next_segment(helper));
	KUNIT_EXPECT_EQ(test, helper->offset, 0);
	KUNIT_EXPECT_EQ(test, job->progress, 16);

	job->read_err = 1;
	KUNIT_EXPECT_FALSE(test, kmq_next_segment(helper));
	job->read_err = 0;
	job->write_err = BIT(3);
	KUNIT_EXPECT_FALSE(test, kmq_next_segment(helper));
	job->flags = BIT(DM_KCOPYD_IGNORE_ERROR);
	KUNIT_EXPECT_TRUE(test, kmq_next_segment(helper));
	KUNIT_EXPECT_EQ(test, helper->offset, 16);
}

/* Segments are read in ascending order, KMQ_SPLIT at a time; each that ends makes way for one. */
static void reads_in_order_and_few_at_a_time(struct kunit *test)
{
	struct engine *e = engine(test, 1, 20 * PAGE - 5);
	unsigned int i;

	test_disk_hold(e->src);
	engine_copy(e, 0);
	for (i = 0; i < 20; i++) {
		unsigned int started = min(20U, KMQ_SPLIT + i);

		KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->src) >= started));
		ku_pause();
		KUNIT_EXPECT_EQ(test, engine_records(e->src), started);
		KUNIT_EXPECT_EQ(test, test_disk_end_oldest(e->src, 1), 1);
	}
	ku_expect_copy(test, e->copy, 0, 0);
	for (i = 0; i < 20; i++) {
		expect_segment(test, e->src, i, i, REQ_OP_READ);
		KUNIT_EXPECT_EQ(test, e->src->records[i].count, i < 19 ? PAGE : PAGE - 5);
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[0], i * PAGE,
						      i < 19 ? PAGE : PAGE - 5, 'a' + i));
	}
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[0], 20 * PAGE - 5, 5, 0));
}

struct place {
	sector_t from, to0, to1;
	unsigned int count;
};

static const struct place places[] = {
	{ 0, 0, 0, 1 }, { 3, 8, 1, 3 }, { 8, 16, 24, 8 }, { 9, 2, 100, 9 }, { 1, 0, 7, 100 },
	{ 1023, 1023, 0, 1 },
};

static void place_desc(const struct place *p, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u sectors from %llu to %llu and %llu", p->count,
		 (unsigned long long)p->from, (unsigned long long)p->to0,
		 (unsigned long long)p->to1);
}

KUNIT_ARRAY_PARAM(place, places, place_desc);

/* Each destination has its own place; what is beside it is left alone. */
static void copies_to_the_right_place(struct kunit *test)
{
	const struct place *p = test->param_value;
	struct engine *e = engine(test, 2, 1);
	sector_t to[] = { p->to0, p->to1 }, after;
	unsigned int i;

	ku_disk_fill(e->src, 0, 1024, 'x');
	ku_disk_fill(e->src, p->from, p->count, 'm');
	e->from.sector = p->from;
	e->from.count = p->count;
	for (i = 0; i < 2; i++) {
		e->to[i].sector = to[i];
		e->to[i].count = p->count;
	}
	engine_copy(e, 0);
	ku_expect_copy(test, e->copy, 0, 0);
	for (i = 0; i < 2; i++) {
		after = to[i] + p->count;
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[i], 0, to[i], 0));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[i], to[i], p->count, 'm'));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[i], after, 1024 - after, 0));
	}
}

static void nothing_to_copy_needs_no_io(struct kunit *test)
{
	struct engine *e = engine(test, 1, 0);

	engine_copy(e, 0);
	ku_expect_copy(test, e->copy, 0, 0);
	KUNIT_EXPECT_EQ(test, engine_records(e->src), 0);
	KUNIT_EXPECT_EQ(test, engine_records(e->dst[0]), 0);
}

static const unsigned int counts[] = { 0, DM_KCOPYD_MAX_REGIONS + 1, UINT_MAX };

static void count_desc(const unsigned int *nr, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u destinations", *nr);
}

KUNIT_ARRAY_PARAM(count, counts, count_desc);

/* A job that cannot be run ends with all errors, and in a callback as others do. */
static void refuses_a_wrong_number_of_destinations(struct kunit *test)
{
	struct engine *e = engine(test, 1, PAGE);

	e->nr_dst = *(const unsigned int *)test->param_value;
	engine_copy(e, 0);
	ku_expect_copy(test, e->copy, 1, ~0UL);
	KUNIT_EXPECT_EQ(test, engine_records(e->src), 0);
}

/*
 * Errors.
 */

static const unsigned long failing[] = { 0x00, 0x01, 0x02, 0x80, 0x81, 0x5a, 0xff };

static void failing_desc(const unsigned long *mask, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "mask %#lx", *mask);
}

KUNIT_ARRAY_PARAM(failing, failing, failing_desc);

/* Bit i stands for destination i; the others get their copy. */
static void each_destination_has_a_bit(struct kunit *test)
{
	unsigned long mask = *(const unsigned long *)test->param_value;
	struct engine *e = engine(test, DM_KCOPYD_MAX_REGIONS, PAGE);
	unsigned int i;

	for (i = 0; i < e->nr_dst; i++)
		if (mask & BIT(i))
			test_disk_fail(e->dst[i], WRITES, 0, 1, BLK_STS_IOERR);
	engine_copy(e, 0);
	ku_expect_copy(test, e->copy, 0, mask);
	for (i = 0; i < e->nr_dst; i++)
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[i], 0, PAGE,
						      mask & BIT(i) ? 0 : 'a'));
}

/* The only destination has a bit, too. */
static void a_bit_for_the_only_destination(struct kunit *test)
{
	struct engine *e = engine(test, 1, PAGE);

	test_disk_fail(e->dst[0], WRITES, 0, 1, BLK_STS_NOSPC);
	engine_copy(e, 0);
	ku_expect_copy(test, e->copy, 0, 1);
}

/* Errors of different segments add up; with errors ignored, all else is copied. */
static void errors_of_segments_add_up(struct kunit *test)
{
	struct engine *e = engine(test, 3, 20 * PAGE);
	unsigned int i, k;

	test_disk_fail(e->dst[0], WRITES, 3 * PAGE, 1, BLK_STS_IOERR);
	test_disk_fail(e->dst[2], WRITES, 19 * PAGE, 1, BLK_STS_IOERR);
	engine_copy(e, BIT(DM_KCOPYD_IGNORE_ERROR));
	ku_expect_copy(test, e->copy, 0, 0x5);
	for (k = 0; k < 3; k++) {
		for (i = 0; i < 20; i++) {
			bool bad = (k == 0 && i == 3) || (k == 2 && i == 19);

			KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[k], i * PAGE, PAGE,
							      bad ? 0 : 'a' + i));
		}
	}
}

static void write_error_ends_the_copy(struct kunit *test)
{
	struct engine *e = engine(test, 1, 20 * PAGE);

	test_disk_fail(e->dst[0], WRITES, 0, 1, BLK_STS_IOERR);
	test_disk_hold(e->src);
	engine_copy(e, 0);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->src) == KMQ_SPLIT));
	test_disk_end_oldest(e->src, 1);
	ku_pause();
	test_disk_release(e->src);
	ku_expect_copy(test, e->copy, 0, 1);
	KUNIT_EXPECT_EQ(test, engine_records(e->src), KMQ_SPLIT);
}

/* What could not be read is not written. */
static void read_error_ends_the_copy(struct kunit *test)
{
	struct engine *e = engine(test, 2, 20 * PAGE);

	test_disk_fail(e->src, OP_BIT(REQ_OP_READ), 0, 1, BLK_STS_MEDIUM);
	test_disk_hold(e->src);
	engine_copy(e, 0);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->src) == KMQ_SPLIT));
	test_disk_end_oldest(e->src, 1);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, completion_done(&e->copy->ended));
	test_disk_release(e->src);
	ku_expect_copy(test, e->copy, 1, 0);
	KUNIT_EXPECT_EQ(test, engine_records(e->src), KMQ_SPLIT);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[0], 0, PAGE, 0));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[1], 0, PAGE, 0));
}

/* With errors ignored each page is read for itself; what cannot be read becomes zeroes. */
static void salvages_page_by_page(struct kunit *test)
{
	struct engine *e = engine(test, 2, 4 * PAGE - 3);
	unsigned int i, k;

	ku_disk_fill(e->dst[0], 0, 4 * PAGE, 'o');
	ku_disk_fill(e->dst[1], 0, 4 * PAGE, 'o');
	test_disk_fail(e->src, OP_BIT(REQ_OP_READ), 2 * PAGE + 1, 1, BLK_STS_MEDIUM);
	/* All of it in one segment. */
	ku_client_destroy(test);
	e->kc = ku_client(test, 16, NULL);
	engine_copy(e, BIT(DM_KCOPYD_IGNORE_ERROR));
	ku_expect_copy(test, e->copy, 1, 0);

	KUNIT_ASSERT_EQ(test, engine_records(e->src), 5);
	KUNIT_EXPECT_EQ(test, e->src->records[0].count, 4 * PAGE - 3);
	for (i = 0; i < 4; i++) {
		unsigned int count = i < 3 ? PAGE : PAGE - 3;

		expect_segment(test, e->src, i + 1, i, REQ_OP_READ);
		KUNIT_EXPECT_EQ(test, e->src->records[i + 1].count, count);
		for (k = 0; k < 2; k++)
			KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[k], i * PAGE, count,
							      i == 2 ? 0 : 'a' + i));
	}
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[0], 4 * PAGE - 3, 3, 'o'));
}

/* With the engine's own flag a failed write is one destination's, and a failed read everybody's. */
static void failed_read_may_end_the_copy_for_all(struct kunit *test)
{
	struct engine *e = engine(test, 2, 4 * PAGE);

	test_disk_fail(e->dst[0], WRITES, 0, 1, BLK_STS_IOERR);
	ku_client_destroy(test);
	e->kc = ku_client(test, 8, NULL);
	engine_copy(e, BIT(DM_KCOPYD_MQ_IGNORE_WRITE_ERROR));
	ku_expect_copy(test, e->copy, 0, 1);
	KUNIT_EXPECT_EQ(test, engine_records(e->src), 2);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[1], 3 * PAGE, PAGE, 'd'));

	/* It is not repeated page by page: nobody wants the result. */
	test_disk_heal(e->dst[0]);
	test_disk_fail(e->src, OP_BIT(REQ_OP_READ), 0, 1, BLK_STS_MEDIUM);
	KUNIT_ASSERT_EQ(test, test_disk_record(e->src, 256), 0);
	e->copy = ku_copy_create(test);
	e->from.count = 2 * PAGE;
	e->to[0].count = 2 * PAGE;
	e->to[1].count = 2 * PAGE;
	engine_copy(e, BIT(DM_KCOPYD_MQ_IGNORE_WRITE_ERROR));
	ku_expect_copy(test, e->copy, 1, 0);
	KUNIT_EXPECT_EQ(test, engine_records(e->src), 1);
}

/* Without memory for bios, the destinations are written one after another; errors stay apart. */
static void writes_without_bios(struct kunit *test)
{
	struct engine *e = engine(test, DM_KCOPYD_MAX_REGIONS, PAGE);
	unsigned int i;

	test_disk_fail(e->dst[3], WRITES, 0, 1, BLK_STS_IOERR);
	refuse_bios = true;
	engine_copy(e, 0);
	ku_expect_copy(test, e->copy, 0, BIT(3));
	refuse_bios = false;
	for (i = 0; i < DM_KCOPYD_MAX_REGIONS; i++) {
		KUNIT_EXPECT_EQ(test, engine_records(e->dst[i]), 1);
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[i], 0, PAGE, i == 3 ? 0 : 'a'));
	}
}

static void *no_bio(gfp_t gfp, void *data)
{
	return NULL;
}

/*
 * A destination that does not answer has all bios of the reserve, and there is no memory for more:
 * the worker goes on with what does not need one. Bios come back without a worker's help: no
 * deadlock would follow if it waited, but all copies of this CPU would wait for that destination.
 */
static void worker_does_not_wait_for_bios(struct kunit *test)
{
	struct engine *e = engine(test, 2, PAGE);
	struct ku_copy *held[KMQ_MIN_BIOS + 1];
	mempool_t *pool = &e->kc->bios.bio_pool;
	mempool_alloc_t *alloc = pool->alloc;
	unsigned int i;

	/* 7.3 does not ask it, nor has it anything of the reserve for tasks that must not wait. */
	pool->alloc = no_bio;
	test_disk_set(e->dst[1], TEST_DISK_TASK, 0, 0);
	test_disk_hold(e->dst[1]);
	for (i = 0; i < ARRAY_SIZE(held); i++) {
		held[i] = ku_copy_create(test);
		e->copy = held[i];
		engine_copy(e, 0);
	}
	e->copy = ku_copy_create(test);
	e->nr_dst = 1;
	engine_copy(e, 0);
	ku_expect_copy(test, e->copy, 0, 0);

	/* The one without writes with the job's own. */
	KUNIT_EXPECT_TRUE(test, ku_wait_until(test_disk_pending(e->dst[1]) == ARRAY_SIZE(held)));
	test_disk_release(e->dst[1]);
	for (i = 0; i < ARRAY_SIZE(held); i++)
		ku_expect_copy(test, held[i], 0, 0);
	/* KASAN knows by it what the pool holds. */
	pool->alloc = alloc;
}

/*
 * Writes in order.
 */

/* However reads come back, each segment is written after those before it. */
static void writes_in_order(struct kunit *test)
{
	struct engine *e = engine(test, 1, 12 * PAGE);
	unsigned int i;

	test_disk_hold(e->src);
	engine_copy(e, BIT(DM_KCOPYD_WRITE_SEQ));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->src) == KMQ_SPLIT));
	for (i = 1; i < KMQ_SPLIT; i++)
		KUNIT_EXPECT_TRUE(test, test_disk_end_youngest(e->src));
	ku_pause();
	KUNIT_EXPECT_EQ(test, engine_records(e->dst[0]), 0);
	test_disk_end_oldest(e->src, 1);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(engine_records(e->dst[0]) == KMQ_SPLIT));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(engine_records(e->src) == 12));
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_TRUE(test, test_disk_end_youngest(e->src));
	ku_expect_copy(test, e->copy, 0, 0);
	KUNIT_EXPECT_EQ(test, engine_records(e->dst[0]), 12);
	for (i = 0; i < 12; i++) {
		expect_segment(test, e->dst[0], i, i, REQ_OP_WRITE);
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(e->dst[0], i * PAGE, PAGE, 'a' + i));
	}
}

/* Many times, with reads that end as they like. */
static void writes_in_order_whatever_comes(struct kunit *test)
{
	struct engine *e = engine(test, 2, 30 * PAGE);
	unsigned int i, k, round;

	test_disk_set(e->src, TEST_DISK_IRQ, 0, 50);
	test_disk_set(e->dst[1], TEST_DISK_TASK, 0, 50);
	for (round = 0; round < 10; round++) {
		for (k = 0; k < 2; k++)
			KUNIT_ASSERT_EQ(test, test_disk_record(e->dst[k], 64), 0);
		e->copy = ku_copy_create(test);
		engine_copy(e, BIT(DM_KCOPYD_WRITE_SEQ));
		ku_expect_copy(test, e->copy, 0, 0);
		for (k = 0; k < 2; k++) {
			KUNIT_EXPECT_EQ(test, engine_records(e->dst[k]), 30);
			for (i = 0; i < 30; i++)
				expect_segment(test, e->dst[k], i, i, REQ_OP_WRITE);
		}
	}
}

/* An error ends a copy in order, even if errors are to be ignored: nothing behind is written. */
static void error_ends_a_copy_in_order(struct kunit *test)
{
	struct engine *e = engine(test, 1, 20 * PAGE);
	unsigned int i;

	test_disk_fail(e->dst[0], WRITES, 2 * PAGE, 1, BLK_STS_IOERR);
	test_disk_hold(e->src);
	engine_copy(e, BIT(DM_KCOPYD_WRITE_SEQ) | BIT(DM_KCOPYD_IGNORE_ERROR));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->src) == KMQ_SPLIT));
	for (i = 0; i < 3; i++) {
		test_disk_end_oldest(e->src, 1);
		KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->dst[0]) == i + 1));
	}
	ku_pause();
	test_disk_release(e->src);
	ku_expect_copy(test, e->copy, 0, 1);
	KUNIT_EXPECT_EQ(test, engine_records(e->dst[0]), 3);
}

static void read_error_ends_a_copy_in_order(struct kunit *test)
{
	struct engine *e = engine(test, 1, 20 * PAGE);
	unsigned int i;

	test_disk_fail(e->src, OP_BIT(REQ_OP_READ), 2 * PAGE, 1, BLK_STS_IOERR);
	test_disk_hold(e->src);
	engine_copy(e, BIT(DM_KCOPYD_WRITE_SEQ));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(engine_records(e->src) == KMQ_SPLIT));
	/* Those behind have been read, and wait. */
	for (i = 3; i < KMQ_SPLIT; i++)
		KUNIT_EXPECT_TRUE(test, test_disk_end_youngest(e->src));
	for (i = 0; i < 3; i++) {
		test_disk_end_oldest(e->src, 1);
		ku_pause();
	}
	test_disk_release(e->src);
	ku_expect_copy(test, e->copy, 1, 0);
	KUNIT_EXPECT_EQ(test, engine_records(e->dst[0]), 2);
}

/*
 * Zeroes.
 */

struct zero {
	const char *name;
	unsigned int limits[2];	/* write-zeroes commands that the destinations take */
	blk_status_t refused;	/* by the second, when it comes to it */
	enum req_op ops[2];	/* last one that each got */
};

static const struct zero zero_cases[] = {
	{ "both have the command", { 1024, 1024 }, 0,
	  { REQ_OP_WRITE_ZEROES, REQ_OP_WRITE_ZEROES } },
	{ "one has not", { 1024, 0 }, 0, { REQ_OP_WRITE, REQ_OP_WRITE } },
	{ "none has", { 0, 0 }, 0, { REQ_OP_WRITE, REQ_OP_WRITE } },
	{ "one refuses it", { 1024, 1024 }, BLK_STS_NOTSUPP,
	  { REQ_OP_WRITE_ZEROES, REQ_OP_WRITE } },
	{ "a SCSI disk refuses it", { 1024, 1024 }, BLK_STS_TARGET,
	  { REQ_OP_WRITE_ZEROES, REQ_OP_WRITE } },
	{ "one fails it", { 1024, 1024 }, BLK_STS_IOERR, { REQ_OP_WRITE_ZEROES, REQ_OP_WRITE } },
};

static void zero_desc(const struct zero *z, char *desc)
{
	strscpy(desc, z->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(zero, zero_cases, zero_desc);

/* By command if all have it; who refuses it gets zeroes that are written, and no error. */
static void zeroes_by_command_or_by_writing(struct kunit *test)
{
	const struct zero *z = test->param_value;
	struct dm_kcopyd_mq_client *kc = ku_client(test, 16, NULL);
	struct ku_copy *copy = ku_copy_create(test);
	struct test_disk_record *last;
	struct dm_io_region to[2];
	struct test_disk *td[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		td[i] = ku_disk(test, 1024, z->limits[i]);
		ku_disk_fill(td[i], 0, 1024, 'o');
		to[i] = ku_region(td[i], 3, 101);
		KUNIT_ASSERT_EQ(test, test_disk_record(td[i], 64), 0);
	}
	if (z->refused)
		test_disk_fail(td[1], OP_BIT(REQ_OP_WRITE_ZEROES), 0, 1024, z->refused);
	dm_kcopyd_mq_zero(kc, 2, to, 0, ku_copy_done, copy);
	ku_expect_copy(test, copy, 0, 0);
	for (i = 0; i < 2; i++) {
		KUNIT_ASSERT_GT(test, engine_records(td[i]), 0);
		last = &td[i]->records[engine_records(td[i]) - 1];
		KUNIT_EXPECT_EQ(test, (int)last->op, (int)z->ops[i]);
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(td[i], 0, 3, 'o'));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(td[i], 3, 101, 0));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(td[i], 104, 1024 - 104, 'o'));
	}
}

/* What cannot be written after the command has failed is an error, whichever of them it is. */
static void zeroes_may_fail(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = ku_client(test, 16, NULL);
	struct ku_copy *copy = ku_copy_create(test);
	struct test_disk *td[2] = { ku_disk(test, 1024, 1024), ku_disk(test, 1024, 1024) };
	struct dm_io_region to[] = { ku_region(td[0], 0, 100), ku_region(td[1], 0, 100) };

	test_disk_fail(td[1], WRITES, 0, 1024, BLK_STS_IOERR);
	dm_kcopyd_mq_zero(kc, 2, to, 0, ku_copy_done, copy);
	ku_expect_copy(test, copy, 0, 2);

	copy = ku_copy_create(test);
	test_disk_heal(td[1]);
	test_disk_fail(td[0], WRITES, 0, 1024, BLK_STS_NOTSUPP);
	dm_kcopyd_mq_zero(kc, 2, to, 0, ku_copy_done, copy);
	ku_expect_copy(test, copy, 0, 1);
}

static struct kunit_case kcopyd_cases[] = {
	KUNIT_CASE_PARAM(splits_into_segments, split_gen_params),
	KUNIT_CASE(splits_at_large_offsets),
	KUNIT_CASE(error_ends_the_segments),
	KUNIT_CASE(reads_in_order_and_few_at_a_time),
	KUNIT_CASE_PARAM(copies_to_the_right_place, place_gen_params),
	KUNIT_CASE(nothing_to_copy_needs_no_io),
	KUNIT_CASE_PARAM(refuses_a_wrong_number_of_destinations, count_gen_params),
	KUNIT_CASE_PARAM(each_destination_has_a_bit, failing_gen_params),
	KUNIT_CASE(a_bit_for_the_only_destination),
	KUNIT_CASE(errors_of_segments_add_up),
	KUNIT_CASE(write_error_ends_the_copy),
	KUNIT_CASE(read_error_ends_the_copy),
	KUNIT_CASE(salvages_page_by_page),
	KUNIT_CASE(failed_read_may_end_the_copy_for_all),
	KUNIT_CASE(writes_without_bios),
	KUNIT_CASE(worker_does_not_wait_for_bios),
	KUNIT_CASE(writes_in_order),
	KUNIT_CASE(writes_in_order_whatever_comes),
	KUNIT_CASE(error_ends_a_copy_in_order),
	KUNIT_CASE(read_error_ends_a_copy_in_order),
	KUNIT_CASE_PARAM(zeroes_by_command_or_by_writing, zero_gen_params),
	KUNIT_CASE(zeroes_may_fail),
	{}
};

static struct kunit_suite kcopyd_suite = {
	.name = "dm-kcopyd-mq",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = ku_exit,
	.test_cases = kcopyd_cases,
};

kunit_test_suite(kcopyd_suite);
