// SPDX-License-Identifier: GPL-2.0-only
/*
 * Merging: what is copied back and in which order things become durable, what waits meanwhile, to
 * whom a merge gives way, and what an error leaves.
 */
#include "kunit-lib.h"

static u64 merge_ns(void);
static void merge_event(void);
static void merge_urgent(int change);

#define ktime_get_ns()				merge_ns()
#define dm_table_event(table)			merge_event()
#define dm_kcopyd_mq_client_urgent_get(kc)	merge_urgent(1)
#define dm_kcopyd_mq_client_urgent_put(kc)	merge_urgent(-1)

#include "dm-snap-merge.c"

#undef ktime_get_ns
#undef dm_table_event
#undef dm_kcopyd_mq_client_urgent_get
#undef dm_kcopyd_mq_client_urgent_put

#define SECTORS		2048
#define CHUNK		8
/* Chunks of the smallest batch, and ns between two of them while others do I/O all the time. */
#define STEP		8
#define TRICKLE_NS	(25 * NSEC_PER_MSEC)

/**
 * struct merge_test - a snapshot that is merged, and is in no table
 * @origin: its devices
 * @cow:    likewise
 * @ks:     the snapshot
 * @merge:  its merge
 * @ns:     the time, if it stands still
 * @stands: it does
 * @events: raised by the merge
 * @failed: what the merge said of itself when it raised the last one
 * @urgent: how many want its copies at once
 * @hurries: how often somebody has wanted that
 */
struct merge_test {
	struct test_disk *origin;
	struct test_disk *cow;
	struct ku_snap *ks;
	struct snap_merge *merge;
	u64 ns;
	bool stands;
	atomic_t events;
	bool failed;
	atomic_t urgent;
	atomic_t hurries;
};

static struct merge_test mt;

static u64 merge_ns(void)
{
	return READ_ONCE(mt.stands) ? READ_ONCE(mt.ns) : ktime_get_ns();
}

/* Other suites' merges raise some, too. */
static void merge_event(void)
{
	if (!mt.merge)
		return;
	WRITE_ONCE(mt.failed, snap_merge_failed(mt.merge));
	atomic_inc(&mt.events);
}

static void merge_urgent(int change)
{
	atomic_add(change, &mt.urgent);
	if (change > 0)
		atomic_inc(&mt.hurries);
}

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
static void merge_setup_chunks(struct kunit *test, unsigned int nr, unsigned int chunk)
{
	struct ku_bio *kb;
	unsigned int i;

	mt.origin = ku_disk(test, SECTORS, 0);
	mt.cow = ku_disk(test, SECTORS, 0);
	ku_disk_fill(mt.origin, 0, SECTORS, 0xee);
	mt.ks = ku_snap_persistent(test, mt.origin, mt.cow, chunk);
	for (i = 0; i < nr; i++) {
		kb = ku_bio(test, mt.cow, REQ_OP_WRITE, 2 * i * chunk, chunk, i + 1);
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
	mt.merge = snap_merge_create(mt.cow->bdev, mt.origin->bdev);
	KUNIT_ASSERT_NOT_NULL(test, mt.merge);
}

static void merge_setup(struct kunit *test, unsigned int nr)
{
	merge_setup_chunks(test, nr, CHUNK);
}

static bool is_over(void)
{
	bool over;

	spin_lock_irq(&mt.merge->lock);
	over = !mt.merge->wanted;
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
	/* Who is waited for inherits the waiter's urgency. */
	KUNIT_EXPECT_EQ(test, atomic_read(&mt.urgent), 1);
	test_disk_release(mt.origin);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(waits));
	KUNIT_EXPECT_EQ(test, waits->status, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 2 * CHUNK, CHUNK, 0x55));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_EQ(test, snap_log_slots(snap()->log), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&mt.urgent), 0);
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
		KUNIT_EXPECT_TRUE(test, snap_merge_is_written(mt.merge, c->sector / CHUNK, 1));
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
	KUNIT_EXPECT_FALSE(test, snap()->pending_refs.draining);
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

static unsigned int slots(void)
{
	return snap_log_slots(snap()->log);
}

/* An event each time that a merge ends by itself, and then its status tells. */
static void tells_of_its_end(struct kunit *test)
{
	merge_setup(test, 4);
	test_disk_fail(mt.origin, OP_BIT(REQ_OP_WRITE), 2 * CHUNK, 1, BLK_STS_IOERR);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(atomic_read(&mt.events) == 1));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(mt.failed));

	/* It has been stopped, and has not ended: nothing has happened. */
	test_disk_heal(mt.origin);
	snap_merge_pause(mt.merge);
	snap_merge_start(mt.merge, snap());
	snap_merge_stop(mt.merge);
	snap_merge_unpause(mt.merge);
	KUNIT_EXPECT_EQ(test, slots(), 4);
	KUNIT_EXPECT_EQ(test, atomic_read(&mt.events), 1);

	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(atomic_read(&mt.events) == 2));
	KUNIT_EXPECT_FALSE(test, READ_ONCE(mt.failed));
	KUNIT_EXPECT_EQ(test, slots(), 0);

	/* There is nothing left, for one who waits now. */
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(atomic_read(&mt.events) == 3));
	KUNIT_EXPECT_FALSE(test, READ_ONCE(mt.failed));
}

/* The next batch is under way, of which this many chunks are read from the COW device. */
static bool has_begun(unsigned int chunks)
{
	return test_disk_pending(mt.cow) == chunks;
}

/* Batches grow as long as nobody else does I/O, and become small when somebody has. */
static void batches_grow_in_a_pause(struct kunit *test)
{
	static const unsigned int sizes[] = { STEP, 2 * STEP, 4 * STEP, STEP };
	unsigned int i;

	merge_setup(test, 100);
	mt.stands = true;
	mt.ns = NSEC_PER_SEC;
	test_disk_set(mt.cow, TEST_DISK_TASK, 0, 0);
	test_disk_hold(mt.cow);
	snap_merge_start(mt.merge, snap());
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_ASSERT_TRUE_MSG(test, ku_wait_until(has_begun(sizes[i])), "batch %u: %u", i,
				      test_disk_pending(mt.cow));
		/* A bio comes and goes. */
		if (i == 2) {
			snap_merge_bio_begins(mt.merge);
			snap_merge_bio_ends(mt.merge);
		}
		test_disk_end_oldest(mt.cow, sizes[i]);
		/* The write that clears its exceptions. */
		KUNIT_ASSERT_TRUE(test, ku_wait_until(has_begun(1)));
		test_disk_end_oldest(mt.cow, 1);
	}
	/* It takes long: the next ones are no larger, though nobody does anything any more. */
	WRITE_ONCE(mt.ns, mt.ns + SNAP_MERGE_CALM);
	test_disk_release(mt.cow);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	expect_merged(test, 100);
}

/* While a bio of somebody else is under way nothing begins but a small batch now and then. */
static void gives_way(struct kunit *test)
{
	unsigned int left, hurries;

	merge_setup(test, 3 * STEP + 2);
	mt.stands = true;
	mt.ns = NSEC_PER_SEC;
	snap_merge_pause(mt.merge);
	snap_merge_start(mt.merge, snap());
	snap_merge_bio_begins(mt.merge);
	snap_merge_unpause(mt.merge);
	ku_pause();
	KUNIT_EXPECT_EQ(test, slots(), 3 * STEP + 2);
	WRITE_ONCE(mt.ns, mt.ns + SNAP_MERGE_CALM - 1);
	ku_pause();
	KUNIT_EXPECT_EQ(test, slots(), 3 * STEP + 2);
	hurries = atomic_read(&mt.hurries);

	/* A second makes as much as it has to, and no more; interrupted or not. */
	WRITE_ONCE(mt.ns, mt.ns + 1);
	for (left = 2 * STEP + 2; ; left -= STEP) {
		KUNIT_ASSERT_TRUE(test, ku_wait_until(slots() == left));
		ku_pause();
		KUNIT_EXPECT_EQ(test, slots(), left);
		if (left < STEP)
			break;
		WRITE_ONCE(mt.ns, mt.ns + TRICKLE_NS);
	}
	/* Others may have no CPU idle, and it makes as much all the same. */
	KUNIT_EXPECT_EQ(test, atomic_read(&mt.hurries), hurries + 3);
	/* Suspending waits for no timer, and a pause lets it go on. */
	snap_merge_pause(mt.merge);
	snap_merge_bio_ends(mt.merge);
	snap_merge_unpause(mt.merge);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	expect_merged(test, 3 * STEP + 2);
}

static const struct snap_disk_exception *on_disk(unsigned int slot)
{
	unsigned int shift = snap()->store.area_shift;
	u64 sector = snap_area_chunk(shift, slot >> shift) << snap()->store.chunk_shift;

	return (const void *)(mt.cow->store + (sector << SECTOR_SHIFT) +
			      (slot & (BIT(shift) - 1)) * sizeof(struct snap_disk_exception));
}

/* Where a block is an area a batch may have several, and one write ends the list before them. */
static void batch_of_several_areas(struct kunit *test)
{
	/* Three areas of 32, and a part of one. */
	unsigned int nr = 100, batch = SNAP_MERGE_STEP, i;

	merge_setup_chunks(test, nr, 1);
	test_disk_set(mt.origin, TEST_DISK_TASK, 0, 0);
	test_disk_hold(mt.origin);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(mt.origin) == batch));
	KUNIT_EXPECT_NE(test, (u64)le64_to_cpu(on_disk(nr - 1)->new), 0ULL);
	test_disk_end_oldest(mt.origin, batch);
	/* The next batch is all that is left; of it nothing has been cleared. */
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(mt.origin) == nr - batch));
	KUNIT_EXPECT_EQ(test, slots(), nr - batch);
	KUNIT_EXPECT_NE(test, (u64)le64_to_cpu(on_disk(nr - batch - 1)->new), 0ULL);
	/* To the end of its area there are zeroes, for stock, which keeps what is there. */
	for (i = nr - batch; i & 31; i++) {
		KUNIT_EXPECT_EQ(test, (u64)le64_to_cpu(on_disk(i)->old), 0ULL);
		KUNIT_EXPECT_EQ(test, (u64)le64_to_cpu(on_disk(i)->new), 0ULL);
	}
	test_disk_release(mt.origin);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 2 * i, 1, i + 1));
	KUNIT_EXPECT_EQ(test, slots(), 0);
	KUNIT_EXPECT_EQ(test, (u64)le64_to_cpu(on_disk(0)->new), 0ULL);
}

/*
 * Nobody knows what is on disk of a batch of several areas, and in fact it is gone: all of it is
 * merged again, not only as much as the first batch would have, whose chunks come last.
 */
static void unsure_batch_is_merged_again(struct kunit *test)
{
	unsigned int nr = 100, batch = SNAP_MERGE_STEP, left = nr - batch, i;

	merge_setup_chunks(test, nr, 1);
	test_disk_fail(mt.cow, OP_BIT(REQ_OP_WRITE), snap_area_chunk(5, left / 32), 1,
		       BLK_STS_IOERR);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_TRUE(test, snap_merge_unsure(mt.merge));
	KUNIT_EXPECT_EQ(test, slots(), nr);
	memset((void *)on_disk(left), 0, (32 - left % 32) * sizeof(*on_disk(0)));
	test_disk_heal(mt.cow);

	test_disk_set(mt.origin, TEST_DISK_TASK, 0, 0);
	test_disk_hold(mt.origin);
	mt.stands = true;
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(mt.origin) == batch));
	test_disk_end_oldest(mt.origin, batch);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(mt.origin) == left));
	KUNIT_EXPECT_FALSE(test, snap_merge_unsure(mt.merge));
	KUNIT_EXPECT_EQ(test, slots(), left);
	test_disk_release(mt.origin);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_FALSE(test, snap_merge_failed(mt.merge));
	KUNIT_EXPECT_EQ(test, slots(), 0);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 2 * i, 1, i + 1));
}

struct merge_restored {
	unsigned int chunk, nr;
};

/* One batch is of several areas, the other one of a part of a block. */
static const struct merge_restored merge_restoreds[] = {
	{ .chunk = 1, .nr = 100 }, { .chunk = CHUNK, .nr = 2 * STEP },
};

static void merge_restored_desc(const struct merge_restored *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u chunks of %u", c->nr, c->chunk);
}

KUNIT_ARRAY_PARAM(merge_restored, merge_restoreds, merge_restored_desc);

/*
 * Clearing exceptions reported an error and arrived all the same, and the snapshot goes on without
 * being merged: what is in memory is on disk again, and the list grows.
 */
static void unsure_list_is_restored(struct kunit *test)
{
	const struct merge_restored *c = test->param_value;
	unsigned int left = c->nr - max_t(unsigned int, SNAP_MERGE_STEP / c->chunk, 1), shift, i;
	struct snap_disk_exception *before;
	struct ku_bio *kb;

	merge_setup_chunks(test, c->nr, c->chunk);
	shift = snap()->store.area_shift;
	before = kunit_kcalloc(test, c->nr, sizeof(*before), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, before);
	for (i = 0; i < c->nr; i++)
		before[i] = *on_disk(i);
	test_disk_fail(mt.cow, OP_BIT(REQ_OP_WRITE),
		       snap_area_chunk(shift, left >> shift) * c->chunk, 1, BLK_STS_IOERR);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_ASSERT_TRUE(test, snap_merge_unsure(mt.merge));
	for (i = left; i < c->nr && i >> shift == left >> shift; i++)
		memset((void *)on_disk(i), 0, sizeof(*before));

	/* It still cannot be written, and stays unsure. */
	KUNIT_EXPECT_EQ(test, snap_merge_restore(mt.merge), -EIO);
	KUNIT_EXPECT_EQ(test, snap_merge_restore(mt.merge), -EIO);
	KUNIT_EXPECT_TRUE(test, snap_merge_unsure(mt.merge));
	test_disk_heal(mt.cow);
	KUNIT_EXPECT_EQ(test, snap_merge_restore(mt.merge), 0);
	KUNIT_EXPECT_FALSE(test, snap_merge_unsure(mt.merge));
	for (i = 0; i < c->nr; i++)
		KUNIT_EXPECT_EQ(test, memcmp(on_disk(i), &before[i], sizeof(*before)), 0);

	kb = ku_bio(test, mt.cow, REQ_OP_WRITE, 2 * c->nr * c->chunk, c->chunk, c->nr + 1);
	KUNIT_ASSERT_EQ(test, snap_pending_write(snap(), 2 * c->nr, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, kb->status, BLK_STS_OK);
	snap_pending_drain(snap());
	KUNIT_EXPECT_EQ(test, slots(), c->nr + 1);
	KUNIT_EXPECT_EQ(test, (u64)le64_to_cpu(on_disk(c->nr)->old), 2ULL * c->nr);

	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_FALSE(test, snap_merge_failed(mt.merge));
	KUNIT_EXPECT_EQ(test, slots(), 0);
	for (i = 0; i <= c->nr; i++)
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 2 * i * c->chunk, c->chunk,
						      i + 1));
}

/* Exceptions that are on disk no more, and have stayed in memory: no merge goes on from there. */
static void list_shorter_than_memory(struct kunit *test)
{
	merge_setup(test, 3 * STEP);
	test_disk_fail(mt.cow, OP_BIT(REQ_OP_WRITE), CHUNK, 1, BLK_STS_IOERR);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_ASSERT_TRUE(test, snap_merge_unsure(mt.merge));
	test_disk_heal(mt.cow);

	mt.merge->unsure_slots = slots() + STEP;
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_TRUE(test, snap_merge_failed(mt.merge));
	KUNIT_EXPECT_TRUE(test, snap_merge_unsure(mt.merge));
	KUNIT_EXPECT_EQ(test, slots(), 3 * STEP);
	KUNIT_EXPECT_EQ(test, snap_merge_restore(mt.merge), -EUCLEAN);
}

/* What the block of another area says cannot be read: what is known is merged all the same. */
static void earlier_block_cannot_be_read(struct kunit *test)
{
	merge_setup_chunks(test, 40, 1);
	test_disk_fail(mt.cow, OP_BIT(REQ_OP_READ), snap_area_chunk(5, 0), 1, BLK_STS_IOERR);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_TRUE(test, snap_merge_failed(mt.merge));
	KUNIT_EXPECT_EQ(test, slots(), 32);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 2 * 39, 1, 40));

	test_disk_heal(mt.cow);
	snap_merge_start(mt.merge, snap());
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_over()));
	KUNIT_EXPECT_FALSE(test, snap_merge_failed(mt.merge));
	KUNIT_EXPECT_EQ(test, slots(), 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(mt.origin, 0, 1, 1));
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
	KUNIT_CASE(tells_of_its_end),
	KUNIT_CASE(batches_grow_in_a_pause),
	KUNIT_CASE(gives_way),
	KUNIT_CASE(batch_of_several_areas),
	KUNIT_CASE(unsure_batch_is_merged_again),
	KUNIT_CASE_PARAM(unsure_list_is_restored, merge_restored_gen_params),
	KUNIT_CASE(list_shorter_than_memory),
	KUNIT_CASE(earlier_block_cannot_be_read),
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
