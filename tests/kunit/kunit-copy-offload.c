// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which disks copy, what may be left to them, and when they are given up.
 */
#include <linux/kthread.h>

#include "kunit-copier.h"
#include "test-compat.h"

/* The only provider is the one below. */
extern const struct copy_offload_ops copy_offload_copier;
#define copy_offload_nvme	copy_offload_copier
#undef DM_SCALED_HAVE_BLKDEV_COPY_OFFLOAD
#define DM_SCALED_HAVE_BLKDEV_COPY_OFFLOAD	0

#include "copy-offload.c"

/*
 * The provider.
 */

struct copier copier;

struct copier_range {
	sector_t sector;
	u64 count;
};

void copier_start(struct test_disk *td, unsigned int range, unsigned int command,
		  unsigned int ranges)
{
	memset(&copier, 0, sizeof(copier));
	copier.why = COPY_OFFLOAD_WHYS;
	copier.td = td;
	copier.limits = (struct copy_offload_limits){ 1, range, command, ranges };
}

void copier_stop(void)
{
	copier_release();
	copier.td = NULL;
}

static int copier_open(struct copy_offload *co)
{
	if (copier.slow && co->disk == copier.slow->disk) {
		complete(&copier.asked);
		wait_for_completion(&copier.answer);
		if (!copier.slow_copies)
			return -EOPNOTSUPP;
	} else if (!copier.td || co->disk != copier.td->disk) {
		return -EOPNOTSUPP;
	}
	copier.opened++;
	co->limits = copier.limits;
	return 0;
}

static void copier_close(struct copy_offload *co)
{
}

static void copier_set_range(struct copy_offload_request *req, unsigned int i, sector_t sector,
			     unsigned int count)
{
	struct copier_range *range = (struct copier_range *)req->ranges + i;

	range->sector = sector;
	range->count = count;
}

static void copier_copy(struct copy_offload_request *req)
{
	const struct copier_range *range = (const struct copier_range *)req->ranges;
	u8 *to = copier.td->store + (req->sector << SECTOR_SHIFT);
	unsigned int i;

	for (i = 0; i < req->nr && copier.result == COPY_OFFLOAD_COPIED; i++) {
		memcpy(to, copier.td->store + (range[i].sector << SECTOR_SHIFT),
		       range[i].count << SECTOR_SHIFT);
		to += range[i].count << SECTOR_SHIFT;
	}
	copy_offload_end(req, copier.result, copier.why);
}

static void copier_issue(struct copy_offload_request *req)
{
	struct copier_request *r = &copier.requests[min(copier.nr, COPIER_MAX - 1U)];

	if (!copy_offload_may_issue(req))
		return;
	r->to = req->sector;
	r->count = req->count;
	r->ranges = req->nr;
	r->req = copier.hold ? req : NULL;
	WRITE_ONCE(copier.nr, copier.nr + 1);
	if (!copier.hold)
		copier_copy(req);
}

void copier_release(void)
{
	unsigned int i;

	copier.hold = false;
	for (i = 0; i < min(copier.nr, COPIER_MAX + 0U); i++) {
		if (copier.requests[i].req)
			copier_copy(copier.requests[i].req);
		copier.requests[i].req = NULL;
	}
}

const struct copy_offload_ops copy_offload_copier = {
	.name = "copier",
	.open = copier_open,
	.close = copier_close,
	.set_range = copier_set_range,
	.issue = copier_issue,
	.range_bytes = sizeof(struct copier_range),
};

/*
 * The cases.
 */

#define SECTORS	256

static struct test_disk *td;
static struct copy_offload *co;

static void offload_exit(struct kunit *test)
{
	copier_stop();
	WRITE_ONCE(copy_offload_off, false);
	copy_offload_put(co);
	co = NULL;
	ku_exit(test);
}

/* One disk that copies. */
static void offload_setup(struct kunit *test)
{
	td = ku_disk(test, SECTORS, 0);
	copier_start(td, 16, 64, 8);
	co = copy_offload_get(td->bdev, td->bdev);
	KUNIT_ASSERT_NOT_NULL(test, co);
}

static u64 not_copied(enum copy_offload_why why)
{
	struct copy_offload_stats sum;

	copy_offload_sum(co, &sum);
	return sum.not[why];
}

struct limits_case {
	struct copy_offload_limits said;
	struct copy_offload_limits used;	/* with ranges 0: the disk is not used */
};

static const struct limits_case limits_cases[] = {
	/* align, range, command, ranges */
	{ { 1, 128, 128, 128 }, { 1, 128, 128, 128 } },
	{ { 1, 128, 128, 256 }, { 1, 128, 128, 128 } },
	{ { 1, 1, 8, 8 }, { 1, 1, 8, 8 } },
	{ { 1, 256, 64, 4 }, { 1, 64, 64, 4 } },
	{ { 1, 16, 1024, 4 }, { 1, 16, 64, 4 } },
	{ { 1, 65535, 65536, 128 }, { 1, 2048, 2048, 128 } },
	{ { 8, 20, 100, 128 }, { 8, 16, 96, 12 } },
	/* Not a page. */
	{ { 1, 1, 7, 8 }, { } },
	{ { 1, 1, 64, 4 }, { } },
	/* Not a block. */
	{ { 16, 8, 64, 4 }, { } },
	/* Nonsense. */
	{ { 0, 8, 64, 4 }, { } },
	{ { 3, 8, 64, 4 }, { } },
	{ { 1, 8, 64, 0 }, { } },
};

static void limits_fit_each_other(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(limits_cases); i++) {
		struct copy_offload_limits l = limits_cases[i].said;
		const struct copy_offload_limits *used = &limits_cases[i].used;
		bool ok = copy_offload_normalize(&l);

		KUNIT_EXPECT_EQ_MSG(test, ok, used->ranges != 0, "case %u", i);
		if (!ok || !used->ranges)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, l.align, used->align, "case %u", i);
		KUNIT_EXPECT_EQ_MSG(test, l.range, used->range, "case %u", i);
		KUNIT_EXPECT_EQ_MSG(test, l.command, used->command, "case %u", i);
		KUNIT_EXPECT_EQ_MSG(test, l.ranges, used->ranges, "case %u", i);
	}
}

/* All users of a disk share what is known of it. */
static void disk_is_asked_once(struct kunit *test)
{
	struct test_disk *other = ku_disk(test, SECTORS, 0);
	struct copy_offload *again;

	offload_setup(test);
	again = copy_offload_get(td->bdev, td->bdev);
	KUNIT_EXPECT_PTR_EQ(test, again, co);
	copy_offload_put(again);
	KUNIT_EXPECT_EQ(test, copier.opened, 1);

	KUNIT_EXPECT_NULL(test, copy_offload_get(td->bdev, other->bdev));
	KUNIT_EXPECT_NULL(test, copy_offload_get(other->bdev, other->bdev));
	copy_offload_put(NULL);

	/* Once nobody uses it any more, it is asked again. */
	copy_offload_put(co);
	co = copy_offload_get(td->bdev, td->bdev);
	KUNIT_ASSERT_NOT_NULL(test, co);
	KUNIT_EXPECT_EQ(test, copier.opened, 2);
}

static void says_why_not(struct kunit *test)
{
	struct test_disk *other = ku_disk(test, SECTORS, 0);
	enum copy_offload_why why;

	offload_setup(test);
	KUNIT_EXPECT_TRUE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 128));

	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, other->bdev, 0, td->bdev, 128, 8));
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, other->bdev, 128, 8));
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_ELSEWHERE), 2);

	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 129));
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 250, td->bdev, 0, 8));
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 257, 8));
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, ~0ULL, td->bdev, 0, 8));
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_BEYOND), 4);

	test_set_read_only(td->bdev, true);
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 8));
	test_set_read_only(td->bdev, false);
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_READ_ONLY), 1);

	copy_offload_switch(co, false);
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 8));
	copy_offload_switch(co, true);
	WRITE_ONCE(copy_offload_off, true);
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 8));
	WRITE_ONCE(copy_offload_off, false);
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_OFF), 2);

	/* Formatted with larger blocks. */
	co->limits.align = 8;
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 8));
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_CHANGED), 1);
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 4, td->bdev, 128, 8));
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 129, 8));
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 7));
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_UNALIGNED), 3);

	for (why = 0; why < COPY_OFFLOAD_WHYS; why++)
		KUNIT_EXPECT_LE(test, not_copied(why), 4);
}

static void partitions_begin_somewhere(struct kunit *test)
{
	struct block_device part;

	offload_setup(test);
	part = *td->bdev;
	part.bd_start_sect = 4;
	part.bd_nr_sectors = 100;
	KUNIT_EXPECT_TRUE(test, copy_offload_usable(co, &part, 92, td->bdev, 128, 8));
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, &part, 93, td->bdev, 128, 8));
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 128, &part, 93, 8));
	co->limits.align = 8;
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, &part, 0, td->bdev, 128, 8));
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_UNALIGNED), 1);
}

static void request_ended(void *context, enum copy_offload_result result)
{
	*(int *)context = result;
}

/* Copies @count sectors from @from to @to. */
static int offload_copy(struct kunit *test, sector_t from, sector_t to, unsigned int count)
{
	struct copy_offload_request *req;
	int result = -1;

	req = copy_offload_alloc(co, copy_offload_ranges(co, count));
	KUNIT_ASSERT_NOT_NULL(test, req);
	copy_offload_add(req, td->bdev, from, count);
	copy_offload_submit(req, td->bdev, to, request_ended, &result);
	return result;
}

static void long_ranges_are_cut(struct kunit *test)
{
	struct copy_offload_stats sum;

	offload_setup(test);
	ku_disk_fill(td, 0, 40, 'a');
	KUNIT_EXPECT_EQ(test, offload_copy(test, 0, 128, 40), COPY_OFFLOAD_COPIED);
	KUNIT_EXPECT_EQ(test, copier.requests[0].ranges, 3);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(td, 128, 40, 'a'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(td, 168, 8, 0));
	copy_offload_sum(co, &sum);
	KUNIT_EXPECT_EQ(test, sum.commands, 1);
	KUNIT_EXPECT_EQ(test, sum.ranges, 3);
	KUNIT_EXPECT_EQ(test, sum.sectors, 40);
}

/* What has changed since somebody asked is seen before the device is. */
static void looks_again_before_it_issues(struct kunit *test)
{
	struct copy_offload_request *req;
	int result = -1;

	offload_setup(test);
	req = copy_offload_alloc(co, 1);
	KUNIT_ASSERT_NOT_NULL(test, req);
	copy_offload_add(req, td->bdev, 0, 8);
	test_set_read_only(td->bdev, true);
	copy_offload_submit(req, td->bdev, 128, request_ended, &result);
	test_set_read_only(td->bdev, false);
	KUNIT_EXPECT_EQ(test, result, COPY_OFFLOAD_REFUSED);
	KUNIT_EXPECT_EQ(test, copier.nr, 0);
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_READ_ONLY), 1);
}

/* Copies that end like that, @nr times, long after each other. */
static void offload_fail(struct kunit *test, enum copy_offload_why why, unsigned int nr)
{
	copier.result = COPY_OFFLOAD_BROKEN;
	copier.why = why;
	while (nr--) {
		co->failed_at -= COPY_OFFLOAD_BURST;
		KUNIT_EXPECT_EQ(test, offload_copy(test, 0, 128, 8), COPY_OFFLOAD_BROKEN);
	}
	copier.result = COPY_OFFLOAD_COPIED;
	copier.why = COPY_OFFLOAD_WHYS;
}

static void gives_up_after_failures(struct kunit *test)
{
	unsigned int i;

	offload_setup(test);
	offload_fail(test, COPY_OFFLOAD_FAILED, 3);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_TRUSTED);

	/* Successes make up for it. */
	for (i = 0; i < 3 * COPY_OFFLOAD_FAILURE; i++)
		offload_copy(test, 0, 128, 8);
	offload_fail(test, COPY_OFFLOAD_FAILED, 3);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_TRUSTED);
	offload_fail(test, COPY_OFFLOAD_FAILED, 1);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_GIVEN_UP);
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 8));
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_GAVE_UP), 1);

	/* Until somebody says that it is better. */
	copy_offload_switch(co, true);
	KUNIT_EXPECT_TRUE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 8));
}

/* As when the device is reset. */
static void failures_at_once_are_one(struct kunit *test)
{
	unsigned int i;

	offload_setup(test);
	offload_fail(test, COPY_OFFLOAD_FAILED, 2);
	copier.result = COPY_OFFLOAD_BROKEN;
	copier.why = COPY_OFFLOAD_FAILED;
	/* None of them is so late. */
	co->failed_at = jiffies + HZ;
	for (i = 0; i < 20; i++)
		offload_copy(test, 0, 128, 8);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_TRUSTED);
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_FAILED), 22);
	KUNIT_EXPECT_EQ(test, atomic_read(&co->trouble), 2 * COPY_OFFLOAD_FAILURE);
}

/* An administrator may reset a device as often as that; nothing that it copies does so. */
static void interruptions_count_a_little(struct kunit *test)
{
	offload_setup(test);
	offload_fail(test, COPY_OFFLOAD_INTERRUPTED, 15);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_TRUSTED);
	offload_fail(test, COPY_OFFLOAD_INTERRUPTED, 1);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_GIVEN_UP);
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_INTERRUPTED), 16);
}

/* The disk's memory, the switches and the administrator are not the device's fault. */
static void refusals_do_not_count(struct kunit *test)
{
	offload_setup(test);
	offload_fail(test, COPY_OFFLOAD_NO_MEMORY, 100);
	KUNIT_EXPECT_EQ(test, atomic_read(&co->trouble), 0);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_TRUSTED);
}

static struct copy_offload_request *offload_prepare(struct kunit *test, unsigned int copies)
{
	struct copy_offload_request *req = copy_offload_alloc(co, copies);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, req);
	for (i = 0; i < copies; i++)
		copy_offload_add(req, td->bdev, 16 * i, 8);
	return req;
}

/* After a time-out one copy waits for the device, and the others go another way. */
static void one_copy_probes(struct kunit *test)
{
	struct copy_offload_request *req[3];
	int result[3] = { -1, -1, -1 };
	unsigned int i;

	offload_setup(test);
	offload_fail(test, COPY_OFFLOAD_TIMED_OUT, 1);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_PROBED);
	KUNIT_EXPECT_TRUE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 8));

	/* Was put together before the time-out. */
	req[0] = offload_prepare(test, 3);
	req[1] = offload_prepare(test, 1);
	req[2] = offload_prepare(test, 1);
	copier.hold = true;
	for (i = 0; i < 3; i++)
		copy_offload_submit(req[i], td->bdev, 128, request_ended, &result[i]);
	KUNIT_EXPECT_EQ(test, result[0], COPY_OFFLOAD_REFUSED);
	KUNIT_EXPECT_EQ(test, result[1], -1);
	KUNIT_EXPECT_EQ(test, result[2], COPY_OFFLOAD_REFUSED);
	KUNIT_EXPECT_FALSE(test, copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 8));
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_PROBING), 3);

	/* It copies again. */
	copier_release();
	KUNIT_EXPECT_EQ(test, result[1], COPY_OFFLOAD_COPIED);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_TRUSTED);
	KUNIT_EXPECT_EQ(test, atomic_read(&co->probe), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&co->trouble), COPY_OFFLOAD_TIME_OUT - 1);
	result[0] = -1;
	copy_offload_submit(offload_prepare(test, 3), td->bdev, 128, request_ended, &result[0]);
	KUNIT_EXPECT_EQ(test, result[0], COPY_OFFLOAD_COPIED);
}

/* The first to wait is unlucky, and so are at most three more. */
static void gives_up_after_time_outs(struct kunit *test)
{
	unsigned int waited = 0;

	offload_setup(test);
	/* Of those that end with the first one, the first to end may not have been late. */
	offload_fail(test, COPY_OFFLOAD_INTERRUPTED, 1);
	copier.result = COPY_OFFLOAD_BROKEN;
	copier.why = COPY_OFFLOAD_TIMED_OUT;
	co->failed_at = jiffies + HZ;
	offload_copy(test, 0, 128, 8);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_PROBED);
	co->failed_at = jiffies;
	while (copy_offload_usable(co, td->bdev, 0, td->bdev, 128, 8) && waited < 10) {
		offload_fail(test, COPY_OFFLOAD_TIMED_OUT, 1);
		waited++;
	}
	KUNIT_EXPECT_LE(test, waited, 3);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_GIVEN_UP);

	copy_offload_switch(co, true);
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_TRUSTED);
}

/* What was copied in the end, when the driver had lost patience, counts as copied and as late. */
static void late_success_is_a_time_out(struct kunit *test)
{
	unsigned int i;

	offload_setup(test);
	copier.why = COPY_OFFLOAD_TIMED_OUT;
	for (i = 0; i < 2; i++) {
		co->failed_at -= COPY_OFFLOAD_BURST;
		KUNIT_EXPECT_EQ(test, offload_copy(test, 0, 128, 8), COPY_OFFLOAD_COPIED);
	}
	copier.why = COPY_OFFLOAD_WHYS;
	KUNIT_EXPECT_EQ(test, co->state, COPY_OFFLOAD_GIVEN_UP);
	KUNIT_EXPECT_EQ(test, not_copied(COPY_OFFLOAD_TIMED_OUT), 2);
}

/* A task that asks a disk whether it copies, and the answer. */
struct asker {
	struct test_disk *td;
	struct copy_offload *co;
	struct completion done;
};

static int ask(void *context)
{
	struct asker *a = context;

	a->co = copy_offload_get(a->td->bdev, a->td->bdev);
	complete(&a->done);
	return 0;
}

static struct asker *asker_start(struct kunit *test, struct test_disk *disk)
{
	struct asker *a = kunit_kzalloc(test, sizeof(*a), GFP_KERNEL);
	struct task_struct *task;

	KUNIT_ASSERT_NOT_NULL(test, a);
	a->td = disk;
	init_completion(&a->done);
	task = kthread_run(ask, a, "ask");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	return a;
}

static bool asker_ended(struct asker *a)
{
	return wait_for_completion_timeout(&a->done, 10 * HZ);
}

/* Those of the slow disk wait for its answer, which is asked for once, and nobody else does. */
static void slow_disk_holds_up_no_other(struct kunit *test)
{
	struct test_disk *other = ku_disk(test, SECTORS, 0), *slow = ku_disk(test, SECTORS, 0);
	struct asker *first, *second, *third;
	bool answers;

	for (answers = false; ; answers = true) {
		offload_setup(test);
		init_completion(&copier.asked);
		init_completion(&copier.answer);
		copier.slow = slow;
		copier.slow_copies = answers;
		first = asker_start(test, slow);
		KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&copier.asked, 10 * HZ));
		second = asker_start(test, slow);

		/* Another disk that does not copy, and the end of the use of one that does. */
		third = asker_start(test, other);
		KUNIT_EXPECT_TRUE(test, asker_ended(third));
		KUNIT_EXPECT_NULL(test, third->co);
		third = asker_start(test, td);
		KUNIT_EXPECT_TRUE(test, asker_ended(third));
		KUNIT_EXPECT_PTR_EQ(test, third->co, co);
		copy_offload_put(third->co);

		KUNIT_EXPECT_FALSE(test, completion_done(&first->done));
		KUNIT_EXPECT_FALSE(test, completion_done(&second->done));
		complete_all(&copier.answer);
		KUNIT_ASSERT_TRUE(test, asker_ended(first) && asker_ended(second));
		KUNIT_EXPECT_EQ(test, !!first->co, answers);
		KUNIT_EXPECT_PTR_EQ(test, first->co, second->co);
		KUNIT_EXPECT_EQ(test, copier.opened, 1 + answers);
		copy_offload_put(first->co);
		copy_offload_put(second->co);
		if (answers)
			break;
		copy_offload_put(co);
		co = NULL;
	}
	KUNIT_EXPECT_TRUE(test, list_is_singular(&copy_offload_disks));
}

static void tells_in_one_line(struct kunit *test)
{
	char line[COPY_OFFLOAD_LINE], want[DISK_NAME_LEN + 64], cut[20];

	offload_setup(test);
	offload_copy(test, 0, 128, 20);
	KUNIT_EXPECT_LT(test, copy_offload_format(co, line, sizeof(line)), COPY_OFFLOAD_LINE - 64);
	snprintf(want, sizeof(want), "%s copier auto commands 1 ranges 2 sectors 20 off 0 ",
		 td->disk->disk_name);
	KUNIT_EXPECT_PTR_EQ(test, strstr(line, want), &line[0]);
	KUNIT_EXPECT_EQ(test, copy_offload_format(co, cut, sizeof(cut)), 19);
}

static void obeys_a_line(struct kunit *test)
{
	char line[DISK_NAME_LEN + 8];

	offload_setup(test);
	snprintf(line, sizeof(line), "%s off\n", td->disk->disk_name);
	KUNIT_EXPECT_EQ(test, copy_offload_command(line), 0);
	KUNIT_EXPECT_TRUE(test, co->off);
	snprintf(line, sizeof(line), "%s auto", td->disk->disk_name);
	KUNIT_EXPECT_EQ(test, copy_offload_command(line), 0);
	KUNIT_EXPECT_FALSE(test, co->off);
	snprintf(line, sizeof(line), "%s on", td->disk->disk_name);
	KUNIT_EXPECT_EQ(test, copy_offload_command(line), -EINVAL);
	snprintf(line, sizeof(line), "%s", td->disk->disk_name);
	KUNIT_EXPECT_EQ(test, copy_offload_command(line), -EINVAL);
	strscpy(line, "none off", sizeof(line));
	KUNIT_EXPECT_EQ(test, copy_offload_command(line), -ENODEV);
}

static struct kunit_case offload_cases[] = {
	KUNIT_CASE(limits_fit_each_other),
	KUNIT_CASE(disk_is_asked_once),
	KUNIT_CASE(says_why_not),
	KUNIT_CASE(partitions_begin_somewhere),
	KUNIT_CASE(long_ranges_are_cut),
	KUNIT_CASE(looks_again_before_it_issues),
	KUNIT_CASE(gives_up_after_failures),
	KUNIT_CASE(failures_at_once_are_one),
	KUNIT_CASE(interruptions_count_a_little),
	KUNIT_CASE(refusals_do_not_count),
	KUNIT_CASE(one_copy_probes),
	KUNIT_CASE(gives_up_after_time_outs),
	KUNIT_CASE(late_success_is_a_time_out),
	KUNIT_CASE(slow_disk_holds_up_no_other),
	KUNIT_CASE(tells_in_one_line),
	KUNIT_CASE(obeys_a_line),
	{}
};

static struct kunit_suite offload_suite = {
	.name = "copy-offload",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = offload_exit,
	.test_cases = offload_cases,
};

kunit_test_suite(offload_suite);
