// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies that are left to the device: which ones, together with which others, and what becomes of
 * those that it does not make.
 */
#include <linux/sched.h>

#include "kunit-copier.h"
#include "kunit-engine.h"

static bool offload_memory = true;

#define copy_offload_alloc(co, ranges)	\
	(offload_memory ? copy_offload_alloc(co, ranges) : NULL)

#include "dm-kcopyd-mq-offload.c"

#define SECTORS		1024
#define DEST		512	/* first sector of the second half, to which is copied */
#define MAX_COPIES	24

/**
 * struct offload - copies that are found on a CPU's list together
 * @td:     disk whose first pages are full of 'a', 'b', and so on
 * @kc:     client
 * @copies: what the callbacks were given
 * @nr:     number of copies
 */
struct offload {
	struct test_disk *td;
	struct dm_kcopyd_mq_client *kc;
	struct ku_copy *copies[MAX_COPIES];
	unsigned int nr;
};

/* Limits are those of the device. */
static struct offload *offload(struct kunit *test, unsigned int range, unsigned int command,
			       unsigned int ranges)
{
	struct offload *o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, o);
	o->td = ku_disk(test, SECTORS, 0);
	for (i = 0; i < MAX_COPIES; i++)
		ku_disk_fill(o->td, i * PAGE, PAGE, 'a' + i);
	copier_start(o->td, range, command, ranges);
	o->kc = ku_client(test, 512, NULL);
	KUNIT_ASSERT_TRUE(test, dm_kcopyd_mq_client_offload(o->kc, o->td->bdev, o->td->bdev));
	KUNIT_ASSERT_EQ(test, test_disk_record(o->td, 100), 0);
	return o;
}

static void offload_exit(struct kunit *test)
{
	offload_memory = true;
	copier_release();
	ku_exit(test);
	copier_stop();
}

static void copy(struct kunit *test, struct offload *o, sector_t from, sector_t to, sector_t count)
{
	struct dm_io_region source = ku_region(o->td, from, count);
	struct dm_io_region dest = ku_region(o->td, DEST + to, count);

	KUNIT_ASSERT_LT(test, o->nr, MAX_COPIES);
	o->copies[o->nr] = ku_copy_create(test);
	dm_kcopyd_mq_copy(o->kc, &source, 1, &dest, 0, ku_copy_done, o->copies[o->nr++]);
}

/*
 * Copies page @i to page @to[i]. The worker does not run before all are submitted, even if that
 * takes so long, on a busy machine, that it is woken meanwhile.
 */
static void copy_pages(struct kunit *test, struct offload *o, const unsigned int *to,
		       unsigned int nr)
{
	unsigned int i;

	sched_set_fifo_low(current);
	for (i = 0; i < nr; i++)
		copy(test, o, i * PAGE, to[i] * PAGE, PAGE);
	sched_set_normal(current, 0);
	for (i = 0; i < nr; i++)
		ku_expect_copy(test, o->copies[i], 0, 0);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(o->td, DEST + to[i] * PAGE, PAGE, 'a' + i));
}

static void device_copies(struct kunit *test)
{
	static const unsigned int to[] = { 5 };
	struct offload *o = offload(test, 128, 128, 16);

	copy_pages(test, o, to, 1);
	KUNIT_EXPECT_EQ(test, copier.nr, 1);
	KUNIT_EXPECT_EQ(test, copier.requests[0].ranges, 1);
	KUNIT_EXPECT_EQ(test, copier.requests[0].count, PAGE);
	KUNIT_EXPECT_EQ(test, copier.requests[0].to, DEST + 5 * PAGE);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(o->td), 0);
}

/* Those that the worker finds together. */
static void neighbours_share_a_request(struct kunit *test)
{
	static const unsigned int to[] = { 2, 0, 1, 7, 3, 8, 20 };
	struct offload *o = offload(test, 128, 128, 16);
	unsigned int i, ranges = 0;

	copy_pages(test, o, to, ARRAY_SIZE(to));
	for (i = 0; i < min(copier.nr, COPIER_MAX + 0U); i++)
		ranges += copier.requests[i].ranges;
	KUNIT_EXPECT_EQ(test, ranges, ARRAY_SIZE(to));
	KUNIT_EXPECT_LT(test, copier.nr, ARRAY_SIZE(to));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(o->td), 0);
}

static void chain_is_cut_where_it_has_to_be(struct kunit *test)
{
	struct offload *o = offload(test, PAGE, 4 * PAGE, 4);
	struct kmq_job *jobs, *job;
	unsigned int i;

	jobs = kunit_kcalloc(test, 6, sizeof(*jobs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, jobs);
	for (i = 0; i < 6; i++) {
		job = &jobs[i];
		job->kc = o->kc;
		job->first = job;
		job->num_dests = 1;
		job->source = ku_region(o->td, (20 - i) * PAGE, PAGE);
		job->dests[0] = ku_region(o->td, DEST + i * PAGE, PAGE);
		job->count = PAGE;
		job->write_count = PAGE;
		job->gather = i < 5 ? &jobs[i + 1] : NULL;
	}
	/* 0 to 3 fill a request; 4 does not follow 3, and 5 follows 4. */
	jobs[4].dests[0].sector += PAGE;
	jobs[5].dests[0].sector += PAGE;
	copier.hold = true;
	kmq_offload_chain(jobs);
	KUNIT_EXPECT_EQ(test, copier.nr, 2);
	KUNIT_EXPECT_EQ(test, copier.requests[0].ranges, 4);
	KUNIT_EXPECT_EQ(test, copier.requests[0].to, DEST);
	KUNIT_EXPECT_EQ(test, copier.requests[1].ranges, 2);
	KUNIT_EXPECT_EQ(test, copier.requests[1].to, DEST + 5 * PAGE);
	KUNIT_EXPECT_PTR_EQ(test, jobs[2].gather, &jobs[3]);
	KUNIT_EXPECT_NULL(test, jobs[3].gather);
	KUNIT_EXPECT_PTR_EQ(test, jobs[4].gather, &jobs[5]);

	/* Nobody waits for these jobs. */
	for (i = 0; i < copier.nr; i++) {
		kfree(copier.requests[i].req);
		copier.requests[i].req = NULL;
	}
}

/* Segments are as long as a request may be. */
static void large_copy_is_split(struct kunit *test)
{
	struct offload *o = offload(test, 16, 64, 16);
	unsigned int i, sum = 0;

	ku_disk_fill(o->td, 0, 300, 'x');
	copy(test, o, 0, 0, 300);
	ku_expect_copy(test, o->copies[0], 0, 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(o->td, DEST, 300, 'x'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(o->td, DEST + 300, 8, 0));
	KUNIT_ASSERT_EQ(test, copier.nr, 5);
	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_LE(test, copier.requests[i].count, 64);
		KUNIT_EXPECT_LE(test, copier.requests[i].ranges, 4);
		sum += copier.requests[i].count;
	}
	KUNIT_EXPECT_EQ(test, sum, 300);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(o->td), 0);
}

static void what_is_not_copied_is_read_and_written(struct kunit *test)
{
	static const enum copy_offload_result results[] = {
		COPY_OFFLOAD_REFUSED, COPY_OFFLOAD_BROKEN,
	};
	static const unsigned int to[] = { 1, 2, 3, 9 };
	struct offload *o = offload(test, 128, 128, 16);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(results); i++) {
		ku_disk_fill(o->td, DEST, 128, 0);
		o->nr = 0;
		copier.result = results[i];
		copier.why = COPY_OFFLOAD_INTERRUPTED;
		copy_pages(test, o, to, ARRAY_SIZE(to));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(o->td, DEST, PAGE, 0));
	}
	KUNIT_EXPECT_GE(test, test_disk_nr_records(o->td), 2 * 4 + 2 * 2);
}

/* Only if that fails, too, is there an error; and only for the copy that it is of. */
static void error_is_one_copy_s(struct kunit *test)
{
	struct offload *o = offload(test, 128, 128, 16);
	unsigned int i;

	copier.result = COPY_OFFLOAD_BROKEN;
	copier.why = COPY_OFFLOAD_FAILED;
	test_disk_fail(o->td, OP_BIT(REQ_OP_READ), PAGE, 1, BLK_STS_MEDIUM);
	for (i = 0; i < 3; i++)
		copy(test, o, i * PAGE, i * PAGE, PAGE);
	for (i = 0; i < 3; i++)
		ku_expect_copy(test, o->copies[i], i == 1, 0);
}

static void segments_of_a_copy_fail(struct kunit *test)
{
	struct offload *o = offload(test, 16, 64, 16);

	ku_disk_fill(o->td, 0, 300, 'x');
	copier.result = COPY_OFFLOAD_BROKEN;
	copier.why = COPY_OFFLOAD_FAILED;
	copy(test, o, 0, 0, 300);
	ku_expect_copy(test, o->copies[0], 0, 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(o->td, DEST, 300, 'x'));
	/* Each was tried. */
	KUNIT_EXPECT_EQ(test, copier.nr, 5);
}

static void without_memory_it_is_read_and_written(struct kunit *test)
{
	static const unsigned int to[] = { 4 };
	struct offload *o = offload(test, 128, 128, 16);

	offload_memory = false;
	copy_pages(test, o, to, 1);
	offload_memory = true;
	KUNIT_EXPECT_EQ(test, copier.nr, 0);
	KUNIT_EXPECT_GE(test, test_disk_nr_records(o->td), 2);
}

/* Zeroes, several destinations, writes in order. */
static void others_are_read_and_written(struct kunit *test)
{
	struct offload *o = offload(test, 128, 128, 16);
	struct dm_io_region from = ku_region(o->td, 0, PAGE), to[2];
	struct ku_copy *c[3];
	unsigned int i;

	to[0] = ku_region(o->td, DEST, PAGE);
	to[1] = ku_region(o->td, DEST + PAGE, PAGE);
	for (i = 0; i < 3; i++)
		c[i] = ku_copy_create(test);
	dm_kcopyd_mq_copy(o->kc, &from, 2, to, 0, ku_copy_done, c[0]);
	ku_expect_copy(test, c[0], 0, 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(o->td, DEST, 2 * PAGE, 'a'));
	dm_kcopyd_mq_zero(o->kc, 1, to, 0, ku_copy_done, c[1]);
	ku_expect_copy(test, c[1], 0, 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(o->td, DEST, PAGE, 0));
	dm_kcopyd_mq_copy(o->kc, &from, 1, to, BIT(DM_KCOPYD_WRITE_SEQ), ku_copy_done, c[2]);
	ku_expect_copy(test, c[2], 0, 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(o->td, DEST, PAGE, 'a'));
	KUNIT_EXPECT_EQ(test, copier.nr, 0);
}

static struct kunit_case offload_cases[] = {
	KUNIT_CASE(device_copies),
	KUNIT_CASE(neighbours_share_a_request),
	KUNIT_CASE(chain_is_cut_where_it_has_to_be),
	KUNIT_CASE(large_copy_is_split),
	KUNIT_CASE(what_is_not_copied_is_read_and_written),
	KUNIT_CASE(error_is_one_copy_s),
	KUNIT_CASE(segments_of_a_copy_fail),
	KUNIT_CASE(without_memory_it_is_read_and_written),
	KUNIT_CASE(others_are_read_and_written),
	{}
};

static struct kunit_suite offload_suite = {
	.name = "dm-kcopyd-mq-offload",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = offload_exit,
	.test_cases = offload_cases,
};

kunit_test_suite(offload_suite);
