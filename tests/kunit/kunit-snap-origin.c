// SPDX-License-Identifier: GPL-2.0-only
/*
 * Origins: the registry, the order of snapshots, where writes are split, and the way of a write.
 */
#include <linux/kthread.h>

#include "kunit-lib.h"

/* Devices that device-mapper would suspend. */
struct ku_md {
	unsigned int holds;
	unsigned int suspends;
	bool going;	/* cannot be held any more */
};

static struct ku_md *md_of(struct mapped_device *md)
{
	return (struct ku_md *)md;
}

static int md_hold(struct mapped_device *md)
{
	if (md_of(md)->going)
		return -EBUSY;
	md_of(md)->holds++;
	return 0;
}

/* The table of a target is its device. */
#define dm_table_get_md(table)		((struct mapped_device *)(table))
#define dm_hold(md)			md_hold(md)
#define dm_put(md)			(md_of(md)->holds--)
#define dm_internal_suspend_fast(md)	(md_of(md)->suspends++)
#define dm_internal_resume_fast(md)	(md_of(md)->suspends--)

#include "dm-scaled-delay.h"

/* What happens while a walk is between two looks at the snapshots, once. */
static void (*walk_step)(void *arg);
static void *walk_arg;

static void walk_delay(const char *name)
{
	void (*step)(void *arg) = walk_step;

	if (!step || strcmp(name, "snap-origin:walk"))
		return;
	walk_step = NULL;
	step(walk_arg);
}

#undef dm_scaled_delay
#define dm_scaled_delay(name)	walk_delay(name)

#include "dm-snap-origin.c"

#define CHUNK	8

/* One origin for a device, for as long as somebody uses it. */
static void one_origin_for_a_device(struct kunit *test)
{
	struct block_device *bdev = ku_fake_bdev(test, 64, 512), *other;
	struct snap_origin *origin = snap_origin_get(bdev), *second;

	other = ku_fake_bdev(test, 64, 512);
	KUNIT_ASSERT_NOT_NULL(test, origin);
	KUNIT_EXPECT_PTR_EQ(test, origin->bdev, bdev);
	KUNIT_EXPECT_EQ(test, origin->split, SNAP_NO_SPLIT);
	KUNIT_EXPECT_PTR_EQ(test, snap_origin_get(bdev), origin);
	KUNIT_EXPECT_EQ(test, origin->refs, 2);

	second = snap_origin_get(other);
	KUNIT_EXPECT_PTR_NE(test, second, origin);
	snap_origin_put(second);
	snap_origin_put(origin);
	KUNIT_EXPECT_EQ(test, origin->refs, 1);
	KUNIT_EXPECT_FALSE(test, hash_empty(snap_origins));
	snap_origin_put(origin);
	KUNIT_EXPECT_TRUE(test, hash_empty(snap_origins));
}

/*
 * Reads that are only counted.
 */

struct tracker {
	struct snap_origin *origin;
	struct completion ended;
	int result;
};

static int track_reads(void *arg)
{
	struct tracker *tracker = arg;

	tracker->result = snap_origin_track_reads(tracker->origin);
	complete(&tracker->ended);
	return 0;
}

/* A target that may write waits until they have ended, and after that there are none. */
static void writers_wait_for_counted_reads(struct kunit *test)
{
	struct tracker *tracker = kunit_kzalloc(test, sizeof(*tracker), GFP_KERNEL);
	struct task_struct *task;

	KUNIT_ASSERT_NOT_NULL(test, tracker);
	tracker->origin = snap_origin_get(ku_fake_bdev(test, 64, 512));
	KUNIT_ASSERT_NOT_NULL(test, tracker->origin);
	init_completion(&tracker->ended);
	KUNIT_EXPECT_TRUE(test, dm_scaled_refs_tryget(&tracker->origin->reads));
	task = kthread_run(track_reads, tracker, "kunit-track");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(dm_scaled_refs_are_stopped(&tracker->origin->reads)));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, completion_done(&tracker->ended));
	KUNIT_EXPECT_FALSE(test, dm_scaled_refs_tryget(&tracker->origin->reads));

	dm_scaled_refs_put(&tracker->origin->reads);
	wait_for_completion(&tracker->ended);
	KUNIT_EXPECT_EQ(test, tracker->result, 0);
	/* The next one has nothing to wait for. */
	KUNIT_EXPECT_EQ(test, snap_origin_track_reads(tracker->origin), 0);
	KUNIT_EXPECT_FALSE(test, dm_scaled_refs_tryget(&tracker->origin->reads));
	snap_origin_put(tracker->origin);
}

/*
 * The order of snapshots.
 */

struct order {
	unsigned int sizes[3];
};

static const struct order orders[] = {
	{ { 8, 64, 16 } }, { { 64, 16, 8 } }, { { 8, 16, 64 } }, { { 16, 8, 64 } }, { { 8, 8, 8 } },
	{ { 8, 16, 8 } }, { { 1, 2097152, 1 } },
};

static void order_desc(const struct order *o, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u, %u, %u", o->sizes[0], o->sizes[1], o->sizes[2]);
}

KUNIT_ARRAY_PARAM(order, orders, order_desc);

static void expect_sorted(struct kunit *test, struct snap_origin *origin, unsigned int nr)
{
	unsigned int last = UINT_MAX, count = 0;
	struct dm_snapshot *snap;

	list_for_each_entry(snap, &origin->snapshots, list) {
		KUNIT_EXPECT_LE(test, snap->store.chunk_size, last);
		last = snap->store.chunk_size;
		count++;
	}
	KUNIT_EXPECT_EQ(test, count, nr);
	KUNIT_EXPECT_EQ(test, origin->split, nr ? last : SNAP_NO_SPLIT);
}

/* Largest chunks first; no write may cross the borders of the smallest. */
static void largest_chunks_come_first(struct kunit *test)
{
	const struct order *o = test->param_value;
	struct snap_origin *origin = snap_origin_get(ku_fake_bdev(test, 64, 512));
	struct dm_snapshot *snaps = kunit_kcalloc(test, 3, sizeof(*snaps), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, origin);
	KUNIT_ASSERT_NOT_NULL(test, snaps);
	spin_lock(&snap_registry_lock);
	for (i = 0; i < 3; i++) {
		snaps[i].store.chunk_size = o->sizes[i];
		snap_origin_attach(origin, &snaps[i]);
		KUNIT_EXPECT_TRUE(test, snaps[i].attached);
		expect_sorted(test, origin, i + 1);
	}
	for (i = 0; i < 3; i++) {
		snap_origin_detach(origin, &snaps[i]);
		KUNIT_EXPECT_FALSE(test, snaps[i].attached);
		expect_sorted(test, origin, 2 - i);
	}
	spin_unlock(&snap_registry_lock);
	snap_origin_put(origin);
}

/* Among equal ones, the one that came first: they stand together, to share reads. */
static void equal_chunks_stand_together(struct kunit *test)
{
	struct snap_origin *origin = snap_origin_get(ku_fake_bdev(test, 64, 512));
	struct dm_snapshot *snaps = kunit_kcalloc(test, 4, sizeof(*snaps), GFP_KERNEL), *snap;
	static const unsigned int sizes[] = { 8, 16, 8, 16 }, expected[] = { 1, 3, 0, 2 };
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, origin);
	KUNIT_ASSERT_NOT_NULL(test, snaps);
	spin_lock(&snap_registry_lock);
	for (i = 0; i < 4; i++) {
		snaps[i].store.chunk_size = sizes[i];
		snap_origin_attach(origin, &snaps[i]);
	}
	i = 0;
	list_for_each_entry(snap, &origin->snapshots, list)
		KUNIT_EXPECT_PTR_EQ(test, snap, &snaps[expected[i++]]);
	for (i = 0; i < 4; i++)
		snap_origin_detach(origin, &snaps[i]);
	spin_unlock(&snap_registry_lock);
	snap_origin_put(origin);
}

/*
 * Origin targets.
 */

/* An origin target of a device of its own. */
struct origin_target {
	struct ku_md md;
	struct dm_target ti;
	struct dm_dev dev;
	struct snap_origin_target o;
};

static struct origin_target *origin_target(struct kunit *test, struct snap_origin *origin,
					   struct block_device *bdev)
{
	struct origin_target *ot = kunit_kzalloc(test, sizeof(*ot), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ot);
	ot->dev.bdev = bdev;
	strscpy(ot->dev.name, "1:2", sizeof(ot->dev.name));
	ot->ti.table = (struct dm_table *)&ot->md;
	ot->ti.private = &ot->o;
	ot->o.ti = &ot->ti;
	ot->o.dev = &ot->dev;
	ot->o.origin = origin;
	INIT_LIST_HEAD(&ot->o.list);
	return ot;
}

static void constructor_wants_one_argument(struct kunit *test)
{
	static const unsigned int wrong[] = { 0, 2, 3 };
	char dev[] = "no such device";
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct dm_target ti = { .error = NULL };
		char *argv[3] = { dev, dev, dev };

		KUNIT_EXPECT_EQ(test, snap_origin_ctr(&ti, wrong[i], argv), -EINVAL);
		KUNIT_ASSERT_NOT_NULL(test, ti.error);
		KUNIT_EXPECT_TRUE(test, str_has_prefix(ti.error, "Wrong number of arguments"));
	}
}

static void status_gives_the_device(struct kunit *test)
{
	struct origin_target *ot = origin_target(test, NULL, NULL);
	char result[32] = "unchanged";

	snap_origin_status(&ot->ti, STATUSTYPE_INFO, 0, result, sizeof(result));
	KUNIT_EXPECT_STREQ(test, result, "");
	snap_origin_status(&ot->ti, STATUSTYPE_TABLE, 0, result, sizeof(result));
	KUNIT_EXPECT_STREQ(test, result, "1:2");
}

static bool is_quiet(struct snap_origin *origin, struct mapped_device *md,
		     struct mapped_device *except)
{
	bool quiet;

	spin_lock(&snap_registry_lock);
	quiet = snap_origin_is_quiet(origin, md, except);
	spin_unlock(&snap_registry_lock);
	return quiet;
}

/* An origin that is suspended already, or the caller's own device, is not suspended. */
static void quiesces_the_target_that_is_active(struct kunit *test)
{
	struct block_device *bdev = ku_fake_bdev(test, 64, 512);
	struct snap_origin *origin = snap_origin_get(bdev);
	struct origin_target *ot = origin_target(test, origin, bdev);
	struct mapped_device *md = (struct mapped_device *)&ot->md;

	KUNIT_EXPECT_NULL(test, snap_origin_quiesce(origin, NULL));
	KUNIT_EXPECT_TRUE(test, is_quiet(origin, NULL, NULL));

	/* It was resumed since: what has been stopped is not enough. */
	snap_origin_resumed(&ot->ti);
	KUNIT_EXPECT_FALSE(test, is_quiet(origin, NULL, NULL));
	KUNIT_EXPECT_TRUE(test, is_quiet(origin, md, NULL));
	KUNIT_EXPECT_TRUE(test, is_quiet(origin, NULL, md));
	ot->md.going = true;
	KUNIT_EXPECT_TRUE(test, is_quiet(origin, NULL, NULL));
	ot->md.going = false;
	KUNIT_EXPECT_EQ(test, ot->md.holds, 0);
	KUNIT_EXPECT_PTR_EQ(test, snap_origin_quiesce(origin, NULL), md);
	KUNIT_EXPECT_EQ(test, ot->md.suspends, 1);
	KUNIT_EXPECT_EQ(test, ot->md.holds, 1);
	snap_origin_resume(md);
	KUNIT_EXPECT_EQ(test, ot->md.suspends, 0);
	KUNIT_EXPECT_EQ(test, ot->md.holds, 0);

	KUNIT_EXPECT_NULL(test, snap_origin_quiesce(origin, md));
	ot->md.going = true;
	KUNIT_EXPECT_NULL(test, snap_origin_quiesce(origin, NULL));
	KUNIT_EXPECT_EQ(test, ot->md.suspends, 0);
	ot->md.going = false;

	snap_origin_postsuspend(&ot->ti);
	KUNIT_EXPECT_NULL(test, snap_origin_quiesce(origin, NULL));
	snap_origin_resume(NULL);
	snap_origin_put(origin);
}

struct cut {
	const char *name;
	struct {
		unsigned int first, nr;
	} copied[3];	/* chunks */
	sector_t begin, end;
	sector_t expected;
	bool waits;
};

/* Chunks of 8 sectors: 128 of them are 1024 sectors, 16 are 128. */
static const struct cut cuts[] = {
	{ "nothing copied", {}, 16, 64, 64, true },
	{ "the next multiple", {}, 1000, 3000, 1024, true },
	{ "from a multiple on", {}, 1024, 3000, 2048, true },
	{ "far out", {}, (1ULL << 40) - 9, (1ULL << 40) + 9, 1ULL << 40, true },
	{ "all copied", { { 0, 250 }, { 250, 6 } }, 3, 2000, 2000, false },
	{ "a long part copied", { { 0, 16 } }, 0, 1000, 128, false },
	{ "a longer part copied", { { 0, 200 } }, 0, 2000, 1600, false },
	{ "a short part copied", { { 0, 15 } }, 0, 1000, 1000, true },
	{ "from within a chunk", { { 0, 17 } }, 7, 1000, 136, false },
	{ "a long part at the end", { { 10, 16 } }, 0, 1000, 80, true },
	{ "a short part at the end", { { 10, 15 } }, 0, 200, 200, true },
	{ "a short part, then a long one", { { 0, 4 }, { 10, 30 } }, 0, 1000, 80, true },
	{ "a long part behind a multiple", { { 130, 30 } }, 0, 2000, 1024, true },
};

static void cut_desc(const struct cut *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(cut, cuts, cut_desc);

static void add_exceptions(struct kunit *test, struct dm_snapshot *snap, u64 first, u64 nr)
{
	struct snap_group *room;
	u64 some;

	for (; nr; first += some, nr -= some) {
		room = snap_exception_room(true);
		some = min(nr, 256 - first % 256);
		KUNIT_ASSERT_EQ(test, snap_exception_add(&snap->exceptions, first, 1000 + first,
							 some, &room), 0);
		kfree(room);
	}
}

/* What need not wait goes on alone if it is long; what waits does so for a part of the write. */
static void writes_are_cut_where_it_pays(struct kunit *test)
{
	const struct cut *c = test->param_value;
	struct test_disk *disk = ku_disk(test, 64, 0), *cow = ku_disk(test, 256, 0);
	struct ku_snap *ks = ku_snap(test, disk->bdev, cow->bdev, 8);
	unsigned int i;
	bool waits;
	int idx;

	ks->t.snap->end = ULLONG_MAX;
	for (i = 0; i < ARRAY_SIZE(c->copied); i++)
		add_exceptions(test, ks->t.snap, c->copied[i].first, c->copied[i].nr);
	spin_lock(&snap_registry_lock);
	snap_origin_attach(ks->t.origin, ks->t.snap);
	spin_unlock(&snap_registry_lock);
	idx = srcu_read_lock(&ks->t.origin->srcu);
	KUNIT_EXPECT_EQ(test, snap_origin_find_cut(ks->t.origin, c->begin, c->end, &waits),
			c->expected);
	srcu_read_unlock(&ks->t.origin->srcu, idx);
	KUNIT_EXPECT_EQ(test, waits, c->waits);
}

/* A write waits for so many copies at most that are made apart. */
static void writes_wait_for_some_copies_only(struct kunit *test)
{
	struct test_disk *disk = ku_disk(test, 64, 0), *cow = ku_disk(test, 256, 0);
	struct ku_snap *ks = ku_snap(test, disk->bdev, cow->bdev, 8);
	unsigned int i;
	bool waits;
	int idx;

	for (i = 0; i < 64; i++)
		add_exceptions(test, ks->t.snap, 2 * i + 1, 1);
	ks->t.snap->end = ULLONG_MAX;
	spin_lock(&snap_registry_lock);
	snap_origin_attach(ks->t.origin, ks->t.snap);
	spin_unlock(&snap_registry_lock);
	idx = srcu_read_lock(&ks->t.origin->srcu);
	KUNIT_EXPECT_EQ(test, snap_origin_find_cut(ks->t.origin, 0, 1024, &waits),
			(2 * SNAP_CUT_STRETCHES - 1) * 8);
	srcu_read_unlock(&ks->t.origin->srcu, idx);
	KUNIT_EXPECT_TRUE(test, waits);
}

/* Of a write that is longer than is looked at, so much is mapped at a time, copied or not. */
static void no_more_is_looked_at_than_pays(struct kunit *test)
{
	struct test_disk *disk = ku_disk(test, 64, 0), *cow = ku_disk(test, 256, 0);
	struct ku_snap *ks = ku_snap(test, disk->bdev, cow->bdev, 8);
	struct ku_bio *kb = ku_bio(test, disk, REQ_OP_WRITE_ZEROES, 80, 3 * SNAP_LOOK_SECTORS, 0);

	ks->t.snap->end = ULLONG_MAX;
	add_exceptions(test, ks->t.snap, 0, 2 * SNAP_LOOK_SECTORS / 8);
	spin_lock(&snap_registry_lock);
	snap_origin_attach(ks->t.origin, ks->t.snap);
	spin_unlock(&snap_registry_lock);
	KUNIT_EXPECT_FALSE(test, snap_origin_cut(ks->t.origin, &kb->bio));
	KUNIT_EXPECT_EQ(test, bio_sectors(&kb->bio), SNAP_LOOK_SECTORS);

	/* One that fits is not cut. */
	KUNIT_EXPECT_FALSE(test, snap_origin_cut(ks->t.origin, &kb->bio));
	KUNIT_EXPECT_EQ(test, bio_sectors(&kb->bio), SNAP_LOOK_SECTORS);
}

/*
 * The way of a write.
 */

struct fixture {
	struct test_disk *disk;
	struct test_disk *cows[3];
	struct ku_snap *snaps[3];
	struct origin_target *ot;
};

/* An origin of 64 chunks full of 'o', and snapshots with chunks of @sizes. */
static struct fixture *fixture(struct kunit *test, unsigned int nr, const unsigned int *sizes)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, f);
	f->disk = ku_disk(test, 64 * CHUNK, 0);
	ku_disk_fill(f->disk, 0, 64 * CHUNK, 'o');
	KUNIT_ASSERT_EQ(test, test_disk_record(f->disk, 64), 0);
	for (i = 0; i < nr; i++) {
		f->cows[i] = ku_disk(test, 64 * CHUNK, 0);
		f->snaps[i] = ku_snap_attached(test, f->disk, f->cows[i], sizes[i]);
		f->ot = origin_target(test, f->snaps[i]->t.origin, f->disk->bdev);
	}
	return f;
}

static struct ku_bio *origin_bio(struct kunit *test, struct fixture *f, sector_t sector,
				 unsigned int count)
{
	return ku_bio(test, f->disk, REQ_OP_WRITE, sector, count, 'n');
}

static bool has_exception(struct ku_snap *ks, u64 chunk)
{
	u64 new;

	return snap_exception_lookup(&ks->t.snap->exceptions, chunk, &new);
}

static const unsigned int one_size[] = { CHUNK };

/* The first write waits for the copy, a second one for the same copy, a later one for nothing. */
static void first_write_waits_for_the_copy(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct ku_bio *first = origin_bio(test, f, 8, 8), *second = origin_bio(test, f, 9, 1);
	struct ku_bio *third = origin_bio(test, f, 10, 2);

	test_disk_hold(f->cows[0]);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &first->bio), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &second->bio), DM_MAPIO_SUBMITTED);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(first));
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(second));
	test_disk_release(f->cows[0]);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(first));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(second));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->cows[0], 0, 8, 'o'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 8, 8, 'n'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 16, 8, 'o'));
	/* One read for the copy, two writes. */
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->disk), 3);

	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &third->bio), DM_MAPIO_REMAPPED);
}

/* Whether these chunks, and none around them, have been copied as they were. */
static void expect_copied(struct kunit *test, struct ku_snap *ks, struct test_disk *cow, u64 first,
			  u64 nr)
{
	unsigned int size = ks->t.snap->store.chunk_size;
	u64 chunk, new;

	KUNIT_EXPECT_FALSE(test, first && has_exception(ks, first - 1));
	KUNIT_EXPECT_FALSE(test, has_exception(ks, first + nr));
	for (chunk = first; chunk < first + nr; chunk++) {
		KUNIT_ASSERT_TRUE(test, snap_exception_lookup(&ks->t.snap->exceptions, chunk,
							      &new));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(cow, new * size, size, 'o'));
	}
}

/* A long write is one copy and waits for it, from chunk to chunk, however it begins and ends. */
static void long_write_is_one_copy(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct ku_bio *kb = origin_bio(test, f, 11, 150);

	KUNIT_ASSERT_EQ(test, test_disk_record(f->cows[0], 64), 0);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	/* Chunks 1 to 20. */
	KUNIT_ASSERT_EQ(test, test_disk_nr_records(f->cows[0]), 1);
	KUNIT_EXPECT_EQ(test, f->cows[0]->records[0].count, 160);
	KUNIT_ASSERT_EQ(test, test_disk_nr_records(f->disk), 2);
	KUNIT_EXPECT_EQ(test, f->disk->records[0].sector, 8);
	KUNIT_EXPECT_EQ(test, f->disk->records[0].count, 160);
	KUNIT_EXPECT_EQ(test, f->disk->records[1].count, 150);
	expect_copied(test, f->snaps[0], f->cows[0], 1, 20);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 0, 11, 'o'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 11, 150, 'n'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 161, 64 * CHUNK - 161, 'o'));
}

/* A write is ended by the last of its copies; those beside them it makes itself. */
static void long_write_waits_for_all_copies(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct ku_bio *other = origin_bio(test, f, 40, 16), *kb = origin_bio(test, f, 8, 100);
	struct ku_bio *copied = origin_bio(test, f, 72, 8);

	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &copied->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(copied));
	test_disk_hold(f->cows[0]);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &other->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(f->cows[0]) == 1));
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	/* Chunks 1 to 4, 7 and 8, and 10 to 13; those copied before do not follow each other. */
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(f->cows[0]) >= 2));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(kb));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 8, 64, 'o'));
	test_disk_release(f->cows[0]);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(other));
	expect_copied(test, f->snaps[0], f->cows[0], 1, 13);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 56, 52, 'n'));
}

static void end_the_first_copy(void *arg)
{
	struct fixture *f = arg;

	test_disk_release(f->cows[0]);
	ku_wait_until(has_exception(f->snaps[0], 1));
}

/* The first chunk is copied while the walk looks: that says nothing of those behind it. */
static void copies_end_during_the_walk(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct ku_bio *first = origin_bio(test, f, 8, 8), *kb = origin_bio(test, f, 8, 100);

	test_disk_hold(f->cows[0]);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &first->bio), DM_MAPIO_SUBMITTED);
	walk_arg = f;
	walk_step = end_the_first_copy;
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_NULL(test, walk_step);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	expect_copied(test, f->snaps[0], f->cows[0], 1, 13);
}

/* With memory for some copies only, a write is cut behind them; the rest waits for memory. */
static void long_write_is_cut_without_memory(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct dm_snapshot *snap = f->snaps[0]->t.snap;
	struct ku_bio *kb = origin_bio(test, f, 8, 56);

	/* Chunks 1, 3, 5 and 7 are wanted. */
	add_exceptions(test, snap, 2, 1);
	add_exceptions(test, snap, 4, 1);
	add_exceptions(test, snap, 6, 1);
	dm_scaled_caches_empty_local();
	/* Two pending exceptions with the memory that each brings for the table. */
	ku_allow(4);
	KUNIT_EXPECT_EQ(test, snap_origin_write(snap->origin, &kb->bio, false),
			DM_MAPIO_SUBMITTED);
	ku_allow(KU_ALL);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, bio_sectors(&kb->bio) % CHUNK, 0);
	KUNIT_EXPECT_LT(test, bio_sectors(&kb->bio), 56);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 8, bio_sectors(&kb->bio), 'n'));
	KUNIT_EXPECT_EQ(test, snap_exception_count(&snap->exceptions, 1, 9),
			bio_sectors(&kb->bio) / CHUNK);
}

#define MANY	(SNAP_WALK_STRETCHES + 10)

/* However many copies others have begun, a write finds the end of them, and waits for the last. */
static void long_write_meets_many_copies(struct kunit *test)
{
	struct test_disk *disk = ku_disk(test, MANY * CHUNK, 0), *cow = ku_disk(test, 4096, 0);
	struct ku_snap *ks = ku_snap_attached(test, disk, cow, CHUNK);
	struct ku_bio **others = kunit_kcalloc(test, MANY, sizeof(*others), GFP_KERNEL), *kb;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, others);
	test_disk_hold(disk);
	for (i = 0; i < MANY; i++) {
		others[i] = ku_bio(test, disk, REQ_OP_WRITE, i * CHUNK, CHUNK, 'n');
		KUNIT_EXPECT_EQ(test, snap_origin_write(ks->t.origin, &others[i]->bio, false),
				DM_MAPIO_SUBMITTED);
	}
	kb = ku_bio(test, disk, REQ_OP_WRITE, 0, MANY * CHUNK, 'm');
	KUNIT_EXPECT_EQ(test, snap_origin_write(ks->t.origin, &kb->bio, false),
			DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, bio_sectors(&kb->bio), MANY * CHUNK);
	test_disk_release(disk);
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(kb));
	for (i = 0; i < MANY; i++)
		KUNIT_EXPECT_TRUE(test, ku_bio_wait(others[i]));
	KUNIT_EXPECT_EQ(test, snap_exception_count(&ks->t.snap->exceptions, 0, 999), MANY);
}

/* If others copy all of it a write waits for them, one after the other. */
static void long_write_joins_all_copies(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct ku_bio *one = origin_bio(test, f, 8, 16), *two = origin_bio(test, f, 24, 8);
	struct ku_bio *kb = origin_bio(test, f, 9, 22);

	test_disk_hold(f->disk);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &one->bio), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &two->bio), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_EQ(test, test_disk_pending(f->disk), 2);
	/* The second first, which the write waits for; then it waits for the first. */
	test_disk_end_youngest(f->disk);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(has_exception(f->snaps[0], 3)));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(kb));
	test_disk_release(f->disk);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(one));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(two));
	expect_copied(test, f->snaps[0], f->cows[0], 1, 3);
}

static const unsigned int mixed_sizes[] = { 4 * CHUNK, CHUNK, CHUNK };

/* Snapshots with chunks of different sizes: each copies its own, equal ones together. */
static void long_write_is_copied_for_all(struct kunit *test)
{
	struct fixture *f = fixture(test, 3, mixed_sizes);
	struct ku_bio *before = origin_bio(test, f, 64, 8), *kb = origin_bio(test, f, 40, 100);

	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &before->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(before));
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 40, 100, 'n'));
	expect_copied(test, f->snaps[0], f->cows[0], 1, 4);
	expect_copied(test, f->snaps[1], f->cows[1], 5, 13);
	expect_copied(test, f->snaps[2], f->cows[2], 5, 13);
}

/* A worker cannot cut what it maps again: however much of it is missing, all of it is copied. */
static void worker_copies_all_of_a_write(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct ku_bio *kb = origin_bio(test, f, 4, 500);
	unsigned int i;

	for (i = 0; i < 32; i++)
		add_exceptions(test, f->snaps[0]->t.snap, 2 * i, 1);
	KUNIT_EXPECT_EQ(test, snap_origin_write(f->snaps[0]->t.origin, &kb->bio, true),
			DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, snap_exception_count(&f->snaps[0]->t.snap->exceptions, 0, 99), 63);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 4, 500, 'n'));
}

/* The snapshot is lost where its device ends, but the write goes on. */
static void long_write_overflows(struct kunit *test)
{
	struct test_disk *disk = ku_disk(test, 64 * CHUNK, 0), *cow = ku_disk(test, 10 * CHUNK, 0);
	struct ku_snap *ks = ku_snap_attached(test, disk, cow, CHUNK);
	struct ku_bio *kb = ku_bio(test, disk, REQ_OP_WRITE, 0, 11 * CHUNK, 'n');

	KUNIT_EXPECT_EQ(test, snap_origin_write(ks->t.origin, &kb->bio, false),
			DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(ks->t.snap->valid));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(disk, 0, 11 * CHUNK, 'n'));
}

/* Nothing is copied for flushes and reads, nor beyond what the snapshot covers. */
static void copies_only_what_is_needed(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct ku_bio *kb = ku_bio(test, f->disk, REQ_OP_READ, 8, 8, 0);

	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_REMAPPED);
	kb = ku_bio(test, f->disk, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_REMAPPED);

	f->snaps[0]->t.snap->end = 16;
	KUNIT_EXPECT_TRUE(test, snap_wants_copy(f->snaps[0]->t.snap, 15));
	KUNIT_EXPECT_FALSE(test, snap_wants_copy(f->snaps[0]->t.snap, 16));
	kb = origin_bio(test, f, 16, 8);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_REMAPPED);

	snap_invalidate(f->snaps[0]->t.snap, "of a test");
	KUNIT_EXPECT_FALSE(test, snap_wants_copy(f->snaps[0]->t.snap, 8));
	kb = origin_bio(test, f, 8, 8);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->cows[0]), 0);
}

/* From now on there is no memory for pending exceptions. */
static void **empty_pool(struct kunit *test, struct dm_snapshot *snap)
{
	unsigned int nr = snap->pending_pool.min_nr, i;
	void **objects = kunit_kcalloc(test, nr, sizeof(*objects), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, objects);
	dm_scaled_caches_empty_local();
	ku_allow(0);
	for (i = 0; i < nr; i++)
		objects[i] = mempool_alloc(&snap->pending_pool, GFP_NOWAIT);
	KUNIT_EXPECT_EQ(test, snap->pending_pool.curr_nr, 0);
	return objects;
}

static void fill_pool(struct dm_snapshot *snap, void **objects)
{
	int i;

	for (i = 0; i < snap->pending_pool.min_nr; i++)
		if (objects[i])
			mempool_free(objects[i], &snap->pending_pool);
}

/* A worker that finds no memory for a pending exception does not wait; the write goes on later. */
static void worker_parks_a_write(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct dm_snapshot *snap = f->snaps[0]->t.snap;
	struct ku_bio *kb = origin_bio(test, f, CHUNK, CHUNK);
	void **objects;

	KUNIT_ASSERT_EQ(test, test_disk_record(f->cows[0], 4), 0);
	objects = empty_pool(test, snap);
	KUNIT_EXPECT_EQ(test, snap_origin_write(snap->origin, &kb->bio, true),
			DM_MAPIO_SUBMITTED);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(kb));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->cows[0]), 0);

	ku_allow(KU_ALL);
	fill_pool(snap, objects);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->cows[0]), 1);
	KUNIT_EXPECT_TRUE(test, has_exception(f->snaps[0], 1));
}

static const unsigned int three_sizes[] = { CHUNK, 2 * CHUNK, CHUNK };

/* Before a write goes ahead all snapshots have their copy, each in its chunks. */
static void write_waits_for_all_snapshots(struct kunit *test)
{
	struct fixture *f = fixture(test, 3, three_sizes);
	struct ku_bio *kb = origin_bio(test, f, 3 * CHUNK, CHUNK);
	unsigned int i;

	for (i = 0; i < 3; i++)
		test_disk_hold(f->cows[i]);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	for (i = 0; i < 3; i++) {
		ku_pause();
		KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(kb));
		KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->disk, 3 * CHUNK, CHUNK, 'o'));
		test_disk_release(f->cows[i]);
	}
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->cows[0], 0, CHUNK, 'o'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->cows[1], 0, 2 * CHUNK, 'o'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->cows[2], 0, CHUNK, 'o'));
	KUNIT_EXPECT_TRUE(test, has_exception(f->snaps[0], 3));
	KUNIT_EXPECT_TRUE(test, has_exception(f->snaps[1], 1));
	KUNIT_EXPECT_TRUE(test, has_exception(f->snaps[2], 3));
	/* A read for each chunk size, and the write. */
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->disk), 3);
}

/* Only those snapshots get a copy that lack one. */
static void write_copies_for_new_snapshots(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct ku_bio *kb = origin_bio(test, f, 8, 8);
	struct test_disk *cow = ku_disk(test, 64, 0);
	struct ku_snap *later;

	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	later = ku_snap_attached(test, f->disk, cow, CHUNK);
	KUNIT_EXPECT_EQ(test, test_disk_record(f->cows[0], 4), 0);

	kb = ku_bio(test, f->disk, REQ_OP_WRITE, 8, 8, 'm');
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_TRUE(test, has_exception(later, 1));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(cow, 0, 8, 'n'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->cows[0], 0, 8, 'o'));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->cows[0]), 0);
}

/* A snapshot that overflows is left behind; the write and the other snapshots are not. */
static void overflow_does_not_stop_the_write(struct kunit *test)
{
	struct test_disk *disk = ku_disk(test, 64 * CHUNK, 0), *full = ku_disk(test, CHUNK, 0);
	struct test_disk *cow = ku_disk(test, 64 * CHUNK, 0);
	struct ku_snap *small, *large;
	struct ku_bio *kb;
	unsigned int i;

	ku_disk_fill(disk, 0, 64 * CHUNK, 'o');
	small = ku_snap_attached(test, disk, full, CHUNK);
	large = ku_snap_attached(test, disk, cow, CHUNK);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_TRUE(test, READ_ONCE(small->t.snap->valid));
		kb = ku_bio(test, disk, REQ_OP_WRITE, i * CHUNK, CHUNK, 'n');
		KUNIT_EXPECT_EQ(test, snap_origin_write(small->t.origin, &kb->bio, false),
				DM_MAPIO_SUBMITTED);
		KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
		KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_OK);
	}
	KUNIT_EXPECT_FALSE(test, READ_ONCE(small->t.snap->valid));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(large->t.snap->valid));
	KUNIT_EXPECT_TRUE(test, has_exception(large, 1));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(disk, 0, 2 * CHUNK, 'n'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(cow, 0, 2 * CHUNK, 'o'));
}

/* The overflow of the only snapshot: the write goes ahead at once. */
static void overflow_lets_the_write_go(struct kunit *test)
{
	struct test_disk *disk = ku_disk(test, 64 * CHUNK, 0), *cow = ku_disk(test, CHUNK - 1, 0);
	struct ku_snap *ks = ku_snap_attached(test, disk, cow, CHUNK);
	struct ku_bio *kb = ku_bio(test, disk, REQ_OP_WRITE, 0, CHUNK, 'n');

	KUNIT_EXPECT_EQ(test, snap_origin_write(ks->t.origin, &kb->bio, false), DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(ks->t.snap->valid));
}

struct late_write {
	struct fixture *f;
	struct ku_bio *kb;
	struct completion mapped;
	bool begun;
	int result;
};

static int map_late(void *arg)
{
	struct late_write *late = arg;

	WRITE_ONCE(late->begun, true);
	late->result = snap_origin_map(&late->f->ot->ti, &late->kb->bio);
	complete(&late->mapped);
	return 0;
}

/* Above the limit a write waits before it starts a copy; one that has waited already does not. */
static void write_waits_above_the_limit(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct ku_bio *first = origin_bio(test, f, 0, 8), *retry = origin_bio(test, f, 8, 8);
	struct late_write late = { .f = f, .kb = origin_bio(test, f, 16, 8) };
	struct task_struct *task;

	init_completion(&late.mapped);
	ku_set_cow_threshold(0);
	test_disk_hold(f->cows[0]);
	KUNIT_EXPECT_EQ(test, snap_origin_map(&f->ot->ti, &first->bio), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_TRUE(test, snap_copies_exceeded(f->snaps[0]->t.snap));
	KUNIT_EXPECT_EQ(test, snap_origin_write(f->ot->o.origin, &retry->bio, true),
			DM_MAPIO_SUBMITTED);

	task = kthread_run(map_late, &late, "kunit-late");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(READ_ONCE(late.begun)));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, completion_done(&late.mapped));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->disk), 2);
	test_disk_release(f->cows[0]);
	wait_for_completion(&late.mapped);
	KUNIT_EXPECT_EQ(test, late.result, DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(first));
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(retry));
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(late.kb));
}

/* A write that waits for memory of one snapshot keeps nobody waiting who removes another one. */
static void write_waits_for_memory(struct kunit *test)
{
	struct fixture *f = fixture(test, 1, one_size);
	struct dm_snapshot *snap = f->snaps[0]->t.snap;
	struct late_write late = { .f = f, .kb = origin_bio(test, f, 8, 8) };
	struct task_struct *task;
	void **objects;

	ku_stay_here();
	objects = empty_pool(test, snap);
	init_completion(&late.mapped);
	/* Other CPUs may have memory at hand. */
	task = kthread_create_on_cpu(map_late, &late, raw_smp_processor_id(), "kunit-late/%u");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wake_up_process(task);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(READ_ONCE(late.begun)));
	ku_pause();
	synchronize_srcu(&snap->origin->srcu);
	KUNIT_EXPECT_FALSE(test, completion_done(&late.mapped));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(snap->valid));

	ku_allow(KU_ALL);
	fill_pool(snap, objects);
	wait_for_completion(&late.mapped);
	KUNIT_EXPECT_EQ(test, late.result, DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(late.kb));
	KUNIT_EXPECT_TRUE(test, has_exception(f->snaps[0], 1));
}

static void origin_exit(struct kunit *test)
{
	ku_set_cow_threshold(2048);
	ku_exit(test);
}

static struct kunit_case origin_cases[] = {
	KUNIT_CASE(one_origin_for_a_device),
	KUNIT_CASE(writers_wait_for_counted_reads),
	KUNIT_CASE_PARAM(largest_chunks_come_first, order_gen_params),
	KUNIT_CASE(equal_chunks_stand_together),
	KUNIT_CASE(constructor_wants_one_argument),
	KUNIT_CASE(status_gives_the_device),
	KUNIT_CASE(quiesces_the_target_that_is_active),
	KUNIT_CASE_PARAM(writes_are_cut_where_it_pays, cut_gen_params),
	KUNIT_CASE(no_more_is_looked_at_than_pays),
	KUNIT_CASE(writes_wait_for_some_copies_only),
	KUNIT_CASE(first_write_waits_for_the_copy),
	KUNIT_CASE(long_write_is_one_copy),
	KUNIT_CASE(long_write_waits_for_all_copies),
	KUNIT_CASE(copies_end_during_the_walk),
	KUNIT_CASE(long_write_is_cut_without_memory),
	KUNIT_CASE(long_write_meets_many_copies),
	KUNIT_CASE(long_write_joins_all_copies),
	KUNIT_CASE(long_write_is_copied_for_all),
	KUNIT_CASE(worker_copies_all_of_a_write),
	KUNIT_CASE(long_write_overflows),
	KUNIT_CASE(copies_only_what_is_needed),
	KUNIT_CASE(worker_parks_a_write),
	KUNIT_CASE(write_waits_for_memory),
	KUNIT_CASE(write_waits_for_all_snapshots),
	KUNIT_CASE(write_copies_for_new_snapshots),
	KUNIT_CASE(overflow_does_not_stop_the_write),
	KUNIT_CASE(overflow_lets_the_write_go),
	KUNIT_CASE(write_waits_above_the_limit),
	{}
};

static struct kunit_suite origin_suite = {
	.name = "dm-snap-origin",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = origin_exit,
	.test_cases = origin_cases,
};

kunit_test_suite(origin_suite);
