// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes to several regions of a clone, some of which are not hydrated: one bio, beside which what
 * it leaves of its first and last region is copied.
 */
#include "kunit-region.h"

/* From the third sector of region 5 to the third one of region 9. */
#define FIRST		(5 * REGION + 2)
#define COUNT		(4 * REGION + 1)
#define HEAD		2
#define TAIL		5
#define LAST		9

static struct kr_bio *write_range(struct kunit *test, struct kr_fixture *f, blk_opf_t flags)
{
	return kr_mapped(test, f, REQ_OP_WRITE | flags, FIRST, COUNT, 'w', DM_MAPIO_REMAPPED);
}

static void expect_busy(struct kunit *test, struct kr_fixture *f)
{
	unsigned long region;

	for (region = 5; region <= LAST; region++) {
		KUNIT_EXPECT_TRUE(test, kr_is_busy(f, region));
		KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, region));
	}
}

static void expect_written(struct kunit *test, struct kr_fixture *f)
{
	unsigned long region;

	for (region = 5; region <= LAST; region++)
		KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, region));
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 4));
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, LAST + 1));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 0, 5 * REGION, 'd'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, HEAD, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, FIRST, COUNT, 'w'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, FIRST + COUNT, TAIL, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, (LAST + 1) * REGION, REGION, 'd'));
}

static void range_is_one_write(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb, *waiter;

	test_disk_hold(f->source);
	rb = write_range(test, f, 0);
	waiter = kr_write(test, f, 7 * REGION + 1, 1, DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, kr_soon(test_disk_pending(f->source) == 2));
	/* It does not wait for the copies, but is not over before them. */
	KUNIT_ASSERT_EQ(test, test_disk_nr_records(f->dest), 1U);
	KUNIT_EXPECT_EQ(test, f->dest->records[0].sector, FIRST);
	KUNIT_EXPECT_EQ(test, f->dest->records[0].count, COUNT);
	KUNIT_EXPECT_EQ(test, kr_counters(f).filled, 5L);
	KUNIT_EXPECT_FALSE(test, kr_has_ended(rb));
	expect_busy(test, f);

	test_disk_release(f->source);
	kr_expect_ended(test, rb, BLK_STS_OK);
	kr_expect_ended(test, waiter, BLK_STS_OK);
	expect_written(test, f);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 2U);
	KUNIT_EXPECT_EQ(test, f->source->records[0].count, HEAD);
	KUNIT_EXPECT_EQ(test, f->source->records[1].count, TAIL);
	/* The waiter's is the fourth. */
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 4U);

	/* There is nothing to copy the next time. */
	rb = write_range(test, f, 0);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, bio_sectors(&rb->kb->bio), COUNT);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 2U);
}

/* Which of the write, the head and the tail end, one after another: the oldest, or the youngest. */
static const struct parts {
	const char *name;
	bool youngest[2];
} orders[] = {
	{ "write first", { false, false } },
	{ "write second", { true, false } },
	{ "write last", { true, true } },
};

static void parts_desc(const struct parts *p, char *desc)
{
	strscpy(desc, p->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(parts, orders, parts_desc);

/* Were a region released before, a copy could come after what others write to it then. */
static void ends_with_the_last_part(struct kunit *test)
{
	const struct parts *p = test->param_value;
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb, *waiter;
	unsigned int i;

	test_disk_hold(f->source);
	test_disk_hold(f->dest);
	rb = write_range(test, f, 0);
	waiter = kr_write(test, f, 5 * REGION, 1, DM_MAPIO_SUBMITTED);
	test_disk_release(f->source);
	KUNIT_ASSERT_TRUE(test, kr_soon(test_disk_pending(f->dest) == 3));
	for (i = 0; i < 2; i++) {
		if (p->youngest[i])
			test_disk_end_youngest(f->dest);
		else
			test_disk_end_oldest(f->dest, 1);
		ku_pause();
		KUNIT_EXPECT_FALSE(test, kr_has_ended(rb));
		KUNIT_EXPECT_FALSE(test, kr_has_ended(waiter));
		expect_busy(test, f);
	}
	test_disk_end_oldest(f->dest, 1);
	kr_expect_ended(test, rb, BLK_STS_OK);
	expect_written(test, f);
	test_disk_release(f->dest);
	kr_expect_ended(test, waiter, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, kr_counters(f).bios.ended, 2UL);
}

/*
 * What fails.
 */

static const struct part_failure {
	const char *name;
	bool source;
	bool dest;
	sector_t sector;
	bool read_only;		/* meanwhile */
	blk_status_t status;
	unsigned int hydrated;	/* mask of regions, from 5 on */
	blk_status_t waiter;	/* that writes to what is left of region 5 */
} part_failures[] = {
	{ "head, source", true, false, 5 * REGION + 1, false, BLK_STS_IOERR, 0x1e, BLK_STS_IOERR },
	{ "head, destination", false, true, 5 * REGION, false, BLK_STS_IOERR, 0x1e, BLK_STS_IOERR },
	{ "tail, source", true, false, 9 * REGION + 7, false, BLK_STS_IOERR, 0x0f, BLK_STS_OK },
	{ "tail, destination", false, true, 9 * REGION + 3, false, BLK_STS_IOERR, 0x0f,
	  BLK_STS_OK },
	{ "write", false, true, 7 * REGION, false, BLK_STS_MEDIUM, 0, BLK_STS_OK },
	{ "metadata", false, false, 0, true, BLK_STS_IOERR, 0, BLK_STS_IOERR },
};

static void part_failure_desc(const struct part_failure *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(part_failure, part_failures, part_failure_desc);

/* Of what is copied an error costs its own region; one of the write costs all of them. */
static void part_fails(struct kunit *test)
{
	const struct part_failure *c = test->param_value;
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb, *waiter;
	unsigned int i;

	test_disk_hold(f->source);
	test_disk_hold(f->dest);
	if (c->source)
		test_disk_fail(f->source, READS, c->sector, 1, BLK_STS_MEDIUM);
	if (c->dest)
		test_disk_fail(f->dest, WRITES, c->sector, 1, BLK_STS_MEDIUM);
	rb = write_range(test, f, REQ_FUA);
	waiter = kr_write(test, f, 5 * REGION, 1, DM_MAPIO_SUBMITTED);
	if (c->read_only)
		f->clone.mode = CLONE_READ_ONLY;
	test_disk_release(f->source);
	test_disk_release(f->dest);
	kr_expect_ended(test, rb, c->status);
	kr_expect_ended(test, waiter, c->waiter);
	for (i = 0; i < 5; i++) {
		bool by_waiter = i == 0 && !c->waiter;

		KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 5 + i));
		KUNIT_EXPECT_EQ(test, kr_is_hydrated(f, 5 + i),
				by_waiter || c->hydrated & BIT(i));
	}
	/* What has failed need not be durable. */
	KUNIT_EXPECT_EQ(test, kr_commits(f), 0U);

	f->clone.mode = CLONE_WRITE;
	test_disk_heal(f->source);
	test_disk_heal(f->dest);
	rb = write_range(test, f, 0);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, bio_sectors(&rb->kb->bio), COUNT);
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5 + i));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, FIRST, COUNT, 'w'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, FIRST + COUNT, TAIL, 's'));
}

/* Nothing can be filled: what is settled is written, and the rest is not mixed with it. */
static void range_read_only(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	kr_hydrate(f, 5);
	kr_hydrate(f, 6);
	f->clone.mode = CLONE_READ_ONLY;
	rb = write_range(test, f, 0);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, bio_sectors(&rb->kb->bio), 2 * REGION - 2);
	rb = kr_write(test, f, 7 * REGION, 2 * REGION + 3, DM_MAPIO_KILL);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 7));
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 7));
}

/*
 * What it meets.
 */

/* Regions 4 to 6 and 9 are hydrated; somebody is filling 12, and 13 is hydrated and still busy. */
static const struct meets {
	sector_t sector;
	unsigned int count;
	unsigned int left;	/* sectors that it has when it was mapped */
	unsigned int copied;	/* sectors of the source */
	unsigned int copies;
	bool waits;
} meetings[] = {
	/* Around what is hydrated, and alternating with it. */
	{ 25, 38, 38, 2, 2, false },
	{ 33, 30, 30, 1, 1, false },
	{ 27, 25, 25, 3, 1, false },
	{ 3, 87, 87, 9, 2, false },
	{ 40, 35, 35, 0, 0, false },
	{ 66, 10, 10, 2, 1, false },
	/* To before what is busy, and there. */
	{ 83, 20, 13, 3, 1, false },
	{ 89, 20, 7, 1, 1, false },
	{ 74, 40, 22, 0, 0, false },
	{ 33, 200, 63, 0, 0, false },
	{ 97, 20, 7, 0, 0, true },
	{ 104, 20, 8, 0, 0, true },
	/* Nothing but two ends. */
	{ 119, 2, 2, 14, 2, false },
	/* The last region is short. */
	{ SIZE - 20, 20, 20, 1, 1, false },
	{ SIZE - 20, 18, 18, 3, 2, false },
};

static void meets_desc(const struct meets *m, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u from %llu", m->count,
		 (unsigned long long)m->sector);
}

KUNIT_ARRAY_PARAM(meets, meetings, meets_desc);

static void goes_on_to_what_is_busy(struct kunit *test)
{
	const struct meets *m = test->param_value;
	struct kr_fixture *f = kr_setup(test);
	unsigned int i, copied = 0;
	unsigned long region;
	struct kr_bio *rb;
	sector_t sector;

	for (region = 4; region <= 6; region++)
		kr_hydrate(f, region);
	kr_hydrate(f, 9);
	kr_claim(test, f, 12);
	kr_claim(test, f, 13);
	kr_hydrate(f, 13);

	rb = kr_write(test, f, m->sector, m->count,
		      m->waits ? DM_MAPIO_SUBMITTED : DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_EQ(test, kr_accepted(rb), m->left);
	if (m->waits) {
		ku_pause();
		KUNIT_EXPECT_FALSE(test, kr_has_ended(rb));
	} else {
		KUNIT_EXPECT_TRUE(test, kr_soon(kr_has_ended(rb)));
	}
	clone_region_filled(&f->clone, 12, BLK_STS_OK);
	clone_region_filled(&f->clone, 13, BLK_STS_OK);
	kr_expect_ended(test, rb, BLK_STS_OK);

	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), m->copies);
	for (i = 0; i < test_disk_nr_records(f->source); i++)
		copied += f->source->records[i].count;
	KUNIT_EXPECT_EQ(test, copied, m->copied);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 1 + m->copies);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, m->sector, m->left, 'w'));
	/* And nothing else was written to what was hydrated. */
	for (sector = 0; sector < SIZE; sector++) {
		region = sector / REGION;
		if (sector >= m->sector && sector < m->sector + m->left)
			KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, region));
		else if (!kr_is_hydrated(f, region) || (region >= 4 && region <= 6) ||
			 region == 9 || region == 12 || region == 13)
			KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, sector, 1, 'd'));
		else
			KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, sector, 1, 's'));
	}
}

/* A commit knows all of the regions, and the copies are in front of its flush. */
static void range_with_fua(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	test_disk_hold(f->source);
	rb = write_range(test, f, REQ_FUA);
	ku_pause();
	KUNIT_EXPECT_EQ(test, kr_commits(f), 0U);
	test_disk_release(f->source);
	KUNIT_ASSERT_TRUE(test, kr_soon(kr_commits(f) == 1));
	expect_written(test, f);
	KUNIT_EXPECT_FALSE(test, kr_has_ended(rb));
	kr_commit_ended(f, BLK_STS_OK);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 3U);

	/* The write may be the last part, too. */
	kr_forget(f, 5);
	test_disk_hold(f->dest);
	rb = write_range(test, f, REQ_FUA);
	KUNIT_ASSERT_TRUE(test, kr_soon(test_disk_pending(f->dest) == 2));
	test_disk_end_youngest(f->dest);
	ku_pause();
	KUNIT_EXPECT_EQ(test, kr_commits(f), 0U);
	test_disk_release(f->dest);
	KUNIT_ASSERT_TRUE(test, kr_soon(kr_commits(f) == 1));
	kr_commit_ended(f, BLK_STS_IOERR);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
}

static unsigned int commands(struct test_disk *td, enum req_op op)
{
	unsigned int i, nr = 0;

	for (i = 0; i < test_disk_nr_records(td); i++)
		nr += td->records[i].op == op;
	return nr;
}

/* Whole regions are zeroed without a copy, and the command stays one. */
static void zeroes_are_one_command(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	rb = kr_mapped(test, f, REQ_OP_WRITE_ZEROES, FIRST, COUNT, 0, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, commands(f->dest, REQ_OP_WRITE_ZEROES), 1U);
	KUNIT_EXPECT_EQ(test, commands(f->dest, REQ_OP_WRITE), 2U);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, HEAD, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, FIRST, COUNT, 0));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, FIRST + COUNT, TAIL, 's'));
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 7));

	/* A part of a region, which is copied first; and where nothing is. */
	rb = kr_mapped(test, f, REQ_OP_WRITE_ZEROES, 20 * REGION + 1, 2, 0, DM_MAPIO_SUBMITTED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 20 * REGION, 1, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 20 * REGION + 1, 2, 0));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 20 * REGION + 3, 5, 's'));
	rb = kr_mapped(test, f, REQ_OP_WRITE_ZEROES, 20 * REGION, REGION, 0, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 20 * REGION, REGION, 0));

	/* A destination that turns out not to have it fails it, and no region is hydrated. */
	test_disk_fail(f->dest, OP_BIT(REQ_OP_WRITE_ZEROES), 30 * REGION, 1, BLK_STS_NOTSUPP);
	rb = kr_mapped(test, f, REQ_OP_WRITE_ZEROES, 29 * REGION + 1, 2 * REGION, 0,
		       DM_MAPIO_REMAPPED);
	kr_expect_ended(test, rb, BLK_STS_NOTSUPP);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 29) || kr_is_hydrated(f, 30));
}

/*
 * Without memory.
 */

/* More than a CPU and the engine have at hand. */
#define MANY		120U

/* Jobs come back one by one, and the copies of a write get them one by one. */
static void ends_wait_for_jobs(struct kunit *test)
{
	struct kr_fixture *f = kr_setup_near(test);
	struct kr_bio *rb, *before = NULL;
	sector_t at = 2 * MANY + 1;
	unsigned int i, submitted;

	ku_allow(0);
	test_disk_hold(f->source);
	for (i = 0; i < MANY; i++)
		before = kr_write(test, f, 2 * i, 1, DM_MAPIO_SUBMITTED);
	ku_pause();
	submitted = test_disk_pending(f->source);
	KUNIT_ASSERT_LT(test, submitted, MANY);
	KUNIT_ASSERT_EQ(test, submitted, test_disk_nr_records(f->source));
	rb = kr_write(test, f, at, 4, DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_TRUE(test, kr_soon(ku_disk_holds(f->dest, at, 4, 'w')));
	/* Those that came before, and the head; the tail waits. */
	for (i = 1; i <= MANY - submitted + 1; i++) {
		KUNIT_EXPECT_EQ(test, test_disk_end_oldest(f->source, 1), 1U);
		KUNIT_ASSERT_TRUE(test,
				  kr_soon(test_disk_nr_records(f->source) == submitted + i));
	}
	ku_pause();
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), MANY + 1);
	KUNIT_EXPECT_EQ(test, f->source->records[MANY].sector, at - 1);
	test_disk_release(f->source);
	kr_expect_ended(test, rb, BLK_STS_OK);
	kr_expect_ended(test, before, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), MANY + 2);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, at - 1, 1, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, at, 4, 'w'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, at + 4, 1, 's'));
	KUNIT_EXPECT_TRUE(test, kr_soon(!kr_counters(f).filled));
	ku_allow(KU_ALL);
}

/*
 * All CPUs write next to each other. Bios that were cut go on in the next round.
 */

#define PIECES		60U
#define ROUNDS		PIECES

struct piece {
	struct kr_bio *rb;
	sector_t sector;
	unsigned int count;
	u8 byte;
};

struct pieces {
	struct kr_fixture *f;
	struct piece pieces[PIECES];
};

static void map_pieces(unsigned int cpu, void *arg)
{
	struct pieces *p = arg;
	unsigned int i;

	for (i = cpu; i < PIECES; i += nr_cpu_ids) {
		if (!p->pieces[i].rb)
			continue;
		atomic_set(&p->pieces[i].rb->ends, 0);
		kr_map(p->f, p->pieces[i].rb);
	}
}

static void make_pieces(struct pieces *p)
{
	static const unsigned int lengths[] = { 3, 17, 1, 9, 30, 2, 8, 5, 21, 16, 11, 6 };
	sector_t sector = 1;
	unsigned int i;

	for (i = 0; i < PIECES && sector < SIZE; i++) {
		struct piece *piece = &p->pieces[i];

		piece->sector = sector;
		piece->count = min_t(sector_t, lengths[i % ARRAY_SIZE(lengths)], SIZE - sector);
		piece->byte = 'A' + i % 26;
		/* Here and there something is left. */
		sector += piece->count + (i % 5 == 3);
	}
}

/* Whether there is something left to write. */
static bool next_round(struct kunit *test, struct pieces *p)
{
	bool more = false;
	unsigned int i;

	for (i = 0; i < PIECES; i++) {
		struct piece *piece = &p->pieces[i];
		sector_t written = piece->rb ? kr_accepted(piece->rb) : 0;

		if (piece->rb)
			kr_expect_ended(test, piece->rb, BLK_STS_OK);
		piece->sector += written;
		piece->count -= written;
		piece->rb = NULL;
		if (piece->count) {
			piece->rb = kr_bio(test, p->f, REQ_OP_WRITE, piece->sector, piece->count,
					   piece->byte);
			more = true;
		}
	}
	return more;
}

static bool round_has_ended(struct pieces *p)
{
	unsigned int i;

	for (i = 0; i < PIECES; i++)
		if (p->pieces[i].rb && !kr_has_ended(p->pieces[i].rb))
			return false;
	return true;
}

static void all_cpus_write_ranges(struct kunit *test)
{
	struct pieces *now = kunit_kzalloc(test, sizeof(*now), GFP_KERNEL);
	struct pieces *all = kunit_kzalloc(test, sizeof(*all), GFP_KERNEL);
	struct kr_fixture *f = kr_setup(test);
	sector_t sector, written = 0;
	unsigned int i, rounds = 0;

	KUNIT_ASSERT_NOT_NULL(test, now);
	KUNIT_ASSERT_NOT_NULL(test, all);
	make_pieces(all);
	*now = *all;
	now->f = f;
	test_disk_set(f->source, TEST_DISK_IRQ, 0, 100);
	test_disk_set(f->dest, TEST_DISK_IRQ, 0, 100);
	WRITE_ONCE(kr_between, kr_dawdle);
	while (next_round(test, now)) {
		KUNIT_ASSERT_LT(test, rounds++, ROUNDS);
		ku_run_on_cpus(test, map_pieces, now);
		KUNIT_ASSERT_TRUE(test, kr_soon(round_has_ended(now)));
	}
	WRITE_ONCE(kr_between, NULL);

	for (i = 0, sector = 0; i < PIECES; i++) {
		const struct piece *piece = &all->pieces[i];

		if (!piece->count)
			continue;
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, sector, piece->sector - sector,
						      's'));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, piece->sector, piece->count,
						      piece->byte));
		sector = piece->sector + piece->count;
		written += piece->count;
	}
	KUNIT_EXPECT_TRUE(test, sector == SIZE && written < SIZE);
	for (i = 0; i < REGIONS; i++)
		KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, i));
}

static struct kunit_case range_cases[] = {
	KUNIT_CASE(range_is_one_write),
	KUNIT_CASE_PARAM(ends_with_the_last_part, parts_gen_params),
	KUNIT_CASE_PARAM(part_fails, part_failure_gen_params),
	KUNIT_CASE(range_read_only),
	KUNIT_CASE_PARAM(goes_on_to_what_is_busy, meets_gen_params),
	KUNIT_CASE(range_with_fua),
	KUNIT_CASE(zeroes_are_one_command),
	KUNIT_CASE(ends_wait_for_jobs),
	KUNIT_CASE(all_cpus_write_ranges),
	{}
};

static struct kunit_suite range_suite = {
	.name = "dm-clone-range",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = kr_exit,
	.test_cases = range_cases,
};

kunit_test_suite(range_suite);
