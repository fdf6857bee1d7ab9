// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bios of a clone: what they fill, which way they take, and what they wait for.
 */
#include "kunit-region.h"

/*
 * Writers that fill.
 */

static void part_of_a_region_is_copied_first(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	test_disk_hold(f->source);
	rb = kr_write(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, kr_soon(test_disk_pending(f->source) == 1));
	KUNIT_EXPECT_TRUE(test, kr_is_busy(f, 5));
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_EQ(test, kr_counters(f).filled, 1L);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 0U);
	test_disk_release(f->source);
	kr_expect_ended(test, rb, BLK_STS_OK);

	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 0, 5 * REGION, 'd'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 2, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 2, 3, 'w'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 5, 3, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 6 * REGION, REGION, 'd'));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 1U);
	KUNIT_EXPECT_EQ(test, f->source->records[0].count, REGION);

	/* There is nothing to copy the next time. */
	rb = kr_write(test, f, 5 * REGION, 1, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 1U);
}

static void last_region_is_short(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	rb = kr_write(test, f, SIZE - 1, 1, DM_MAPIO_SUBMITTED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, REGIONS - 1));
	KUNIT_EXPECT_EQ(test, f->source->records[0].count, 5U);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, SIZE - 5, 4, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, SIZE - 1, 1, 'w'));

	/* Five sectors are all of it. */
	kr_forget(f, REGIONS - 1);
	rb = kr_write(test, f, SIZE - 5, 5, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, REGIONS - 1));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 1U);
}

struct failing {
	const char *name;
	bool source;
	bool dest;
	bool read_only;	/* meanwhile */
};

static const struct failing failings[] = {
	{ "source", true, false, false },
	{ "destination", false, true, false },
	{ "metadata", false, false, true },
};

static void failing_desc(const struct failing *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(failing, failings, failing_desc);

static void copy_fails(struct kunit *test)
{
	const struct failing *c = test->param_value;
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb, *waiter;

	if (c->source)
		test_disk_fail(f->source, READS, 5 * REGION + 7, 1, BLK_STS_MEDIUM);
	if (c->dest)
		test_disk_fail(f->dest, WRITES, 5 * REGION + 7, 1, BLK_STS_MEDIUM);
	test_disk_hold(f->source);
	rb = kr_write(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	waiter = kr_write(test, f, 5 * REGION + 3, 1, DM_MAPIO_SUBMITTED);
	if (c->read_only)
		f->clone.mode = CLONE_READ_ONLY;
	test_disk_set(f->source, TEST_DISK_TASK, 0, 0);
	test_disk_release(f->source);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	kr_expect_ended(test, waiter, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 5));
	KUNIT_EXPECT_FALSE(test, ku_disk_holds(f->dest, 5 * REGION + 2, 1, 'w'));

	/* Nothing is lost by that. */
	f->clone.mode = CLONE_WRITE;
	test_disk_heal(f->source);
	test_disk_heal(f->dest);
	rb = kr_write(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 5, 3, 's'));
}

static void whole_region_needs_no_copy(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb, *waiter;

	test_disk_hold(f->dest);
	rb = kr_write(test, f, 5 * REGION, REGION, DM_MAPIO_REMAPPED);
	waiter = kr_write(test, f, 5 * REGION + 1, 1, DM_MAPIO_SUBMITTED);
	ku_pause();
	KUNIT_EXPECT_EQ(test, test_disk_pending(f->dest), 1U);
	KUNIT_EXPECT_TRUE(test, kr_is_busy(f, 5));
	/* Until it has ended a read finds what was there before. */
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_EQ(test, kr_counters(f).filled, 1L);
	KUNIT_EXPECT_FALSE(test, kr_has_ended(waiter));

	test_disk_release(f->dest);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
	kr_expect_ended(test, waiter, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 0U);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, REGION, 'w'));
}

/* A write of several whole regions is one bio; whoever waits for one of them goes on at its end. */
static void whole_regions_are_one_write(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb, *waiter, *next;
	unsigned long i;

	kr_claim(test, f, 8);
	test_disk_hold(f->dest);
	rb = kr_write(test, f, 5 * REGION, 6 * REGION, DM_MAPIO_REMAPPED);
	/* What somebody else fills is not the bio's. */
	KUNIT_EXPECT_EQ(test, bio_sectors(&rb->kb->bio), 3 * REGION);
	waiter = kr_write(test, f, 6 * REGION + 1, 1, DM_MAPIO_SUBMITTED);
	next = kr_write(test, f, 7 * REGION, 2 * REGION, DM_MAPIO_SUBMITTED);
	ku_pause();
	KUNIT_EXPECT_EQ(test, test_disk_pending(f->dest), 1U);
	KUNIT_EXPECT_EQ(test, kr_counters(f).filled, 4L);
	for (i = 5; i < 9; i++) {
		KUNIT_EXPECT_TRUE(test, kr_is_busy(f, i));
		KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, i));
	}
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 9));

	test_disk_release(f->dest);
	kr_expect_ended(test, rb, BLK_STS_OK);
	kr_expect_ended(test, waiter, BLK_STS_OK);
	kr_expect_ended(test, next, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, bio_sectors(&next->kb->bio), REGION);
	for (i = 5; i < 8; i++)
		KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, i));
	clone_region_filled(&f->clone, 8, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 0U);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 3 * REGION, 'w'));
}

/* None of them is hydrated if the write fails, or nobody may be told; each may be filled again. */
static void whole_regions_fail_together(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb, *waiter;
	unsigned long i;

	test_disk_hold(f->dest);
	test_disk_fail(f->dest, WRITES, 5 * REGION, 1, BLK_STS_MEDIUM);
	rb = kr_write(test, f, 5 * REGION, 3 * REGION, DM_MAPIO_REMAPPED);
	waiter = kr_write(test, f, 6 * REGION + 1, 1, DM_MAPIO_SUBMITTED);
	test_disk_release(f->dest);
	kr_expect_ended(test, rb, BLK_STS_MEDIUM);
	/* It copies its region itself, which has no bad sector. */
	kr_expect_ended(test, waiter, BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 6));
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 7));

	test_disk_hold(f->dest);
	rb = kr_write(test, f, 10 * REGION, 3 * REGION, DM_MAPIO_REMAPPED);
	f->clone.mode = CLONE_READ_ONLY;
	test_disk_release(f->dest);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	kr_expect_ended(test, kr_write(test, f, 20 * REGION, 3 * REGION, DM_MAPIO_KILL),
			BLK_STS_IOERR);
	for (i = 0; i < REGIONS; i++)
		KUNIT_EXPECT_FALSE(test, kr_is_busy(f, i) || (i != 6 && kr_is_hydrated(f, i)));
}

static void whole_region_fails(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb, *waiter;

	test_disk_hold(f->dest);
	test_disk_fail(f->dest, WRITES, 5 * REGION, 1, BLK_STS_MEDIUM);
	rb = kr_write(test, f, 5 * REGION, REGION, DM_MAPIO_REMAPPED);
	waiter = kr_write(test, f, 5 * REGION + 1, 1, DM_MAPIO_SUBMITTED);
	test_disk_release(f->dest);
	kr_expect_ended(test, rb, BLK_STS_MEDIUM);
	/* It copies the region itself, and fails by itself. */
	kr_expect_ended(test, waiter, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 1U);

	/* The data are there, but nobody will know. */
	test_disk_hold(f->dest);
	rb = kr_write(test, f, 6 * REGION, REGION, DM_MAPIO_REMAPPED);
	f->clone.mode = CLONE_READ_ONLY;
	test_disk_release(f->dest);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 6));
}

static void nothing_is_filled_read_only(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	kr_hydrate(f, 6);
	f->clone.mode = CLONE_READ_ONLY;
	kr_expect_ended(test, kr_write(test, f, 5 * REGION, 1, DM_MAPIO_KILL), BLK_STS_IOERR);
	kr_expect_ended(test, kr_write(test, f, 5 * REGION, REGION, DM_MAPIO_KILL), BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
	kr_expect_ended(test, kr_write(test, f, 6 * REGION, 1, DM_MAPIO_REMAPPED), BLK_STS_OK);
	rb = kr_mapped(test, f, REQ_OP_READ, 5 * REGION, 1, 0, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, rb->kb->data[0], 's');
	KUNIT_EXPECT_EQ(test, kr_counters(f).bios.begun, 4UL);

	/* And nothing at all when it is not known what is where. */
	f->clone.mode = CLONE_FAIL;
	kr_expect_ended(test, kr_write(test, f, 6 * REGION, 1, DM_MAPIO_KILL), BLK_STS_IOERR);
	rb = kr_mapped(test, f, REQ_OP_READ, 5 * REGION, 1, 0, DM_MAPIO_KILL);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	rb = kr_mapped(test, f, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0, DM_MAPIO_KILL);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
}

/*
 * Which way a bio takes, and where it is cut.
 */

static void reads_never_wait(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	kr_claim(test, f, 5);
	rb = kr_mapped(test, f, REQ_OP_READ, 5 * REGION + 1, 2, 0, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, rb->kb->data[0], 's');
	clone_region_filled(&f->clone, 5, BLK_STS_OK);
	rb = kr_mapped(test, f, REQ_OP_READ, 5 * REGION + 1, 2, 0, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, rb->kb->data[0], 'd');
}

/* Regions 4 to 6 and 9 are hydrated. */
struct way {
	blk_opf_t op;
	sector_t sector;
	unsigned int count;
	unsigned int left;	/* sectors that it has when it was mapped */
	bool dest;
};

static const struct way ways[] = {
	{ REQ_OP_READ, 0, 24, 24, false },
	{ REQ_OP_READ, 3, 29, 29, false },
	{ REQ_OP_READ, 3, 30, 29, false },
	{ REQ_OP_READ, 3, 40, 29, false },
	{ REQ_OP_READ, 33, 23, 23, true },
	{ REQ_OP_READ, 33, 30, 23, true },
	{ REQ_OP_READ, 55, 2, 1, true },
	{ REQ_OP_READ, 56, 24, 16, false },
	{ REQ_OP_READ, 72, 16, 8, true },
	{ REQ_OP_READ, SIZE - 13, 13, 13, false },
	{ REQ_OP_WRITE, 33, 23, 23, true },
	{ REQ_OP_WRITE, 33, 30, 30, true },
	{ REQ_OP_WRITE, 8, 24, 24, true },
	{ REQ_OP_WRITE, 8, 20, 20, true },
	{ REQ_OP_WRITE, 9, 23, 23, true },
	{ REQ_OP_WRITE, 16, 60, 60, true },
	{ REQ_OP_WRITE, 24, 32, 32, true },
	{ REQ_OP_WRITE, 60, 10, 10, true },
	{ REQ_OP_WRITE, SIZE - 13, 13, 13, true },
	{ REQ_OP_WRITE, SIZE - 13, 12, 12, true },
	{ REQ_OP_WRITE | REQ_FUA, 33, 20, 20, true },
	{ REQ_OP_WRITE | REQ_FUA, 33, 30, 30, true },
	{ REQ_OP_WRITE | REQ_FUA, 40, 8, 8, true },
	{ REQ_OP_WRITE | REQ_FUA, 8, 24, 24, true },
};

static void way_desc(const struct way *w, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s%s of %u from %llu",
		 op_is_write(w->op) ? "write" : "read", w->op & REQ_FUA ? " with FUA" : "",
		 w->count, (unsigned long long)w->sector);
}

KUNIT_ARRAY_PARAM(way, ways, way_desc);

static void goes_on_as_far_as_it_may(struct kunit *test)
{
	const struct way *w = test->param_value;
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;
	struct bio *bio;
	int r;

	kr_hydrate(f, 4);
	kr_hydrate(f, 5);
	kr_hydrate(f, 6);
	kr_hydrate(f, 9);
	kr_commit(test, f);
	rb = kr_bio(test, f, w->op, w->sector, w->count, 'w');
	bio = &rb->kb->bio;
	atomic_set(&rb->ends, 0);
	r = kr_map(f, rb);
	KUNIT_EXPECT_TRUE(test, r == DM_MAPIO_REMAPPED || r == DM_MAPIO_SUBMITTED);
	if (w->op & REQ_FUA && (w->sector < 32 || w->sector + w->count > 56)) {
		KUNIT_ASSERT_TRUE(test, kr_soon(kr_commits(f) == 1));
		kr_commit_ended(f, BLK_STS_OK);
	}
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, bio_sectors(bio), w->left);
	KUNIT_EXPECT_EQ(test, bio->bi_iter.bi_sector, w->sector);
	KUNIT_EXPECT_PTR_EQ(test, bio->bi_bdev, w->dest ? f->dest->bdev : f->source->bdev);
	if (op_is_write(w->op))
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, w->sector, w->left, 'w'));
}

/*
 * Discards.
 */

struct discard {
	sector_t sector;
	unsigned int count;
	unsigned long first;	/* region that is hydrated by it, to before the last one */
	unsigned long last;
};

static const struct discard discards[] = {
	{ 0, SIZE, 0, REGIONS }, { 8, 8, 1, 2 }, { 3, 20, 1, 2 }, { 8, 25, 1, 4 },
	{ 9, 14, 0, 0 }, { 8, 7, 0, 0 }, { 9, 7, 0, 0 }, { 9, 1, 0, 0 },
	{ SIZE - 5, 5, REGIONS - 1, REGIONS }, { SIZE - 9, 9, REGIONS - 1, REGIONS },
	{ SIZE - 13, 12, REGIONS - 2, REGIONS - 1 }, { SIZE - 4, 4, 0, 0 },
};

static void discard_desc(const struct discard *d, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u from %llu", d->count,
		 (unsigned long long)d->sector);
}

KUNIT_ARRAY_PARAM(discard, discards, discard_desc);

static struct kr_bio *discard_of(struct kunit *test, struct kr_fixture *f, sector_t sector,
				 unsigned int count, int result)
{
	struct kr_bio *rb = kr_mapped(test, f, REQ_OP_DISCARD, sector, count, 0, result);

	kr_expect_ended(test, rb, BLK_STS_OK);
	return rb;
}

static void expect_hydrated(struct kunit *test, struct kr_fixture *f, unsigned long first,
			    unsigned long last)
{
	unsigned long region;

	for (region = 0; region < f->clone.regions; region++)
		KUNIT_EXPECT_EQ_MSG(test, kr_is_hydrated(f, region),
				    region >= first && region < last, "region %lu", region);
}

static void discards_whole_regions(struct kunit *test)
{
	const struct discard *d = test->param_value;
	struct kr_fixture *f = kr_setup(test);
	bool some = d->first < d->last;
	struct kr_bio *rb;

	rb = discard_of(test, f, d->sector, d->count,
			some ? DM_MAPIO_REMAPPED : DM_MAPIO_SUBMITTED);
	expect_hydrated(test, f, d->first, d->last);
	if (some) {
		KUNIT_EXPECT_PTR_EQ(test, rb->kb->bio.bi_bdev, f->dest->bdev);
		KUNIT_EXPECT_EQ(test, rb->kb->bio.bi_iter.bi_sector, d->first * REGION);
		KUNIT_EXPECT_EQ(test, bio_end_sector(&rb->kb->bio),
				min_t(sector_t, d->last * REGION, SIZE));
	}

	bitmap_zero(f->clone.bitmap->hydrated, REGIONS);
	f->clone.passdown = false;
	discard_of(test, f, d->sector, d->count, DM_MAPIO_SUBMITTED);
	expect_hydrated(test, f, d->first, d->last);
}

/* Were it hydrated now, the next write would not wait, and the copy could overwrite it. */
static void discard_leaves_busy_regions(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *waiter;

	kr_claim(test, f, 5);
	waiter = kr_write(test, f, 5 * REGION, 1, DM_MAPIO_SUBMITTED);
	discard_of(test, f, 4 * REGION, 3 * REGION, DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 4));
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, kr_is_busy(f, 5));
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 6));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, kr_has_ended(waiter));
	clone_region_filled(&f->clone, 5, BLK_STS_OK);
	kr_expect_ended(test, waiter, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, kr_counters(f).filled, 0L);
}

static void discard_read_only(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);

	kr_hydrate(f, 4);
	f->clone.mode = CLONE_READ_ONLY;
	discard_of(test, f, 4 * REGION, 3 * REGION, DM_MAPIO_SUBMITTED);
	expect_hydrated(test, f, 4, 5);
	/* Where nothing has to be recorded it can be done. */
	discard_of(test, f, 4 * REGION, REGION, DM_MAPIO_REMAPPED);
}

/*
 * Flushes and FUA.
 */

static struct kr_bio *flush_of(struct kunit *test, struct kr_fixture *f, int result)
{
	return kr_mapped(test, f, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0, result);
}

static void flush_waits_for_a_commit(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	rb = flush_of(test, f, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_PTR_EQ(test, rb->kb->bio.bi_bdev, f->dest->bdev);

	kr_hydrate(f, 5);
	rb = flush_of(test, f, DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_PTR_EQ(test, rb->kb->bio.bi_bdev, f->dest->bdev);
	KUNIT_EXPECT_EQ(test, kr_commits(f), 1U);
	KUNIT_EXPECT_FALSE(test, kr_has_ended(rb));
	kr_commit_ended(f, BLK_STS_IOERR);
	kr_expect_ended(test, rb, BLK_STS_IOERR);

	kr_commit(test, f);
	kr_expect_ended(test, flush_of(test, f, DM_MAPIO_REMAPPED), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, kr_counters(f).bios.ended, 3UL);
}

/* The region of a durable write must be found after a crash, or the write is not. */
static void fua_waits_for_its_region(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	kr_hydrate(f, 5);
	rb = kr_mapped(test, f, REQ_OP_WRITE | REQ_FUA, 5 * REGION, 1, 'w', DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, kr_commits(f), 1U);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 0U);
	kr_commit_ended(f, BLK_STS_OK);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 1, 'w'));

	/* Others do not matter. */
	kr_commit(test, f);
	kr_hydrate(f, 6);
	rb = kr_mapped(test, f, REQ_OP_WRITE | REQ_FUA, 5 * REGION, 1, 'x', DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 1, 'x'));
}

static void fua_that_needs_a_copy(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	rb = kr_mapped(test, f, REQ_OP_WRITE | REQ_FUA, 5 * REGION, 1, 'w', DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, kr_soon(kr_commits(f) == 1));
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 5));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, REGION, 's'));
	KUNIT_EXPECT_FALSE(test, kr_has_ended(rb));
	kr_commit_ended(f, BLK_STS_OK);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 1, 'w'));
}

/* The region is known only after the write, so the commit comes after it as well. */
static void fua_that_fills(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;
	struct bio *bio;

	/* A disk without a cache takes the flag away. */
	rb = kr_mapped(test, f, REQ_OP_WRITE | REQ_FUA, 5 * REGION, REGION, 'w', DM_MAPIO_REMAPPED);
	KUNIT_ASSERT_TRUE(test, kr_soon(kr_commits(f) == 1));
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, kr_has_ended(rb));
	KUNIT_EXPECT_EQ(test, kr_counters(f).bios.ended, 0UL);
	kr_commit_ended(f, BLK_STS_OK);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 1U);

	/* Others leave it where it is. */
	rb = kr_bio(test, f, REQ_OP_WRITE | REQ_FUA, 6 * REGION, REGION, 'w');
	bio = &rb->kb->bio;
	atomic_set(&rb->ends, 0);
	KUNIT_EXPECT_EQ(test, clone_map(&f->ti, bio), DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_TRUE(test, bio->bi_opf & REQ_FUA);
	bio_endio(bio);
	KUNIT_ASSERT_EQ(test, kr_commits(f), 1U);
	kr_commit_ended(f, BLK_STS_IOERR);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 6));

	/* What has failed need not be durable. */
	test_disk_fail(f->dest, WRITES, 7 * REGION, 1, BLK_STS_MEDIUM);
	rb = kr_mapped(test, f, REQ_OP_WRITE | REQ_FUA, 7 * REGION, REGION, 'w', DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_MEDIUM);
	KUNIT_EXPECT_EQ(test, kr_commits(f), 0U);

	/* Nor must others wait. */
	rb = kr_write(test, f, 8 * REGION, REGION, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
}

/* The destination has lost what it had in its cache; an error of a commit says nothing of it. */
static void flush_that_fails(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb = kr_bio(test, f, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0);
	struct bio *bio = &rb->kb->bio;

	atomic_set(&rb->ends, 0);
	KUNIT_ASSERT_EQ(test, clone_map(&f->ti, bio), DM_MAPIO_REMAPPED);
	bio->bi_status = BLK_STS_IOERR;
	bio_endio(bio);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	KUNIT_EXPECT_TRUE(test, f->clone.dest_failed);

	f->clone.dest_failed = false;
	kr_hydrate(f, 3);
	rb = kr_mapped(test, f, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0, DM_MAPIO_SUBMITTED);
	kr_commit_ended(f, BLK_STS_IOERR);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, f->clone.dest_failed);
}

/* What may be lost is neither read nor written, nor shown as the source has it. */
static void lost_regions(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	kr_hydrate(f, 3);
	kr_commit(test, f);
	kr_hydrate(f, 4);
	clone_bitmap_stage(f->clone.bitmap);
	KUNIT_ASSERT_EQ(test, clone_bitmap_revert(f->clone.bitmap), 0);
	f->clone.mode = CLONE_LOST;

	rb = kr_mapped(test, f, REQ_OP_READ, 4 * REGION, 1, 0, DM_MAPIO_KILL);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	rb = kr_mapped(test, f, REQ_OP_WRITE, 4 * REGION, 1, 'w', DM_MAPIO_KILL);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	rb = kr_mapped(test, f, REQ_OP_WRITE, 5 * REGION, 1, 'w', DM_MAPIO_KILL);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	rb = kr_mapped(test, f, REQ_OP_READ, 5 * REGION, 1, 0, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	/* Of several regions the first one. */
	rb = kr_mapped(test, f, REQ_OP_WRITE, 3 * REGION, 2 * REGION, 'w', DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 3 * REGION, REGION, 'w'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 4 * REGION, REGION, 'd'));
}

static struct kunit_case bio_cases[] = {
	KUNIT_CASE(part_of_a_region_is_copied_first),
	KUNIT_CASE(last_region_is_short),
	KUNIT_CASE_PARAM(copy_fails, failing_gen_params),
	KUNIT_CASE(whole_region_needs_no_copy),
	KUNIT_CASE(whole_regions_are_one_write),
	KUNIT_CASE(whole_regions_fail_together),
	KUNIT_CASE(whole_region_fails),
	KUNIT_CASE(nothing_is_filled_read_only),
	KUNIT_CASE(reads_never_wait),
	KUNIT_CASE_PARAM(goes_on_as_far_as_it_may, way_gen_params),
	KUNIT_CASE_PARAM(discards_whole_regions, discard_gen_params),
	KUNIT_CASE(discard_leaves_busy_regions),
	KUNIT_CASE(discard_read_only),
	KUNIT_CASE(flush_waits_for_a_commit),
	KUNIT_CASE(fua_waits_for_its_region),
	KUNIT_CASE(fua_that_needs_a_copy),
	KUNIT_CASE(fua_that_fills),
	KUNIT_CASE(flush_that_fails),
	KUNIT_CASE(lost_regions),
	{}
};

static struct kunit_suite bio_suite = {
	.name = "dm-clone-bio",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = kr_exit,
	.test_cases = bio_cases,
};

kunit_test_suite(bio_suite);
