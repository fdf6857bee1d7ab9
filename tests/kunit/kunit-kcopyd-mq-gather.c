// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing several copies with one bio: which ones, in which order, and what becomes of errors.
 */
#include "kunit-lib.h"
#include "kunit-engine.h"

#include "dm-kcopyd-mq-gather.c"

#define NO_MORE		UINT_MAX
#define MAX_COPIES	24
#define WRITES		OP_BIT(REQ_OP_WRITE)

/**
 * struct gather - copies whose reads end at the same time
 * @e:      disks and a client
 * @copies: what the callbacks were given
 * @nr:     number of copies
 */
struct gather {
	struct engine *e;
	struct ku_copy *copies[MAX_COPIES];
	unsigned int nr;
};

static struct gather *gather(struct kunit *test, unsigned int nr_dst)
{
	struct gather *g = kunit_kzalloc(test, sizeof(*g), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, g);
	g->e = engine(test, nr_dst, PAGE);
	for (i = 0; i < MAX_COPIES; i++)
		ku_disk_fill(g->e->src, i * PAGE, PAGE, 'a' + i);
	test_disk_hold(g->e->src);
	return g;
}

/* Copies @count sectors of the next page of the source to page @to[i] of destination i. */
static void gather_copy(struct kunit *test, struct gather *g, const unsigned int *to,
			sector_t count, unsigned int flags)
{
	struct engine *e = g->e;
	unsigned int i;

	KUNIT_ASSERT_LT(test, g->nr, MAX_COPIES);
	e->from = ku_region(e->src, g->nr * PAGE, count);
	for (i = 0; i < e->nr_dst; i++)
		e->to[i] = ku_region(e->dst[i], to[i] * PAGE, count);
	e->copy = ku_copy_create(test);
	g->copies[g->nr++] = e->copy;
	engine_copy(e, flags);
}

/* All reads end before the worker gets its turn. */
static void gather_end_reads(struct kunit *test, struct gather *g)
{
	KUNIT_ASSERT_EQ(test, test_disk_pending(g->e->src), g->nr);
	preempt_disable();
	test_disk_end_oldest(g->e->src, g->nr);
	preempt_enable();
}

static void expect_write(struct kunit *test, struct test_disk *td, unsigned int i,
			 unsigned int page, unsigned int pages)
{
	KUNIT_ASSERT_GT(test, engine_records(td), i);
	KUNIT_EXPECT_EQ(test, td->records[i].sector, page * PAGE);
	KUNIT_EXPECT_EQ(test, td->records[i].count, pages * PAGE);
}

struct order {
	const char *name;
	unsigned int to[5];	/* pages of the destination, then NO_MORE */
	unsigned int writes[5];	/* pages of each write in turn, then 0 */
};

static const struct order orders[] = {
	{ "one", { 7, NO_MORE }, { 1 } },
	{ "two", { 0, 1, NO_MORE }, { 2 } },
	{ "four", { 4, 5, 6, 7, NO_MORE }, { 4 } },
	{ "backwards", { 3, 2, 1, 0, NO_MORE }, { 4 } },
	{ "mixed up", { 2, 0, 3, 1, NO_MORE }, { 4 } },
	{ "a gap", { 0, 1, 3, 4, NO_MORE }, { 2, 2 } },
	{ "gaps", { 6, 2, 4, 0, NO_MORE }, { 1, 1, 1, 1 } },
};

static void order_desc(const struct order *o, char *desc)
{
	strscpy(desc, o->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(order, orders, order_desc);

/* In ascending order, and what follows each other is written at once. */
static void neighbours_are_written_together(struct kunit *test)
{
	const struct order *o = test->param_value;
	struct gather *g = gather(test, 1);
	struct test_disk *dst = g->e->dst[0];
	unsigned int i, pages = 0;

	for (i = 0; o->to[i] != NO_MORE; i++)
		gather_copy(test, g, &o->to[i], PAGE, 0);
	gather_end_reads(test, g);

	for (i = 0; i < g->nr; i++) {
		ku_expect_copy(test, g->copies[i], 0, 0);
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(dst, o->to[i] * PAGE, PAGE, 'a' + i));
	}
	for (i = 0; i < ARRAY_SIZE(o->writes) && o->writes[i]; i++) {
		KUNIT_ASSERT_GT(test, engine_records(dst), i);
		KUNIT_EXPECT_EQ(test, dst->records[i].count, o->writes[i] * PAGE);
		if (i)
			KUNIT_EXPECT_GT(test, dst->records[i].sector,
					dst->records[i - 1].sector);
		pages += o->writes[i];
	}
	KUNIT_EXPECT_EQ(test, engine_records(dst), i);
	KUNIT_EXPECT_EQ(test, pages, g->nr);
}

/* The first has room for so many pages. */
static void no_more_than_fit(struct kunit *test)
{
	struct gather *g = gather(test, 1);
	struct test_disk *dst = g->e->dst[0];
	unsigned int i;

	for (i = 0; i < KMQ_INLINE_VECS + 3; i++)
		gather_copy(test, g, &i, PAGE, 0);
	gather_end_reads(test, g);
	for (i = 0; i < g->nr; i++) {
		ku_expect_copy(test, g->copies[i], 0, 0);
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(dst, i * PAGE, PAGE, 'a' + i));
	}
	KUNIT_EXPECT_EQ(test, engine_records(dst), 2);
	expect_write(test, dst, 0, 0, KMQ_INLINE_VECS);
	expect_write(test, dst, 1, KMQ_INLINE_VECS, 3);
}

/* With several destinations, in each of them. */
static void neighbours_in_each_destination(struct kunit *test)
{
	static const unsigned int to[][3] = {
		{ 0, 5, 9 }, { 1, 6, 10 },	/* together */
		{ 2, 7, 12 }, { 3, 8, 13 },	/* not in the last destination */
		{ 4, 1, 14 },			/* not in the second */
	};
	struct gather *g = gather(test, 3);
	unsigned int i, k;

	for (i = 0; i < ARRAY_SIZE(to); i++)
		gather_copy(test, g, to[i], PAGE, 0);
	gather_end_reads(test, g);
	for (i = 0; i < g->nr; i++)
		ku_expect_copy(test, g->copies[i], 0, 0);
	for (k = 0; k < 3; k++) {
		for (i = 0; i < g->nr; i++)
			KUNIT_EXPECT_TRUE(test, ku_disk_holds(g->e->dst[k], to[i][k] * PAGE, PAGE,
							      'a' + i));
		KUNIT_EXPECT_EQ(test, engine_records(g->e->dst[k]), 3);
		expect_write(test, g->e->dst[k], 0, to[0][k], 2);
		expect_write(test, g->e->dst[k], 1, to[2][k], 2);
		expect_write(test, g->e->dst[k], 2, to[4][k], 1);
	}
}

/* Parts of pages are written by themselves, and so is what has to be written in order. */
static void others_stay_apart(struct kunit *test)
{
	struct gather *g = gather(test, 1);
	struct test_disk *dst = g->e->dst[0];
	unsigned int i;

	for (i = 0; i < 4; i++)
		gather_copy(test, g, &i, PAGE - 1, 0);
	for (; i < 8; i++)
		gather_copy(test, g, &i, PAGE, BIT(DM_KCOPYD_WRITE_SEQ));
	gather_end_reads(test, g);
	for (i = 0; i < g->nr; i++) {
		ku_expect_copy(test, g->copies[i], 0, 0);
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(dst, i * PAGE, PAGE - 1, 'a' + i));
	}
	KUNIT_EXPECT_EQ(test, engine_records(dst), 8);
}

/* Without the copy that could not be read there is a gap. */
static void read_error_is_one_copy_s(struct kunit *test)
{
	struct gather *g = gather(test, 1);
	struct test_disk *dst = g->e->dst[0];
	unsigned int i;

	test_disk_fail(g->e->src, OP_BIT(REQ_OP_READ), 2 * PAGE, 1, BLK_STS_MEDIUM);
	for (i = 0; i < 5; i++)
		gather_copy(test, g, &i, PAGE, 0);
	gather_end_reads(test, g);
	for (i = 0; i < g->nr; i++) {
		ku_expect_copy(test, g->copies[i], i == 2, 0);
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(dst, i * PAGE, PAGE, i == 2 ? 0 : 'a' + i));
	}
	KUNIT_EXPECT_EQ(test, engine_records(dst), 2);
	expect_write(test, dst, 0, 0, 2);
	expect_write(test, dst, 1, 3, 2);
}

static const unsigned int flags_of_errors[] = { 0, BIT(DM_KCOPYD_IGNORE_ERROR) };

static void flags_desc(const unsigned int *flags, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "flags %#x", *flags);
}

KUNIT_ARRAY_PARAM(flags, flags_of_errors, flags_desc);

/* What could not be written together is written one by one, where it failed. */
static void write_error_is_one_copy_s(struct kunit *test)
{
	unsigned int flags = *(const unsigned int *)test->param_value;
	struct gather *g = gather(test, 2);
	unsigned int i, k;

	test_disk_fail(g->e->dst[1], WRITES, 3 * PAGE, 1, BLK_STS_IOERR);
	for (i = 0; i < 5; i++) {
		unsigned int to[2] = { i, i };

		gather_copy(test, g, to, PAGE, flags);
	}
	gather_end_reads(test, g);
	for (i = 0; i < g->nr; i++) {
		ku_expect_copy(test, g->copies[i], 0, i == 3 ? BIT(1) : 0);
		for (k = 0; k < 2; k++)
			KUNIT_EXPECT_TRUE(test, ku_disk_holds(g->e->dst[k], i * PAGE, PAGE,
							      i == 3 && k ? 0 : 'a' + i));
	}
	KUNIT_EXPECT_EQ(test, engine_records(g->e->dst[0]), 1);
	expect_write(test, g->e->dst[0], 0, 0, 5);
	KUNIT_EXPECT_EQ(test, engine_records(g->e->dst[1]), 6);
	expect_write(test, g->e->dst[1], 0, 0, 5);
}

static struct kunit_case gather_cases[] = {
	KUNIT_CASE_PARAM(neighbours_are_written_together, order_gen_params),
	KUNIT_CASE(no_more_than_fit),
	KUNIT_CASE(neighbours_in_each_destination),
	KUNIT_CASE(others_stay_apart),
	KUNIT_CASE(read_error_is_one_copy_s),
	KUNIT_CASE_PARAM(write_error_is_one_copy_s, flags_gen_params),
	{}
};

static struct kunit_suite gather_suite = {
	.name = "dm-kcopyd-mq-gather",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = ku_exit,
	.test_cases = gather_cases,
};

kunit_test_suite(gather_suite);
