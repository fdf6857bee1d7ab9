// SPDX-License-Identifier: GPL-2.0-only
/*
 * Merging: what is copied back and in which order things become durable, what waits meanwhile, and
 * what an error leaves.
 */
#include "kunit-lib.h"

#include "dm-snap-merge.c"

#define SECTORS		2048
#define CHUNK		8

struct merge_test {
	struct test_disk *origin;
	struct test_disk *cow;
	struct ku_snap *ks;
	struct snap_merge *merge;
};

static struct merge_test mt;

static void merge_exit(struct kunit *test)
{
	if (mt.origin)
		ku_disk_let_go(mt.origin);
	if (mt.cow)
		ku_disk_let_go(mt.cow);
	if (mt.merge) {
		snap_merge_stop(mt.merge);
		snap_merge_destroy(mt.merge);
	}
	memset(&mt, 0, sizeof(mt));
	ku_exit(test);
}

static struct dm_snapshot *snap(void)
{
	return mt.ks->t.snap;
}

/* A snapshot with @nr chunks of its own, every other one of the origin; they hold their number. */
static void merge_setup(struct kunit *test, unsigned int nr)
{
	struct ku_bio *kb;
	unsigned int i;

	mt.origin = ku_disk(test, SECTORS, 0);
	mt.cow = ku_disk(test, SECTORS, 0);
	ku_disk_fill(mt.origin, 0, SECTORS, 0xee);
	mt.ks = ku_snap_persistent(test, mt.origin, mt.cow, CHUNK);
	for (i = 0; i < nr; i++) {
		kb = ku_bio(test, mt.cow, REQ_OP_WRITE, 2 * i * CHUNK, CHUNK, i + 1);
		KUNIT_ASSERT_EQ(test, snap_pending_write(snap(), 2 * i, &kb->bio),
				DM_MAPIO_SUBMITTED);
		KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
		KUNIT_ASSERT_EQ(test, kb->status, BLK_STS_OK);
	}
	snap_pending_drain(snap());
	KUNIT_ASSERT_EQ(test, snap_log_slots(snap()->log), nr);

	spin_lock(&snap_registry_lock);
	snap_origin_detach(snap()->origin, snap());
	spin_unlock(&snap_registry_lock);
	mt.merge = snap_merge_create();
	KUNIT_ASSERT_NOT_NULL(test, mt.merge);
}

static bool is_over(void)
{
	bool over;

	spin_lock_irq(&mt.merge->lock);
	over = !mt.merge->running;
	spin_unlock_irq(&mt.merge->lock);
	return over;
}

static void expect_merged(struct kunit *test, unsigned int nr)
{
	unsigned int i;
	u64 new;

	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 2 * i * CHUNK, CHUNK, i + 1));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, (2 * i + 1) * CHUNK, CHUNK, 0xee));
		KUNIT_EXPECT_FALSE(test, snap_exception_lookup(&snap()->exceptions, 2 * i, &new));
	}
	KUNIT_EXPECT_EQ(test, snap_log_slots(snap()->log), 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.cow, CHUNK, CHUNK, 0));
}

static void merges_all(struct kunit *test)
{
	static const unsigned int lengths[] = { 0, 1, 2, 100 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		merge_setup(test, lengths[i]);
		snap_merge_start(mt.merge, snap());
		KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
		KUNIT_EXPECT_FALSE(test, snap_merge_failed(mt.merge));
		expect_merged(test, lengths[i]);
		merge_exit(test);
		KUNIT_ASSERT_EQ(test, ku_init(test), 0);
	}
}

/* Exceptions are cleared only when all chunks of the batch are on the origin. */
static void clears_after_copying(struct kunit *test)
{
	merge_setup(test, 5);
	test_disk_set(mt.origin, TEST_DISK_TASK, 0, 0);
	test_disk_hold(mt.origin);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(mt.origin) == 5));
	test_disk_end_oldest(mt.origin, 4);
	ku_pause();
	KUNIT_EXPECT_EQ(test, snap_log_slots(snap()->log), 5);
	KUNIT_EXPECT_FALSE(test, ku_disk_holds(mt.cow, CHUNK, CHUNK, 0));
	test_disk_release(mt.origin);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	expect_merged(test, 5);
}

/*
 * A write to a chunk of the batch waits and goes to the origin; a chunk that is not is none of it.
 */
static void writes_wait_for_the_batch(struct kunit *test)
{
	struct ku_bio *waits, *other;

	merge_setup(test, 3);
	waits = ku_bio(test, mt.origin, REQ_OP_WRITE, 2 * CHUNK, CHUNK, 0x55);
	other = ku_bio(test, mt.origin, REQ_OP_WRITE, 3 * CHUNK, CHUNK, 0x66);
	test_disk_set(mt.origin, TEST_DISK_TASK, 0, 0);
	test_disk_hold(mt.origin);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(mt.origin) == 3));

	KUNIT_EXPECT_EQ(test, snap_merge_write(mt.merge, snap(), 3, &other->bio, &other->sb),
			SNAP_MERGE_TO_ORIGIN);
	KUNIT_EXPECT_EQ(test, snap_merge_write(mt.merge, snap(), 2, &waits->bio, &waits->sb),
			SNAP_MERGE_WAITS);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(waits));
	test_disk_release(mt.origin);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(waits));
	KUNIT_EXPECT_EQ(test, waits->status, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 2 * CHUNK, CHUNK, 0x55));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_EQ(test, snap_log_slots(snap()->log), 0);
}

struct merge_cut {
	unsigned int sector, count;
	enum snap_merge_way way;
	unsigned int expected;
};

/* Of chunks 0, 2, and 20 to 29, chunks 25 and 26 are being merged. */
static const struct merge_cut merge_cuts[] = {
	{ 0, 8, SNAP_MERGE_TO_COW, 8 },
	{ 3, 100, SNAP_MERGE_TO_COW, 5 },
	{ 9, 100, SNAP_MERGE_TO_ORIGIN, 7 },
	{ 24, 1000, SNAP_MERGE_TO_ORIGIN, 136 },
	{ 161, 30, SNAP_MERGE_TO_COW, 30 },
	{ 161, 79, SNAP_MERGE_TO_COW, 39 },
	{ 201, 3, SNAP_MERGE_WAITS, 3 },
	{ 201, 14, SNAP_MERGE_WAITS, 14 },
	{ 201, 39, SNAP_MERGE_WAITS, 15 },
	{ 208, 32, SNAP_MERGE_WAITS, 8 },
	{ 216, 24, SNAP_MERGE_TO_COW, 24 },
	{ 217, 100, SNAP_MERGE_TO_COW, 23 },
};

static void merge_cut_desc(const struct merge_cut *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u sectors at %u", c->count, c->sector);
}

KUNIT_ARRAY_PARAM(merge_cut, merge_cuts, merge_cut_desc);

/* A write goes on alone where its chunks are elsewhere, or are being merged. */
static void writes_are_cut(struct kunit *test)
{
	static const struct snap_merge_chunk batch[] = {
		{ .old = 25, .new = 998 }, { .old = 26, .new = 999 },
	};
	const struct merge_cut *c = test->param_value;
	struct ku_bio *kb;
	struct bio_list bios;

	merge_setup(test, 2);
	kb = ku_bio(test, mt.cow, REQ_OP_WRITE, 20 * CHUNK, 10 * CHUNK, 0x77);
	KUNIT_ASSERT_EQ(test, snap_pending_write(snap(), 20, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	snap_pending_drain(snap());
	mt.merge->snap = snap();
	snap_merge_publish(mt.merge, batch, ARRAY_SIZE(batch));

	kb = ku_bio(test, mt.origin, REQ_OP_WRITE, c->sector, c->count, 0x55);
	KUNIT_EXPECT_EQ(test, snap_merge_write(mt.merge, snap(), c->sector / CHUNK, &kb->bio,
					       &kb->sb), c->way);
	KUNIT_EXPECT_EQ(test, bio_sectors(&kb->bio), c->expected);
	KUNIT_EXPECT_EQ(test, kb->sb.nr, c->way != SNAP_MERGE_TO_COW ? 0 :
			DIV_ROUND_UP(c->sector % CHUNK + c->expected, CHUNK));
	if (kb->sb.nr) {
		KUNIT_EXPECT_TRUE(test, snap_merge_is_written(mt.merge, c->sector / CHUNK));
		snap_read_done(snap(), &kb->sb);
	}
	snap_merge_unpublish(mt.merge, &bios, false);
	KUNIT_EXPECT_EQ(test, bio_list_size(&bios), c->way == SNAP_MERGE_WAITS);
}

/* A chunk is not copied as long as a write to its copy is under way. */
static void waits_for_writes_under_way(struct kunit *test)
{
	struct ku_bio *kb;

	merge_setup(test, 3);
	kb = ku_bio(test, mt.cow, REQ_OP_WRITE, 2 * CHUNK, CHUNK, 0x55);
	mt.merge->snap = snap();
	KUNIT_ASSERT_EQ(test, snap_merge_write(mt.merge, snap(), 2, &kb->bio, &kb->sb),
			SNAP_MERGE_TO_COW);
	KUNIT_EXPECT_EQ(test, kb->sb.nr, 1);
	snap_merge_start(mt.merge, snap());
	ku_pause();
	KUNIT_EXPECT_FALSE(test, is_over());
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 0, SECTORS, 0xee));

	submit_bio(&kb->bio);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	snap_read_done(snap(), &kb->sb);
	snap_merge_write_done(mt.merge);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 2 * CHUNK, CHUNK, 0x55));
}

/* The origin cannot be written: everything stays as it was, and merging can be tried again. */
static void copy_fails(struct kunit *test)
{
	struct ku_bio *kb;
	u64 new;

	merge_setup(test, 4);
	test_disk_fail(mt.origin, OP_BIT(REQ_OP_WRITE), 2 * CHUNK, 1, BLK_STS_IOERR);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_TRUE(test, snap_merge_failed(mt.merge));
	KUNIT_EXPECT_FALSE(test, snap_merge_unsure(mt.merge));
	KUNIT_EXPECT_EQ(test, snap_log_slots(snap()->log), 4);
	KUNIT_EXPECT_TRUE(test, snap_exception_lookup(&snap()->exceptions, 2, &new));
	kb = ku_bio(test, mt.cow, REQ_OP_WRITE, 2 * CHUNK, CHUNK, 0x55);
	KUNIT_EXPECT_EQ(test, snap_merge_write(mt.merge, snap(), 2, &kb->bio, &kb->sb),
			SNAP_MERGE_TO_COW);
	snap_read_done(snap(), &kb->sb);

	test_disk_heal(mt.origin);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_FALSE(test, snap_merge_failed(mt.merge));
	expect_merged(test, 4);
}

/* Nobody knows whether exceptions were cleared: what is written there could be lost. */
static void clearing_fails(struct kunit *test)
{
	struct ku_bio *kb;

	merge_setup(test, 4);
	test_disk_fail(mt.cow, OP_BIT(REQ_OP_WRITE), CHUNK, 1, BLK_STS_IOERR);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_TRUE(test, snap_merge_failed(mt.merge));
	KUNIT_EXPECT_TRUE(test, snap_merge_unsure(mt.merge));
	kb = ku_bio(test, mt.cow, REQ_OP_WRITE, 2 * CHUNK, CHUNK, 0x55);
	KUNIT_EXPECT_EQ(test, snap_merge_write(mt.merge, snap(), 2, &kb->bio, &kb->sb),
			SNAP_MERGE_FAILS);

	/* The next attempt ends before it gets there, and so knows no more. */
	test_disk_heal(mt.cow);
	test_disk_fail(mt.origin, OP_BIT(REQ_OP_WRITE), 2 * CHUNK, 1, BLK_STS_IOERR);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_TRUE(test, snap_merge_failed(mt.merge));
	KUNIT_ASSERT_TRUE(test, snap_merge_unsure(mt.merge));
	KUNIT_EXPECT_EQ(test, snap_merge_write(mt.merge, snap(), 2, &kb->bio, &kb->sb),
			SNAP_MERGE_FAILS);

	/* Writes wait while it is merged once more. */
	test_disk_heal(mt.origin);
	test_disk_set(mt.origin, TEST_DISK_TASK, 0, 0);
	test_disk_hold(mt.origin);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(mt.origin) == 4));
	kb = ku_bio(test, mt.origin, REQ_OP_WRITE, 2 * CHUNK, CHUNK, 2);
	KUNIT_ASSERT_EQ(test, snap_merge_write(mt.merge, snap(), 2, &kb->bio, &kb->sb),
			SNAP_MERGE_WAITS);
	test_disk_release(mt.origin);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, kb->status, BLK_STS_OK);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_FALSE(test, snap_merge_unsure(mt.merge));
	expect_merged(test, 4);
}

/* A merge begins without them; when they have gone new ones can be made. */
static void knows_of_pending_exceptions(struct kunit *test)
{
	struct rb_root *pending;
	struct rb_node node;

	merge_setup(test, 2);
	pending = &snap()->buckets[snap()->bucket_mask].pending;
	KUNIT_EXPECT_TRUE(test, snap_pending_none(snap()));
	rb_link_node(&node, NULL, &pending->rb_node);
	rb_insert_color(&node, pending);
	KUNIT_EXPECT_FALSE(test, snap_pending_none(snap()));
	rb_erase(&node, pending);
	snap_pending_drain(snap());
	KUNIT_EXPECT_FALSE(test, percpu_ref_is_dying(&snap()->pending_refs));
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	expect_merged(test, 2);
}

static void pauses_overlap(struct kunit *test)
{
	merge_setup(test, 4);
	snap_merge_pause(mt.merge);
	snap_merge_pause(mt.merge);
	snap_merge_start(mt.merge, snap());
	snap_merge_unpause(mt.merge);
	ku_pause();
	KUNIT_EXPECT_EQ(test, snap_log_slots(snap()->log), 4);
	snap_merge_unpause(mt.merge);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	expect_merged(test, 4);
}

static struct kunit_case merge_cases[] = {
	KUNIT_CASE(merges_all),
	KUNIT_CASE(clears_after_copying),
	KUNIT_CASE(writes_wait_for_the_batch),
	KUNIT_CASE_PARAM(writes_are_cut, merge_cut_gen_params),
	KUNIT_CASE(waits_for_writes_under_way),
	KUNIT_CASE(copy_fails),
	KUNIT_CASE(clearing_fails),
	KUNIT_CASE(knows_of_pending_exceptions),
	KUNIT_CASE(pauses_overlap),
	{}
};

static struct kunit_suite merge_suite = {
	.name = "dm-snap-merge",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = merge_exit,
	.test_cases = merge_cases,
};

kunit_test_suite(merge_suite);
