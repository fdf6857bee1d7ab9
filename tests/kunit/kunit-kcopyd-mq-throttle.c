// SPDX-License-Identifier: GPL-2.0-only
/*
 * The throttle, on a clock that the cases set.
 */
#include "kunit-lib.h"

#include "dm-kcopyd-mq-throttle.c"

#define SECOND	BIT(KMQ_PERIOD_SHIFT)

static void throttle_init(struct dm_kcopyd_mq_throttle *t, unsigned int percent)
{
	memset(t, 0, sizeof(*t));
	t->throttle = percent;
	spin_lock_init(&t->lock);
}

/* Time passes; nobody asks for anything. */
static void tick(struct dm_kcopyd_mq_throttle *t, unsigned int now)
{
	spin_lock_irq(&t->lock);
	kmq_throttle_tick(t, now);
	spin_unlock_irq(&t->lock);
}

/* Time without a copy in flight counts as time, time with any number of them as busy once. */
static void counts_time(struct kunit *test)
{
	struct dm_kcopyd_mq_throttle t;

	throttle_init(&t, 50);
	tick(&t, 100);
	KUNIT_EXPECT_EQ(test, t.total_period, 100);
	KUNIT_EXPECT_EQ(test, t.io_period, 0);

	KUNIT_EXPECT_TRUE(test, kmq_throttle_start(&t, false, 100));
	KUNIT_EXPECT_EQ(test, t.num_io_jobs, 1);
	tick(&t, 110);
	KUNIT_EXPECT_EQ(test, t.total_period, 110);
	KUNIT_EXPECT_EQ(test, t.io_period, 10);

	KUNIT_EXPECT_TRUE(test, kmq_throttle_start(&t, false, 110));
	KUNIT_EXPECT_TRUE(test, kmq_throttle_start(&t, false, 110));
	KUNIT_EXPECT_EQ(test, t.num_io_jobs, 3);
	kmq_throttle_finish(&t, 120);
	kmq_throttle_finish(&t, 120);
	KUNIT_EXPECT_EQ(test, t.io_period, 20);
	KUNIT_EXPECT_EQ(test, t.num_io_jobs, 1);
	kmq_throttle_finish(&t, 125);
	KUNIT_EXPECT_EQ(test, t.io_period, 25);
	KUNIT_EXPECT_EQ(test, t.num_io_jobs, 0);

	tick(&t, 130);
	KUNIT_EXPECT_EQ(test, t.total_period, 130);
	KUNIT_EXPECT_EQ(test, t.io_period, 25);
}

/* A second is about SECOND jiffies; beyond it both sums are halved until they fit. */
struct decay {
	const char *name;
	unsigned int total, io;
	unsigned int passed;
	bool busy;
	unsigned int total_after, io_after;
};

static const struct decay decays[] = {
	{ "the last jiffy of a second", SECOND - 2, 8, 1, true, SECOND - 1, 9 },
	{ "the first one after it", SECOND - 1, 9, 1, true, SECOND / 2, 5 },
	{ "idle over its end", SECOND - 1, 9, 1, false, SECOND / 2, 4 },
	{ "just below two", SECOND - 1, 0, SECOND, false, SECOND - 1, 0 },
	{ "two", SECOND - 1, 100, SECOND + 1, false, SECOND / 2, 25 },
	{ "five busy", 0, 0, 5 * SECOND, true, 5 * SECOND / 8, 5 * SECOND / 8 },
	{ "an hour idle", SECOND - 1, SECOND - 1, 3600 * SECOND, false,
	  (3601 * SECOND - 1) >> 12, 0 },
};

static void decay_desc(const struct decay *d, char *desc)
{
	strscpy(desc, d->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(decay, decays, decay_desc);

static void forgets_the_past(struct kunit *test)
{
	const struct decay *d = test->param_value;
	struct dm_kcopyd_mq_throttle t;

	throttle_init(&t, 50);
	t.total_period = d->total;
	t.io_period = d->io;
	t.num_io_jobs = d->busy;
	t.last_jiffies = 1000;
	tick(&t, 1000 + d->passed);
	KUNIT_EXPECT_EQ(test, t.total_period, d->total_after);
	KUNIT_EXPECT_EQ(test, t.io_period, d->io_after);
	KUNIT_EXPECT_EQ(test, t.last_jiffies, 1000 + d->passed);
}

/* jiffies begin anew, and may have stood unread for as long as they can count. */
static void survives_the_clock(struct kunit *test)
{
	struct dm_kcopyd_mq_throttle t;

	throttle_init(&t, 50);
	t.last_jiffies = UINT_MAX - 4;
	t.num_io_jobs = 1;
	tick(&t, 5);
	KUNIT_EXPECT_EQ(test, t.total_period, 10);
	KUNIT_EXPECT_EQ(test, t.io_period, 10);

	t.total_period = SECOND - 1;
	t.io_period = SECOND - 1;
	tick(&t, 4);
	KUNIT_EXPECT_LT(test, t.total_period, SECOND);
	KUNIT_EXPECT_GE(test, t.total_period, SECOND / 2);
	KUNIT_EXPECT_EQ(test, t.io_period, t.total_period);
}

struct leave {
	unsigned int percent;
	unsigned int io, total;
	bool force;
	bool go;
};

static const struct leave leaves[] = {
	{ 0, 0, 0, false, true },
	{ 0, 0, 200, false, true },
	{ 0, 1, 200, false, false },
	{ 0, 1, 200, true, true },
	{ 1, 2, 200, false, true },
	{ 1, 3, 200, false, false },
	{ 50, 100, 200, false, true },
	{ 50, 101, 200, false, false },
	{ 50, 101, 203, false, true },
	{ 50, 200, 200, true, true },
	{ 99, 198, 200, false, true },
	{ 99, 199, 200, false, false },
	{ 100, 200, 200, false, true },
	{ 101, 200, 200, false, true },
	{ UINT_MAX, 200, 200, false, true },
};

static void leave_desc(const struct leave *l, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u percent, %u of %u%s", l->percent, l->io,
		 l->total, l->force ? ", forced" : "");
}

KUNIT_ARRAY_PARAM(leave, leaves, leave_desc);

/* A job may start as long as the share does not exceed the limit; then it is accounted. */
static void gives_leave(struct kunit *test)
{
	const struct leave *l = test->param_value;
	struct dm_kcopyd_mq_throttle t;

	throttle_init(&t, l->percent);
	t.total_period = l->total;
	t.io_period = l->io;
	t.last_jiffies = 7;
	KUNIT_EXPECT_EQ(test, kmq_throttle_start(&t, l->force, 7), l->go);
	KUNIT_EXPECT_EQ(test, t.num_io_jobs, l->go);
}

static const unsigned int shares[] = { 1, 10, 50, 90, 99 };

static void share_desc(const unsigned int *share, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u percent", *share);
}

KUNIT_ARRAY_PARAM(share, shares, share_desc);

/* Somebody who always wants to copy gets his share of the time, whatever a copy takes. */
static void keeps_to_the_share(struct kunit *test)
{
	unsigned int percent = *(const unsigned int *)test->param_value;
	unsigned int span = 100 * SECOND, takes, now, busy, end;
	struct dm_kcopyd_mq_throttle t;

	for (takes = 1; takes <= 4; takes += 3) {
		throttle_init(&t, percent);
		busy = 0;
		end = 0;
		for (now = 1; now < span; now++) {
			if (end == now)
				kmq_throttle_finish(&t, now);
			if (end <= now && kmq_throttle_start(&t, false, now))
				end = now + takes;
			busy += end > now;
		}
		KUNIT_EXPECT_LE(test, busy, span / 100 * (percent + 2));
		KUNIT_EXPECT_GE(test, busy, span / 100 * (percent - 1));
	}
}

static struct kunit_case throttle_cases[] = {
	KUNIT_CASE(counts_time),
	KUNIT_CASE_PARAM(forgets_the_past, decay_gen_params),
	KUNIT_CASE(survives_the_clock),
	KUNIT_CASE_PARAM(gives_leave, leave_gen_params),
	KUNIT_CASE_PARAM(keeps_to_the_share, share_gen_params),
	{}
};

static struct kunit_suite throttle_suite = {
	.name = "dm-kcopyd-mq-throttle",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.test_cases = throttle_cases,
};

kunit_test_suite(throttle_suite);
