// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pending exceptions: who makes them and who joins, reads of the origin that have to end first,
 * failures, and how many copies there may be.
 */
#include <linux/kthread.h>

#include "kunit-lib.h"
#include "dm-scaled-cache.h"
#include "dm-snap-disk.h"

/* There is no memory but that of reserves, and what was asked for then. */
static struct {
	bool on;
	unsigned int rooms;
	unsigned int rooms_before_reserve;
} pending_starved;

static void *pending_try_alloc(struct dm_scaled_cache *cache)
{
	return pending_starved.on ? NULL : dm_scaled_cache_try_alloc(cache);
}

static struct snap_group *pending_room(bool may_wait)
{
	pending_starved.rooms += pending_starved.on;
	return snap_exception_room(may_wait);
}

static void *pending_reserve(mempool_t *pool, gfp_t gfp)
{
	pending_starved.rooms_before_reserve = pending_starved.rooms;
	return mempool_alloc(pool, gfp);
}

#define dm_scaled_cache_try_alloc(cache)	pending_try_alloc(cache)
#define snap_exception_room(may_wait)		pending_room(may_wait)
#undef mempool_alloc
#define mempool_alloc(pool, gfp)		pending_reserve(pool, gfp)

#include "dm-snap-pending.c"

#undef dm_scaled_cache_try_alloc
#undef snap_exception_room

#define READS		OP_BIT(REQ_OP_READ)
#define WRITES		OP_BIT(REQ_OP_WRITE)
#define CHUNK		8

void ku_set_cow_threshold(unsigned int chunks)
{
	snapshot_cow_threshold = chunks;
}

static int pending_init(struct kunit *test)
{
	ku_set_cow_threshold(SNAP_DEFAULT_COPIES);
	return ku_init(test);
}

static void pending_exit(struct kunit *test)
{
	ku_set_cow_threshold(SNAP_DEFAULT_COPIES);
	ku_exit(test);
}

/* An origin of 128 chunks full of 'o', and a snapshot with room for @cow_chunks. */
struct fixture {
	struct test_disk *origin, *cow;
	struct dm_snapshot *snap;
};

static struct fixture fixture(struct kunit *test, unsigned int cow_chunks)
{
	struct fixture f = {
		.origin = ku_disk(test, 128 * CHUNK, 0),
		.cow = ku_disk(test, cow_chunks * CHUNK, 0),
	};

	ku_disk_fill(f.origin, 0, 128 * CHUNK, 'o');
	f.snap = ku_snap_attached(test, f.origin, f.cow, CHUNK)->t.snap;
	KUNIT_ASSERT_EQ(test, test_disk_record(f.origin, 64), 0);
	KUNIT_ASSERT_EQ(test, test_disk_record(f.cow, 64), 0);
	return f;
}

static bool has_exception(struct dm_snapshot *snap, u64 chunk)
{
	u64 new;

	return snap_exception_lookup(&snap->exceptions, chunk, &new);
}

static bool is_pending(struct dm_snapshot *snap, u64 chunk)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	bool yes;

	spin_lock_irq(&bucket->lock);
	yes = snap_bucket_first(bucket, chunk, 1);
	spin_unlock_irq(&bucket->lock);
	return yes;
}

/* What the module does for ranges, for one chunk. */
static enum snap_copy find_one(struct dm_snapshot *snap, u64 chunk, struct bio *bio,
			       struct snap_pending **spare, struct snap_pending **pe)
{
	u64 nr = 1;

	return snap_pending_find(snap, chunk, &nr, bio, spare, pe);
}

static bool join_one(struct dm_snapshot *snap, u64 chunk, struct bio *bio)
{
	return snap_pending_join(snap, chunk, 1, bio);
}

static bool track_one(struct dm_snapshot *snap, u64 chunk, struct snap_bio *sb, u64 *new)
{
	u64 nr = 1;

	return snap_read_track(snap, chunk, &nr, sb, new);
}

/* Whether the snapshot reads the copy; a read that does not is tracked, and ended at once. */
static bool reads_the_copy(struct dm_snapshot *snap, u64 chunk)
{
	struct snap_bio sb;
	u64 new;

	if (!track_one(snap, chunk, &sb, &new))
		return true;
	snap_read_done(snap, &sb);
	return false;
}

/* A new pending exception, not started. */
static struct snap_pending *pending(struct kunit *test, struct dm_snapshot *snap, u64 chunk,
				    struct bio *bio)
{
	struct snap_pending *pe = NULL;

	KUNIT_ASSERT_EQ(test, find_one(snap, chunk, bio, NULL, &pe),
			SNAP_COPY_PENDING);
	KUNIT_ASSERT_NOT_NULL(test, pe);
	return pe;
}

/* Copies a chunk from beginning to end. */
static void copy_chunk(struct kunit *test, struct dm_snapshot *snap, u64 chunk)
{
	snap_pending_start(pending(test, snap, chunk, NULL));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(has_exception(snap, chunk)));
}

static struct ku_bio *origin_write(struct kunit *test, struct fixture *f, u64 chunk)
{
	return ku_bio(test, f->origin, REQ_OP_WRITE, chunk * CHUNK, CHUNK, 'n');
}

/* A write of the origin waits as long as the COW device holds one request, and has done nothing. */
static void expect_held_up(struct kunit *test, struct fixture *f, struct ku_bio *kb, u64 chunk)
{
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(f->cow) == 1));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(kb));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->origin, chunk * CHUNK, CHUNK, 'o'));
}

/*
 * Buckets, new and joined.
 */

struct bucket_count {
	u64 chunks;
	unsigned int buckets;
};

static const struct bucket_count bucket_counts[] = {
	{ 0, SNAP_MIN_BUCKETS }, { SNAP_MIN_BUCKETS * 4096, SNAP_MIN_BUCKETS },
	{ (SNAP_MIN_BUCKETS + 1) * 4096, 2 * SNAP_MIN_BUCKETS },
	/* 2 GiB of chunks of 4 KiB, 64 GiB of them */
	{ 1ULL << 19, 128 }, { 1ULL << 24, SNAP_MAX_BUCKETS }, { 1ULL << 40, SNAP_MAX_BUCKETS },
};

static void bucket_count_desc(const struct bucket_count *c, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%llu chunks", c->chunks);
}

KUNIT_ARRAY_PARAM(bucket_count, bucket_counts, bucket_count_desc);

static void buckets_fit_the_cow_device(struct kunit *test)
{
	const struct bucket_count *c = test->param_value;
	struct dm_snapshot *snap = kunit_kzalloc(test, sizeof(*snap), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, snap);
	snap->store.chunk_shift = 3;
	snap->store.chunk_size = 8;
	snap->store.cow = ku_fake_bdev(test, c->chunks << 3, 512);
	KUNIT_ASSERT_EQ(test, snap_buckets_init(snap), 0);
	KUNIT_EXPECT_EQ(test, snap->bucket_mask + 1, c->buckets);
	KUNIT_EXPECT_EQ(test, snap->bucket_shift, 8);
	KUNIT_EXPECT_PTR_EQ(test, snap_bucket_of(snap, 3 * 256 + 255 + (5ULL << 40)),
			    &snap->buckets[3]);
	KUNIT_EXPECT_PTR_EQ(test, snap_bucket_of(snap, c->buckets * 256ULL), &snap->buckets[0]);
	KUNIT_EXPECT_EQ(test, snap->pending_pool.min_nr, SNAP_MIN_PENDING);
	snap_buckets_exit(snap);
}

/* The first makes the exception, others find it, and after its end there is nothing to wait for. */
static void first_writer_makes_it(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct snap_pending *pe, *other, *none;

	pe = pending(test, f.snap, 3, NULL);
	KUNIT_EXPECT_EQ(test, pe->log.old, 3);
	KUNIT_EXPECT_FALSE(test, pe->copied);
	none = pe;
	KUNIT_EXPECT_EQ(test, find_one(f.snap, 3, NULL, NULL, &none),
			SNAP_COPY_PENDING);
	KUNIT_EXPECT_NULL(test, none);
	other = pending(test, f.snap, 4, NULL);
	KUNIT_EXPECT_NE(test, other->log.new, pe->log.new);
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 3));

	snap_pending_start(pe);
	snap_pending_start(other);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(has_exception(f.snap, 3) &&
					      has_exception(f.snap, 4)));
	KUNIT_EXPECT_FALSE(test, is_pending(f.snap, 3));
	none = pe;
	KUNIT_EXPECT_EQ(test, find_one(f.snap, 3, NULL, NULL, &none),
			SNAP_COPY_NOT_NEEDED);
	KUNIT_EXPECT_NULL(test, none);
	KUNIT_EXPECT_TRUE(test, f.snap->valid);
}

/* Those who come while it is being copied wait, with whoever made it, for the copy. */
static void writers_wait_for_the_copy(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *first = origin_write(test, &f, 3), *second = origin_write(test, &f, 3);

	KUNIT_EXPECT_FALSE(test, join_one(f.snap, 3, &second->bio));
	test_disk_hold(f.cow);
	snap_pending_start(pending(test, f.snap, 3, &first->bio));
	KUNIT_EXPECT_TRUE(test, join_one(f.snap, 3, &second->bio));
	KUNIT_EXPECT_FALSE(test, join_one(f.snap, 4, &second->bio));
	expect_held_up(test, &f, first, 3);

	test_disk_release(f.cow);
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(first));
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(second));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.origin, 3 * CHUNK, CHUNK, 'n'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 0, CHUNK, 'o'));
	KUNIT_EXPECT_FALSE(test, join_one(f.snap, 3, &second->bio));
}

/* A bio is attached only by whoever makes the exception: the others wait as they like. */
static void bio_is_attached_once(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *first = origin_write(test, &f, 3), *second = origin_write(test, &f, 3);
	struct snap_pending *pe = pending(test, f.snap, 3, &first->bio), *none;

	KUNIT_EXPECT_EQ(test, find_one(f.snap, 3, &second->bio, NULL, &none),
			SNAP_COPY_PENDING);
	KUNIT_EXPECT_EQ(test, bio_list_size(&pe->origin_bios), 1);
	KUNIT_EXPECT_PTR_EQ(test, bio_list_peek(&pe->origin_bios), &first->bio);
	snap_pending_start(pe);
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(first));
}

/* The end of the origin need not be the end of a chunk. */
static void last_chunk_may_be_short(struct kunit *test)
{
	struct test_disk *origin = ku_disk(test, 3 * CHUNK + 5, 0), *cow = ku_disk(test, 128, 0);
	struct dm_snapshot *snap = ku_snap_attached(test, origin, cow, CHUNK)->t.snap;

	KUNIT_ASSERT_EQ(test, test_disk_record(cow, 4), 0);
	ku_disk_fill(origin, 0, 3 * CHUNK + 5, 'o');
	copy_chunk(test, snap, 3);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(cow), 1);
	KUNIT_EXPECT_EQ(test, cow->records[0].count, 5);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(cow, 0, 5, 'o'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(cow, 5, 3, 0));
}

/*
 * Ranges.
 */

static u64 find_range(struct dm_snapshot *snap, u64 chunk, u64 nr, enum snap_copy expected,
		      struct snap_pending **pe)
{
	return snap_pending_find(snap, chunk, &nr, NULL, NULL, pe) == expected ? nr : U64_MAX;
}

/* A range is one job, one write, and one addition to the table. */
static void range_is_copied_at_once(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct snap_pending *pe;

	KUNIT_ASSERT_EQ(test, find_range(f.snap, 3, 10, SNAP_COPY_PENDING, &pe), 10);
	KUNIT_ASSERT_NOT_NULL(test, pe);
	KUNIT_EXPECT_TRUE(test, is_pending(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, is_pending(f.snap, 12));
	KUNIT_EXPECT_FALSE(test, is_pending(f.snap, 2));
	KUNIT_EXPECT_FALSE(test, is_pending(f.snap, 13));
	test_disk_hold(f.cow);
	snap_pending_start(pe);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(f.cow) == 1));
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f.snap->copies), 10);
	test_disk_release(f.cow);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(has_exception(f.snap, 3)));
	KUNIT_EXPECT_EQ(test, snap_exception_count(&f.snap->exceptions, 3, 99), 10);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f.snap->copies), 0);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f.origin), 1);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f.cow), 1);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 0, 10 * CHUNK, 'o'));
}

/* What is pending or copied already ends a range, and each answer is for chunks of one kind. */
static void ranges_fit_between_others(struct kunit *test)
{
	struct fixture f = fixture(test, 64);
	struct snap_pending *one, *two, *pe;

	copy_chunk(test, f.snap, 20);
	copy_chunk(test, f.snap, 22);
	test_disk_hold(f.cow);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 5, 2, SNAP_COPY_PENDING, &one), 2);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 3, 10, SNAP_COPY_PENDING, &two), 2);
	KUNIT_ASSERT_NOT_NULL(test, two);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 4, 10, SNAP_COPY_PENDING, &pe), 1);
	KUNIT_EXPECT_NULL(test, pe);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 5, 10, SNAP_COPY_PENDING, &pe), 2);
	KUNIT_EXPECT_NULL(test, pe);
	snap_pending_start(one);
	snap_pending_start(two);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 7, 100, SNAP_COPY_PENDING, &pe), 13);
	snap_pending_start(pe);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 20, 100, SNAP_COPY_NOT_NEEDED, &pe), 1);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 21, 100, SNAP_COPY_PENDING, &pe), 1);
	snap_pending_start(pe);
	test_disk_release(f.cow);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(snap_exception_count(&f.snap->exceptions, 3, 99) ==
					      20));
	KUNIT_EXPECT_TRUE(test, f.snap->valid);
}

/* A range for which there is too little room is as long as there is; the next is too much. */
static void range_ends_with_the_cow_device(struct kunit *test)
{
	struct fixture f = fixture(test, 5);
	struct snap_pending *pe;

	KUNIT_ASSERT_EQ(test, find_range(f.snap, 0, 10, SNAP_COPY_PENDING, &pe), 5);
	KUNIT_EXPECT_TRUE(test, f.snap->valid);
	snap_pending_start(pe);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(has_exception(f.snap, 4)));
	find_range(f.snap, 5, 5, SNAP_COPY_NOT_NEEDED, &pe);
	KUNIT_EXPECT_FALSE(test, f.snap->valid);
}

/* A range is no longer than one job may be, and lies in one bucket. */
static void range_is_limited(struct kunit *test)
{
	struct dm_snapshot *snap = kunit_kzalloc(test, sizeof(*snap), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, snap);
	snap->store.chunk_shift = 3;
	snap->bucket_shift = 8;
	KUNIT_EXPECT_EQ(test, snap_range_chunks(snap, 0, 1000, 1024), 128);
	KUNIT_EXPECT_EQ(test, snap_range_chunks(snap, 0, 1000, 2048), 256);
	KUNIT_EXPECT_EQ(test, snap_range_chunks(snap, 100, 1000, 1024), 128);
	KUNIT_EXPECT_EQ(test, snap_range_chunks(snap, 200, 1000, 1024), 56);
	KUNIT_EXPECT_EQ(test, snap_range_chunks(snap, 200, 3, 1024), 3);
	ku_set_cow_threshold(5);
	KUNIT_EXPECT_EQ(test, snap_range_chunks(snap, 0, 1000, 1024), 5);
	ku_set_cow_threshold(0);
	KUNIT_EXPECT_EQ(test, snap_range_chunks(snap, 0, 1000, 1024), 1);
	ku_set_cow_threshold(SNAP_DEFAULT_COPIES);
	snap->store.chunk_shift = 11;
	snap->bucket_shift = 0;
	KUNIT_EXPECT_EQ(test, snap_range_chunks(snap, 200, 1000, 1024), 1);
}

/*
 * A read of many chunks holds up each copy of any of them that ends meanwhile, and no other. Later
 * ones read what has been copied from the COW device.
 */
static void read_of_a_range_holds_up_its_copies(struct kunit *test)
{
	struct fixture f = fixture(test, 64);
	struct snap_pending *one, *two, *three;
	struct snap_bio read, late;
	u64 nr = 20, new;

	KUNIT_EXPECT_TRUE(test, snap_read_track(f.snap, 0, &nr, &read, &new));
	KUNIT_EXPECT_EQ(test, nr, 20);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 5, 4, SNAP_COPY_PENDING, &one), 4);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 12, 2, SNAP_COPY_PENDING, &two), 2);
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 20, 2, SNAP_COPY_PENDING, &three), 2);
	snap_pending_start(one);
	snap_pending_start(two);
	snap_pending_start(three);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(has_exception(f.snap, 20)));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(reads_the_copy(f.snap, 6) &&
					      reads_the_copy(f.snap, 13)));
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 5));

	nr = 20;
	KUNIT_EXPECT_TRUE(test, snap_read_track(f.snap, 0, &nr, &late, &new));
	KUNIT_EXPECT_EQ(test, nr, 5);
	snap_read_done(f.snap, &late);
	nr = 20;
	KUNIT_EXPECT_FALSE(test, snap_read_track(f.snap, 6, &nr, &late, &new));
	KUNIT_EXPECT_EQ(test, nr, 3);
	KUNIT_EXPECT_EQ(test, new, one->log.new + 1);
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 5));

	snap_read_done(f.snap, &read);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(has_exception(f.snap, 5) &&
					      has_exception(f.snap, 13)));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(snap_pending_none(f.snap)));
}

/*
 * Reads of the origin by the snapshot.
 */

/* A read needs no lock where nothing is pending: in no bucket that it touches. */
static void empty_buckets_are_seen_without_a_lock(struct kunit *test)
{
	struct fixture f = fixture(test, 64);
	struct snap_pending *pe;

	f.snap->bucket_shift = 4;
	KUNIT_EXPECT_TRUE(test, snap_buckets_are_empty(f.snap, 0, 128));
	pe = pending(test, f.snap, 40, NULL);
	KUNIT_EXPECT_TRUE(test, snap_buckets_are_empty(f.snap, 0, 32));
	KUNIT_EXPECT_FALSE(test, snap_buckets_are_empty(f.snap, 31, 2));
	KUNIT_EXPECT_FALSE(test, snap_buckets_are_empty(f.snap, 47, 1));
	KUNIT_EXPECT_TRUE(test, snap_buckets_are_empty(f.snap, 48, 16));
	KUNIT_EXPECT_FALSE(test, snap_buckets_are_empty(f.snap, 0, 128));

	snap_pending_start(pe);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(snap_buckets_are_empty(f.snap, 0, 128)));
	KUNIT_EXPECT_TRUE(test, has_exception(f.snap, 40));
}

/* One that has ended before the copy does not matter to it. */
static void read_that_has_ended_is_forgotten(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct snap_bio sb;
	u64 new;

	KUNIT_EXPECT_TRUE(test, track_one(f.snap, 3, &sb, &new));
	KUNIT_EXPECT_EQ(test, sb.nr, 1);
	KUNIT_EXPECT_EQ(test, sb.chunk, 3);
	snap_read_done(f.snap, &sb);
	KUNIT_EXPECT_TRUE(test, hlist_empty(&snap_bucket_of(f.snap, 3)->reads));
	copy_chunk(test, f.snap, 3);
}

/*
 * When the copy is complete the snapshot reads it; but the origin is not written before the last
 * read of it has ended, and until then there is no completed exception that would let writers go.
 */
static void origin_is_not_written_under_a_read(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *writer = origin_write(test, &f, 3), *joined = origin_write(test, &f, 3);
	struct snap_bio readers[2], late;
	struct snap_pending *pe;
	u64 new = 99;

	KUNIT_EXPECT_TRUE(test, track_one(f.snap, 3, &readers[0], &new));
	pe = pending(test, f.snap, 3, &writer->bio);
	/* Pending, but not copied: the origin may still be read. */
	KUNIT_EXPECT_TRUE(test, track_one(f.snap, 3, &readers[1], &new));
	snap_pending_start(pe);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(reads_the_copy(f.snap, 3)));

	late.nr = 0;
	KUNIT_EXPECT_FALSE(test, track_one(f.snap, 3, &late, &new));
	KUNIT_EXPECT_EQ(test, late.nr, 0);
	KUNIT_EXPECT_EQ(test, new, pe->log.new);
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, join_one(f.snap, 3, &joined->bio));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(writer));

	snap_read_done(f.snap, &readers[0]);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(writer));
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.origin, 3 * CHUNK, CHUNK, 'o'));

	snap_read_done(f.snap, &readers[1]);
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(writer));
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(joined));
	KUNIT_EXPECT_TRUE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_FALSE(test, is_pending(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.origin, 3 * CHUNK, CHUNK, 'n'));
}

/* Chunks share a bucket, and a copy waits for the reads of its own only. */
static void reads_of_other_chunks_do_not_matter(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	u64 new, neighbour = 4;
	struct snap_bio sb;

	KUNIT_ASSERT_PTR_EQ(test, snap_bucket_of(f.snap, 3), snap_bucket_of(f.snap, neighbour));
	KUNIT_EXPECT_TRUE(test, track_one(f.snap, neighbour, &sb, &new));
	copy_chunk(test, f.snap, 3);

	/* Nor does the end of that read end anything else. */
	snap_pending_start(pending(test, f.snap, neighbour, NULL));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(reads_the_copy(f.snap, neighbour)));
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, neighbour));
	snap_read_done(f.snap, &sb);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(has_exception(f.snap, neighbour)));
}

/* A snapshot write finds the copy even while the exception waits for readers. */
static void snapshot_write_does_not_wait_for_readers(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *kb = ku_bio(test, f.origin, REQ_OP_WRITE, 3 * CHUNK + 2, 1, 's');
	struct snap_bio sb;
	u64 new;

	copy_chunk(test, f.snap, 9);
	KUNIT_EXPECT_TRUE(test, track_one(f.snap, 3, &sb, &new));
	snap_pending_start(pending(test, f.snap, 3, NULL));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(reads_the_copy(f.snap, 3)));
	KUNIT_EXPECT_EQ(test, snap_pending_write(f.snap, 3, &kb->bio), DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_PTR_EQ(test, kb->bio.bi_bdev, f.cow->bdev);
	KUNIT_EXPECT_EQ(test, kb->bio.bi_iter.bi_sector, CHUNK + 2);
	snap_read_done(f.snap, &sb);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(has_exception(f.snap, 3)));
}

/* Readers on all CPUs against a writer. */
#define RACE_CHUNKS	96

struct race {
	struct fixture f;
	struct ku_bio *writes[RACE_CHUNKS];
	unsigned int at;	/* chunk that is being written; RACE_CHUNKS at the end */
	atomic_t wrong;
	atomic_t tracked;
	atomic_t copies;
};

static void race_read(struct race *race, u64 chunk)
{
	struct fixture *f = &race->f;
	struct snap_bio sb;
	unsigned int i;
	u64 new;

	if (!track_one(f->snap, chunk, &sb, &new)) {
		if (!ku_disk_holds(f->cow, new * CHUNK, CHUNK, 'o'))
			atomic_inc(&race->wrong);
		atomic_inc(&race->copies);
		return;
	}
	for (i = 0; i < 10; i++)
		if (!ku_disk_holds(f->origin, chunk * CHUNK, CHUNK, 'o'))
			atomic_inc(&race->wrong);
	snap_read_done(f->snap, &sb);
	atomic_inc(&race->tracked);
}

static void race_on_cpu(unsigned int cpu, void *arg)
{
	struct race *race = arg;
	unsigned int at;

	if (cpu == cpumask_first(cpu_online_mask)) {
		for (at = 0; at < RACE_CHUNKS; at++) {
			struct ku_bio *kb = race->writes[at];

			WRITE_ONCE(race->at, at);
			if (snap_origin_write(race->f.snap->origin, &kb->bio, false) ==
			    DM_MAPIO_REMAPPED)
				submit_bio_noacct(&kb->bio);
			if (!ku_bio_wait(kb))
				atomic_inc(&race->wrong);
		}
		WRITE_ONCE(race->at, RACE_CHUNKS);
		return;
	}

	while ((at = READ_ONCE(race->at)) < RACE_CHUNKS) {
		race_read(race, at);
		race_read(race, min(at + 1, RACE_CHUNKS - 1U));
		cond_resched();
	}
}

/* Whatever a read of the snapshot finds, as long as it lasts it is what was there before. */
static void readers_never_see_new_data(struct kunit *test)
{
	struct race *race = kunit_kzalloc(test, sizeof(*race), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, race);
	if (num_online_cpus() < 2)
		kunit_skip(test, "one CPU only");
	race->f = fixture(test, RACE_CHUNKS);
	test_disk_set(race->f.cow, TEST_DISK_IRQ, 0, 200);
	for (i = 0; i < RACE_CHUNKS; i++)
		race->writes[i] = origin_write(test, &race->f, i);
	ku_run_on_cpus(test, race_on_cpu, race);
	KUNIT_EXPECT_EQ(test, atomic_read(&race->wrong), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&race->tracked), 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(race->f.origin, 0, RACE_CHUNKS * CHUNK, 'n'));
	for (i = 0; i < RACE_CHUNKS; i++)
		KUNIT_EXPECT_TRUE(test, has_exception(race->f.snap, i));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(race->f.cow, 0, RACE_CHUNKS * CHUNK, 'o'));
}

/*
 * Writes to the snapshot.
 */

static int snapshot_write(struct kunit *test, struct fixture *f, unsigned int sector,
			  unsigned int count, struct ku_bio **kb)
{
	*kb = ku_bio(test, f->origin, REQ_OP_WRITE, sector, count, 's');
	return snap_pending_write(f->snap, sector / CHUNK, &(*kb)->bio);
}

/* A chunk that is written as a whole is not copied. */
static void full_write_needs_no_copy(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *kb;

	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, CHUNK, &kb), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 0, CHUNK, 's'));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f.origin), 0);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f.cow), 1);
}

/*
 * Writes of a persistent snapshot.
 */

/* As fixture(), persistent: chunks of data follow the header and one of metadata. */
static struct fixture persistent_fixture(struct kunit *test)
{
	struct fixture f = {
		.origin = ku_disk(test, 128 * CHUNK, 0),
		.cow = ku_disk(test, 64 * CHUNK, 0),
	};

	ku_disk_fill(f.origin, 0, 128 * CHUNK, 'o');
	ku_disk_fill(f.cow, 0, 64 * CHUNK, 0);
	f.snap = ku_snap_persistent(test, f.origin, f.cow, CHUNK)->t.snap;
	KUNIT_ASSERT_EQ(test, test_disk_record(f.origin, 64), 0);
	KUNIT_ASSERT_EQ(test, test_disk_record(f.cow, 64), 0);
	return f;
}

/* Writes to the chunk of metadata. */
static unsigned int nr_commits(const struct fixture *f)
{
	unsigned int i, nr = 0;

	for (i = 0; i < test_disk_nr_records(f->cow); i++)
		nr += f->cow->records[i].sector == CHUNK && f->cow->records[i].op == REQ_OP_WRITE;
	return nr;
}

/* Whether the exceptions on disk include that of @chunk. */
static bool is_durable(const struct fixture *f, u64 chunk)
{
	struct snap_disk_exception *e = (void *)(f->cow->store + (CHUNK << SECTOR_SHIFT));

	for (; e->new; e++)
		if (le64_to_cpu(e->old) == chunk)
			return true;
	return false;
}

static struct ku_bio *written(struct kunit *test, struct fixture *f, unsigned int sector,
			      unsigned int count, blk_opf_t flags)
{
	struct ku_bio *kb = ku_bio(test, f->origin, REQ_OP_WRITE | flags, sector, count, 's');

	if (snap_pending_write(f->snap, sector / CHUNK, &kb->bio) == DM_MAPIO_REMAPPED)
		submit_bio_noacct(&kb->bio);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_OK);
	return kb;
}

/* It ends with its data; the snapshot finds them, though no exception is on disk. */
static void write_is_deferred(struct kunit *test)
{
	struct fixture f = persistent_fixture(test);
	u64 nr = 5, new;

	written(test, &f, 3 * CHUNK, CHUNK, 0);
	written(test, &f, 7 * CHUNK + 1, 2, 0);
	KUNIT_EXPECT_TRUE(test, is_pending(f.snap, 3));
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, reads_the_copy(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, reads_the_copy(f.snap, 7));
	KUNIT_EXPECT_FALSE(test, reads_the_copy(f.snap, 4));
	KUNIT_EXPECT_TRUE(test, snap_pending_lookup(f.snap, 3, &nr, &new));
	KUNIT_EXPECT_EQ(test, nr, 1);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, new * CHUNK, CHUNK, 's'));
	nr = 5;
	KUNIT_EXPECT_FALSE(test, snap_pending_lookup(f.snap, 2, &nr, &new));
	KUNIT_EXPECT_EQ(test, nr, 1);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f.snap->copies), 0);

	/* What is written again goes to the same place. */
	written(test, &f, 3 * CHUNK + 2, 1, 0);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(has_exception(f.snap, 3) &&
					      has_exception(f.snap, 7)));
	KUNIT_EXPECT_EQ(test, nr_commits(&f), 1);
	KUNIT_EXPECT_TRUE(test, is_durable(&f, 3));
	KUNIT_EXPECT_FALSE(test, is_pending(f.snap, 3));
}

/* With commit=write it ends when its exception is durable. */
static void write_is_committed(struct kunit *test)
{
	struct fixture f = persistent_fixture(test);

	f.snap->defers = false;
	written(test, &f, 3 * CHUNK, CHUNK, 0);
	KUNIT_EXPECT_TRUE(test, is_durable(&f, 3));
	KUNIT_EXPECT_TRUE(test, has_exception(f.snap, 3));
	written(test, &f, 7 * CHUNK + 1, 2, 0);
	KUNIT_EXPECT_TRUE(test, is_durable(&f, 7));
	KUNIT_EXPECT_EQ(test, nr_commits(&f), 2);
}

/* With FUA as well; and if the exception has been deferred, with that. */
static void fua_is_committed(struct kunit *test)
{
	struct fixture f = persistent_fixture(test);

	written(test, &f, 3 * CHUNK, CHUNK, REQ_FUA);
	KUNIT_EXPECT_TRUE(test, is_durable(&f, 3));
	written(test, &f, 5 * CHUNK + 1, 2, REQ_FUA);
	KUNIT_EXPECT_TRUE(test, is_durable(&f, 5));
	written(test, &f, 4 * CHUNK, CHUNK, 0);
	written(test, &f, 4 * CHUNK + 2, 1, REQ_FUA);
	KUNIT_EXPECT_TRUE(test, is_durable(&f, 4));
	KUNIT_EXPECT_TRUE(test, has_exception(f.snap, 4));
}

/* The origin is not overwritten before the exception is durable: nobody else has the data. */
static void origin_write_commits_what_was_deferred(struct kunit *test)
{
	struct fixture f = persistent_fixture(test);
	struct ku_bio *origin = origin_write(test, &f, 3);
	struct snap_pending *none;

	written(test, &f, 3 * CHUNK, CHUNK, 0);
	written(test, &f, 9 * CHUNK, CHUNK, 0);
	test_disk_set(f.cow, TEST_DISK_TASK, 0, 0);
	test_disk_hold(f.cow);
	KUNIT_EXPECT_EQ(test, find_one(f.snap, 3, &origin->bio, NULL, &none), SNAP_COPY_PENDING);
	KUNIT_EXPECT_NULL(test, none);
	KUNIT_EXPECT_TRUE(test, join_one(f.snap, 3, &origin->bio));
	expect_held_up(test, &f, origin, 3);
	test_disk_release(f.cow);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(origin));
	KUNIT_EXPECT_TRUE(test, is_durable(&f, 3));
	KUNIT_EXPECT_TRUE(test, is_durable(&f, 9));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.origin, 3 * CHUNK, CHUNK, 'n'));
	KUNIT_EXPECT_EQ(test, nr_commits(&f), 1);
}

/* The origin's write waits for reads of the origin that had begun before the snapshot's, too. */
static void deferred_write_meets_a_reader(struct kunit *test)
{
	struct fixture f = persistent_fixture(test);
	struct ku_bio *origin = origin_write(test, &f, 3);
	struct snap_bio sb;
	u64 new;

	KUNIT_EXPECT_TRUE(test, track_one(f.snap, 3, &sb, &new));
	written(test, &f, 3 * CHUNK, CHUNK, 0);
	KUNIT_EXPECT_TRUE(test, reads_the_copy(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, join_one(f.snap, 3, &origin->bio));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_durable(&f, 3)));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(origin));
	snap_read_done(f.snap, &sb);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(origin));
	KUNIT_EXPECT_TRUE(test, has_exception(f.snap, 3));
}

/* A write with FUA finds an exception that is durable, but waits for a reader: it need not wait. */
static void fua_meets_a_reader(struct kunit *test)
{
	struct fixture f = persistent_fixture(test);
	struct snap_bio sb;
	u64 new;

	KUNIT_EXPECT_TRUE(test, track_one(f.snap, 3, &sb, &new));
	written(test, &f, 3 * CHUNK, CHUNK, 0);
	snap_pending_hurry(f.snap);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(is_durable(&f, 3)));
	ku_pause();
	KUNIT_EXPECT_TRUE(test, is_pending(f.snap, 3));
	written(test, &f, 3 * CHUNK + 1, 1, REQ_FUA);
	snap_read_done(f.snap, &sb);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(has_exception(f.snap, 3)));
}

/* Without memory for the completed exception the snapshot becomes invalid before the write ends. */
static void nothing_is_deferred_without_room(struct kunit *test)
{
	struct fixture f = persistent_fixture(test);
	struct ku_bio *kb = ku_bio(test, f.origin, REQ_OP_WRITE, 3 * CHUNK, CHUNK, 's');

	dm_scaled_caches_empty_local();
	/* The pending exception only. */
	ku_allow(1);
	KUNIT_EXPECT_EQ(test, snap_pending_write(f.snap, 3, &kb->bio), DM_MAPIO_SUBMITTED);
	ku_allow(KU_ALL);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, f.snap->valid);
}

/* Who joins while the chunks are being written has them committed. */
static void origin_write_joins_before_it_is_deferred(struct kunit *test)
{
	struct fixture f = persistent_fixture(test);
	struct ku_bio *full, *origin = origin_write(test, &f, 3);

	test_disk_set(f.cow, TEST_DISK_TASK, 0, 0);
	test_disk_hold(f.cow);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, CHUNK, &full),
			DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_TRUE(test, join_one(f.snap, 3, &origin->bio));
	test_disk_end_oldest(f.cow, 1);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(f.cow) == 1));
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(full));
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(origin));
	test_disk_release(f.cow);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(full));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(origin));
	KUNIT_EXPECT_TRUE(test, is_durable(&f, 3));
}

/* What was deferred is lost if the log fails; then the snapshot is invalid, and says so. */
static void deferred_write_is_lost(struct kunit *test)
{
	struct fixture f = persistent_fixture(test);
	struct ku_bio *origin = origin_write(test, &f, 3);

	written(test, &f, 3 * CHUNK, CHUNK, 0);
	test_disk_fail(f.cow, WRITES, CHUNK, 1, BLK_STS_IOERR);
	KUNIT_EXPECT_TRUE(test, join_one(f.snap, 3, &origin->bio));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(origin));
	KUNIT_EXPECT_EQ(test, (int)origin->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, f.snap->valid);
	test_disk_heal(f.cow);
}

/* If nobody waits for the chunk, no worker is needed: this disk ends bios at once. */
static void full_write_completes_at_once(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct snap_bio sb = { .nr = 0 };
	struct ku_bio *kb;
	u64 new;

	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, CHUNK, &kb), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_TRUE(test, ku_bio_has_ended(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_FALSE(test, is_pending(f.snap, 3));
	KUNIT_EXPECT_FALSE(test, track_one(f.snap, 3, &sb, &new));
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f.snap->copies), 0);
}

/* Whole chunks that follow each other are written with one bio, and found when it has ended. */
static void full_write_of_a_range(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *kb;

	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, 10 * CHUNK, &kb),
			DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_TRUE(test, ku_bio_has_ended(kb));
	KUNIT_EXPECT_EQ(test, snap_exception_count(&f.snap->exceptions, 3, 99), 10);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f.cow), 1);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f.origin), 0);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 0, 10 * CHUNK, 's'));
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f.snap->copies), 0);
}

struct snapshot_cut {
	const char *name;
	unsigned int sector, count, expected;
};

/* Chunks 8 and 9 are being copied, 14 and 15 have been; the device has 16. */
static const struct snapshot_cut snapshot_cuts[] = {
	{ "a part of a chunk", 3, 4, 4 },
	{ "from within a chunk", 3, 40, 5 },
	{ "whole chunks and a part of one", 8, 20, 16 },
	{ "up to what is being copied", 8, 80, 56 },
	{ "in what is being copied", 66, 20, 6 },
	{ "all that is being copied", 64, 40, 16 },
	{ "up to what has been copied", 80, 64, 32 },
	{ "in what has been copied", 113, 40, 7 },
	{ "all that has been copied", 112, 40, 16 },
	{ "more than there is room for", 128, 128, 96 },
};

static void snapshot_cut_desc(const struct snapshot_cut *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(snapshot_cut, snapshot_cuts, snapshot_cut_desc);

static void snapshot_writes_are_cut(struct kunit *test)
{
	const struct snapshot_cut *c = test->param_value;
	struct fixture f = fixture(test, 16);
	struct snap_pending *pe;
	struct ku_bio *kb;
	int r;

	KUNIT_EXPECT_EQ(test, find_range(f.snap, 14, 2, SNAP_COPY_PENDING, &pe), 2);
	snap_pending_start(pe);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(has_exception(f.snap, 14)));
	KUNIT_EXPECT_EQ(test, find_range(f.snap, 8, 2, SNAP_COPY_PENDING, &pe), 2);

	kb = ku_bio(test, f.origin, REQ_OP_WRITE, c->sector, c->count, 's');
	test_disk_hold(f.cow);
	r = snap_pending_write(f.snap, c->sector / CHUNK, &kb->bio);
	KUNIT_EXPECT_EQ(test, bio_sectors(&kb->bio), c->expected);
	KUNIT_EXPECT_EQ(test, r, c->sector / CHUNK == 14 ? DM_MAPIO_REMAPPED : DM_MAPIO_SUBMITTED);
	snap_pending_start(pe);
	test_disk_release(f.cow);
	if (r == DM_MAPIO_SUBMITTED)
		KUNIT_EXPECT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(snap_pending_none(f.snap)));
	KUNIT_EXPECT_TRUE(test, f.snap->valid);
}

struct zeroes {
	const char *name;
	unsigned int offered;	/* sectors of the largest command */
	unsigned long refused;	/* operations */
	blk_status_t status;
};

static const struct zeroes zeroes[] = {
	{ "the device writes zeroes", 64, 0, BLK_STS_OK },
	{ "it offers to, and refuses", 64, OP_BIT(REQ_OP_WRITE_ZEROES), BLK_STS_NOTSUPP },
	{ "a SCSI disk refuses", 64, OP_BIT(REQ_OP_WRITE_ZEROES), BLK_STS_TARGET },
	{ "it does not offer it", 0, 0, BLK_STS_OK },
	{ "it cannot be written", 64, OP_BIT(REQ_OP_WRITE_ZEROES) | WRITES, BLK_STS_IOERR },
};

static void zeroes_desc(const struct zeroes *z, char *desc)
{
	strscpy(desc, z->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(zeroes, zeroes, zeroes_desc);

/* The chunks are taken: a device that refuses to zero them gets zeroes to write. */
static void zeroes_of_whole_chunks(struct kunit *test)
{
	const struct zeroes *z = test->param_value;
	struct test_disk *origin = ku_disk(test, 128 * CHUNK, 0);
	struct test_disk *cow = ku_disk(test, 16 * CHUNK, z->offered);
	struct dm_snapshot *snap = ku_snap_attached(test, origin, cow, CHUNK)->t.snap;
	struct ku_bio *kb, *part;
	bool fails = z->refused & WRITES;

	ku_disk_fill(cow, 0, 16 * CHUNK, 'c');
	if (z->refused)
		test_disk_fail(cow, z->refused, 0, 1, z->status);
	test_disk_hold(cow);
	kb = ku_bio(test, origin, REQ_OP_WRITE_ZEROES, 3 * CHUNK, 10 * CHUNK, 0);
	KUNIT_EXPECT_EQ(test, snap_pending_write(snap, 3, &kb->bio), DM_MAPIO_SUBMITTED);
	part = ku_bio(test, origin, REQ_OP_WRITE, 5 * CHUNK + 2, 3, 'p');
	KUNIT_EXPECT_EQ(test, snap_pending_write(snap, 5, &part->bio), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_FALSE(test, has_exception(snap, 3));
	test_disk_release(cow);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(part));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(snap_pending_none(snap)));
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&snap->copies), 0);

	KUNIT_EXPECT_EQ(test, READ_ONCE(snap->valid), !fails);
	KUNIT_EXPECT_EQ(test, !kb->status, !fails);
	KUNIT_EXPECT_EQ(test, snap_exception_count(&snap->exceptions, 3, 99), fails ? 0 : 10);
	if (fails)
		return;
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(cow, 0, 2 * CHUNK + 2, 0));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(cow, 2 * CHUNK + 2, 3, 'p'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(cow, 2 * CHUNK + 5, 8 * CHUNK - 5, 0));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(cow, 10 * CHUNK, 6 * CHUNK, 'c'));
}

/* Others write parts of chunks in the middle of a range, or wait to write them on the origin. */
static void full_write_of_a_range_has_company(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *part, *full, *origin = origin_write(test, &f, 5);

	test_disk_hold(f.cow);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, 4 * CHUNK, &full),
			DM_MAPIO_SUBMITTED);
	part = ku_bio(test, f.origin, REQ_OP_WRITE, 5 * CHUNK + 2, 3, 'p');
	KUNIT_EXPECT_EQ(test, snap_pending_write(f.snap, 5, &part->bio), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_TRUE(test, join_one(f.snap, 5, &origin->bio));
	test_disk_release(f.cow);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(full));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(part));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(origin));
	KUNIT_EXPECT_EQ(test, snap_exception_count(&f.snap->exceptions, 3, 99), 4);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 0, 18, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 18, 3, 'p'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 21, 11, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.origin, 5 * CHUNK, CHUNK, 'n'));
}

/* The chunk is written for the snapshot as soon as for those who wait to write a part of it. */
static void full_write_has_company(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *part, *full, *origin = origin_write(test, &f, 3);

	test_disk_hold(f.cow);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, CHUNK, &full),
			DM_MAPIO_SUBMITTED);
	part = ku_bio(test, f.origin, REQ_OP_WRITE, 3 * CHUNK + 2, 3, 'p');
	KUNIT_EXPECT_EQ(test, snap_pending_write(f.snap, 3, &part->bio), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_TRUE(test, join_one(f.snap, 3, &origin->bio));
	KUNIT_EXPECT_TRUE(test, is_pending(f.snap, 3));
	test_disk_release(f.cow);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(full));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(part));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(origin));
	KUNIT_EXPECT_TRUE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 0, 2, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 2, 3, 'p'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 5, 3, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.origin, 3 * CHUNK, CHUNK, 'n'));
}

/* Those who read the chunk in the origin hold up writes to the origin, not the write itself. */
static void full_write_meets_a_reader(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *full, *origin = origin_write(test, &f, 3);
	struct snap_bio sb;
	u64 new;

	test_disk_hold(f.cow);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, CHUNK, &full),
			DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_TRUE(test, track_one(f.snap, 3, &sb, &new));
	KUNIT_EXPECT_TRUE(test, join_one(f.snap, 3, &origin->bio));
	test_disk_release(f.cow);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(full));
	KUNIT_EXPECT_EQ(test, (int)full->status, (int)BLK_STS_OK);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(origin));
	snap_read_done(f.snap, &sb);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(origin));
	KUNIT_EXPECT_TRUE(test, has_exception(f.snap, 3));
}

/* Memory that the last exception did not need is the next one's. */
static void room_is_kept(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct snap_group *room;
	struct snap_pending *pe;

	copy_chunk(test, f.snap, 3);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(!is_pending(f.snap, 3)));
	pe = snap_pending_alloc(f.snap, true);
	room = pe->room;
	KUNIT_ASSERT_NOT_NULL(test, room);
	snap_pending_free_memory(pe);
	pe = snap_pending_alloc(f.snap, true);
	KUNIT_EXPECT_PTR_EQ(test, pe->room, room);
	snap_pending_free_memory(pe);
}

/* A part waits for the copy, and so does what comes meanwhile, a full write as well. */
static void partial_write_waits_for_the_copy(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *part, *more, *full;

	test_disk_hold(f.origin);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK + 2, 3, &part),
			DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK + 7, 1, &more),
			DM_MAPIO_SUBMITTED);
	ku_pause();
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f.cow), 0);
	test_disk_release(f.origin);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(part));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(more));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 0, 2, 'o'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 2, 3, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 5, 2, 'o'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 7, 1, 's'));

	test_disk_hold(f.cow);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 4 * CHUNK, 1, &part), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 4 * CHUNK, CHUNK, &full),
			DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(f.cow) == 1));
	test_disk_release(f.cow);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(full));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(part));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, CHUNK, CHUNK, 's'));
}

/* The exception of a full write is complete when the write is: a failed one must not count. */
static void failed_full_write_invalidates(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	unsigned int before = ku_events();
	struct ku_bio *kb;

	test_disk_fail(f.cow, WRITES, 0, 1, BLK_STS_MEDIUM);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, CHUNK, &kb), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_NE(test, (int)kb->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(f.snap->valid));
	KUNIT_EXPECT_EQ(test, ku_events(), before + 1);
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!is_pending(f.snap, 3)));
}

/*
 * Failures.
 */

enum fault { ORIGIN_READ, COW_WRITE };

struct fault_param {
	const char *name;
	enum fault fault;
};

static const struct fault_param faults[] = {
	{ "the origin cannot be read", ORIGIN_READ },
	{ "the COW device cannot be written", COW_WRITE },
};

static void fault_desc(const struct fault_param *p, char *desc)
{
	strscpy(desc, p->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(fault, faults, fault_desc);

/* The snapshot is given up, with an event; the origin's writers go on, the snapshot's do not. */
static void failed_copy_invalidates(struct kunit *test)
{
	const struct fault_param *p = test->param_value;
	struct fixture f = fixture(test, 16);
	struct ku_bio *writer = origin_write(test, &f, 3), *kb;
	unsigned int before = ku_events();
	struct snap_pending *pe;

	if (p->fault == ORIGIN_READ)
		test_disk_fail(f.origin, READS, 3 * CHUNK, 1, BLK_STS_MEDIUM);
	if (p->fault == COW_WRITE)
		test_disk_fail(f.cow, WRITES, 0, 1, BLK_STS_MEDIUM);
	pe = pending(test, f.snap, 3, &writer->bio);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, 1, &kb), DM_MAPIO_SUBMITTED);
	snap_pending_start(pe);

	KUNIT_ASSERT_TRUE(test, ku_bio_wait(writer));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)writer->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(f.snap->valid));
	KUNIT_EXPECT_EQ(test, ku_events(), before + 1);
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 3));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.origin, 3 * CHUNK, CHUNK, 'n'));
}

/* A write to the snapshot that finds no memory for the exception begins to copy all the same. */
static void no_room_invalidates(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	unsigned int before = ku_events();
	struct ku_bio *kb;

	dm_scaled_caches_empty_local();
	ku_allow(0);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 3 * CHUNK, 1, &kb), DM_MAPIO_SUBMITTED);
	ku_allow(KU_ALL);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(f.snap->valid));
	KUNIT_EXPECT_EQ(test, ku_events(), before + 1);
	KUNIT_EXPECT_FALSE(test, has_exception(f.snap, 3));
}

static struct snap_pending *spare_of(struct dm_snapshot *snap)
{
	int idx = srcu_read_lock(&snap->origin->srcu);

	snap_get(snap);
	srcu_read_unlock(&snap->origin->srcu, idx);
	return snap_pending_wait(snap);
}

/* Memory that a write has waited for becomes its pending exception, and its reference goes. */
static void spare_is_used_once(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct snap_pending *spare = spare_of(f.snap), *first = spare, *pe;

	KUNIT_ASSERT_NOT_NULL(test, spare);
	KUNIT_EXPECT_EQ(test, refcount_read(&f.snap->users), 2);
	KUNIT_EXPECT_TRUE(test, snap_pending_none(f.snap));
	KUNIT_EXPECT_EQ(test, find_one(f.snap, 3, NULL, &spare, &pe), SNAP_COPY_PENDING);
	KUNIT_EXPECT_PTR_EQ(test, pe, first);
	KUNIT_EXPECT_NULL(test, spare);
	KUNIT_EXPECT_EQ(test, refcount_read(&f.snap->users), 1);
	test_disk_hold(f.origin);
	snap_pending_start(pe);

	/* Somebody else makes it meanwhile. */
	spare = spare_of(f.snap);
	KUNIT_EXPECT_EQ(test, find_one(f.snap, 3, NULL, &spare, &pe), SNAP_COPY_PENDING);
	KUNIT_EXPECT_NULL(test, pe);
	/* Then it is left for the next chunk. */
	KUNIT_ASSERT_NOT_NULL(test, spare);
	KUNIT_EXPECT_EQ(test, refcount_read(&f.snap->users), 2);
	snap_pending_spare_free(spare);
	KUNIT_EXPECT_EQ(test, refcount_read(&f.snap->users), 1);
	test_disk_release(f.origin);

	snap_pending_spare_free(spare_of(f.snap));
	KUNIT_EXPECT_EQ(test, refcount_read(&f.snap->users), 1);

	snap_invalidate(f.snap, "of a test");
	KUNIT_EXPECT_NULL(test, spare_of(f.snap));
	KUNIT_EXPECT_EQ(test, refcount_read(&f.snap->users), 1);
}

/* An invalid snapshot does not hold up the origin for its own readers: they fail anyway. */
static void invalid_snapshot_waits_for_no_reader(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *writer = origin_write(test, &f, 3);
	struct snap_bio sb;
	u64 new;

	KUNIT_EXPECT_TRUE(test, track_one(f.snap, 3, &sb, &new));
	test_disk_fail(f.cow, WRITES, 0, 1, BLK_STS_MEDIUM);
	snap_pending_start(pending(test, f.snap, 3, &writer->bio));
	KUNIT_EXPECT_TRUE(test, ku_bio_wait(writer));
	snap_read_done(f.snap, &sb);
}

/* The chunk after the last one: there is no pending exception, and no snapshot any more. */
static void overflow_invalidates(struct kunit *test)
{
	struct fixture f = fixture(test, 2);
	unsigned int before = ku_events();
	struct snap_pending *pe = NULL;
	struct ku_bio *kb;

	copy_chunk(test, f.snap, 0);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 1 * CHUNK, CHUNK, &kb), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(f.snap->valid));

	KUNIT_EXPECT_EQ(test, find_one(f.snap, 2, NULL, NULL, &pe),
			SNAP_COPY_NOT_NEEDED);
	KUNIT_EXPECT_NULL(test, pe);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(f.snap->valid));
	KUNIT_EXPECT_EQ(test, ku_events(), before + 1);
	KUNIT_EXPECT_FALSE(test, is_pending(f.snap, 2));
}

static void overflow_by_a_snapshot_write(struct kunit *test)
{
	struct fixture f = fixture(test, 1);
	struct ku_bio *kb;

	copy_chunk(test, f.snap, 0);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 1 * CHUNK, CHUNK, &kb), DM_MAPIO_KILL);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(f.snap->valid));
	KUNIT_EXPECT_FALSE(test, is_pending(f.snap, 1));
}

/*
 * Several snapshots.
 */

static void chain_keeps_its_order(struct kunit *test)
{
	struct snap_pending pe[3] = { { .next = NULL } };
	struct snap_pending_list list = { NULL, NULL };
	unsigned int i;

	for (i = 0; i < 3; i++)
		snap_pending_chain(&list, &pe[i]);
	KUNIT_EXPECT_PTR_EQ(test, list.first, &pe[0]);
	KUNIT_EXPECT_PTR_EQ(test, list.last, &pe[2]);
	KUNIT_EXPECT_PTR_EQ(test, pe[0].next, &pe[1]);
	KUNIT_EXPECT_PTR_EQ(test, pe[1].next, &pe[2]);
	KUNIT_EXPECT_NULL(test, pe[2].next);
}

/* Equal chunks are read once for all; a snapshot whose COW device fails is the only one to fail. */
static void equal_chunks_share_the_read(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct test_disk *bad = ku_disk(test, 128, 0), *large = ku_disk(test, 256, 0);
	struct dm_snapshot *second = ku_snap_attached(test, f.origin, bad, CHUNK)->t.snap;
	struct dm_snapshot *third = ku_snap_attached(test, f.origin, large, 2 * CHUNK)->t.snap;
	struct snap_pending_list list = { NULL, NULL };

	test_disk_fail(bad, WRITES, 0, 128, BLK_STS_MEDIUM);
	snap_pending_chain(&list, pending(test, third, 1, NULL));
	snap_pending_chain(&list, pending(test, f.snap, 3, NULL));
	snap_pending_chain(&list, pending(test, second, 3, NULL));
	snap_pending_start(list.first);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(has_exception(f.snap, 3) &&
					      has_exception(third, 1)));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!READ_ONCE(second->valid)));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(f.snap->valid));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(third->valid));
	KUNIT_EXPECT_FALSE(test, has_exception(second, 3));

	KUNIT_ASSERT_EQ(test, test_disk_nr_records(f.origin), 2);
	KUNIT_EXPECT_EQ(test, f.origin->records[0].count, 2 * CHUNK);
	KUNIT_EXPECT_EQ(test, f.origin->records[1].count, CHUNK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f.cow, 0, CHUNK, 'o'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(large, 0, 2 * CHUNK, 'o'));
}

/* Without the origin's data no snapshot is valid: nobody wants what can be read page by page. */
static void failed_read_is_not_repeated(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct test_disk *cow = ku_disk(test, 128, 0);
	struct dm_snapshot *second = ku_snap_attached(test, f.origin, cow, CHUNK)->t.snap;
	struct snap_pending_list list = { NULL, NULL };

	test_disk_fail(f.origin, READS, 3 * CHUNK, 1, BLK_STS_MEDIUM);
	snap_pending_chain(&list, pending(test, f.snap, 3, NULL));
	snap_pending_chain(&list, pending(test, second, 3, NULL));
	snap_pending_start(list.first);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(!READ_ONCE(f.snap->valid) &&
					      !READ_ONCE(second->valid)));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f.origin), 1);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f.cow), 0);
}

/*
 * The limit.
 */

struct holdup {
	struct dm_snapshot *snap;
	atomic_t through;
};

static int wait_for_copies(void *arg)
{
	struct holdup *h = arg;

	snap_copies_wait(h->snap);
	atomic_inc(&h->through);
	return 0;
}

static struct holdup *waiters(struct kunit *test, struct dm_snapshot *snap, unsigned int nr)
{
	struct holdup *h = kunit_kzalloc(test, sizeof(*h), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, h);
	h->snap = snap;
	while (nr--) {
		struct task_struct *task = kthread_run(wait_for_copies, h, "kunit-copies");

		KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	}
	return h;
}

static const unsigned int thresholds[] = { 0, 1, 4, 100 };

static void threshold_desc(const unsigned int *threshold, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u chunks", *threshold);
}

KUNIT_ARRAY_PARAM(threshold, thresholds, threshold_desc);

static void begin_copy(struct dm_snapshot *snap)
{
	struct snap_pending pe = { .snap = snap, .log = { .nr = 1 } };

	snap_copy_begin(&pe);
}

static void end_copy(struct dm_snapshot *snap)
{
	struct snap_pending pe = { .snap = snap, .log = { .nr = 1 } };

	snap_copy_end(&pe);
}

/* So many may be copied; with one more, writers wait, and all of them go on when it has ended. */
static void writers_wait_above_the_threshold(struct kunit *test)
{
	unsigned int threshold = *(const unsigned int *)test->param_value, i;
	struct fixture f = fixture(test, 16);
	struct holdup *h;

	ku_set_cow_threshold(threshold);
	for (i = 0; i < threshold; i++)
		begin_copy(f.snap);
	KUNIT_EXPECT_FALSE(test, snap_copies_exceeded_exactly(f.snap));
	h = waiters(test, f.snap, 1);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(atomic_read(&h->through) == 1));

	begin_copy(f.snap);
	KUNIT_EXPECT_TRUE(test, snap_copies_exceeded_exactly(f.snap));
	h = waiters(test, f.snap, 3);
	ku_pause();
	KUNIT_EXPECT_EQ(test, atomic_read(&h->through), 0);

	/* They start no copies: each wakes the next. */
	end_copy(f.snap);
	KUNIT_EXPECT_TRUE(test, ku_wait_until(atomic_read(&h->through) == 3));
	for (i = 0; i < threshold; i++)
		end_copy(f.snap);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f.snap->copies), 0);
}

/* A look at it that takes no lock is wrong by at most a quarter; not at all if it is small. */
static void quick_look_is_nearly_right(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	unsigned int i;

	ku_set_cow_threshold(4);
	for (i = 0; i < 4; i++) {
		begin_copy(f.snap);
		KUNIT_EXPECT_FALSE(test, snap_copies_exceeded(f.snap));
	}
	begin_copy(f.snap);
	KUNIT_EXPECT_TRUE(test, snap_copies_exceeded(f.snap));
	for (i = 0; i < 5; i++)
		end_copy(f.snap);

	ku_set_cow_threshold(1000);
	for (i = 0; i < 1000; i++)
		begin_copy(f.snap);
	KUNIT_EXPECT_FALSE(test, snap_copies_exceeded(f.snap));
	for (i = 0; i < 250; i++)
		begin_copy(f.snap);
	KUNIT_EXPECT_TRUE(test, snap_copies_exceeded(f.snap));
	for (i = 0; i < 1250; i++)
		end_copy(f.snap);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f.snap->copies), 0);
}

/* Each copy counts from its start to its end, whatever becomes of it. */
static void copies_are_counted(struct kunit *test)
{
	struct fixture f = fixture(test, 16);
	struct ku_bio *part, *full;

	test_disk_hold(f.cow);
	test_disk_fail(f.cow, WRITES, 0, 1, BLK_STS_MEDIUM);
	snap_pending_start(pending(test, f.snap, 3, NULL));
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f.snap->copies), 1);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 4 * CHUNK, 1, &part), DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, snapshot_write(test, &f, 5 * CHUNK, CHUNK, &full),
			DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f.snap->copies), 3);
	test_disk_release(f.cow);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(part));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(full));
	KUNIT_EXPECT_TRUE(test, ku_wait_until(!percpu_counter_sum(&f.snap->copies)));
}

/* Who has one of the reserve, for which others wait, does not wait for memory any more. */
static void room_comes_before_the_reserve(struct kunit *test)
{
	struct fixture f = fixture(test, 8);
	struct snap_pending *pe;

	memset(&pending_starved, 0, sizeof(pending_starved));
	pending_starved.on = true;
	pe = snap_pending_alloc(f.snap, true);
	pending_starved.on = false;
	KUNIT_ASSERT_NOT_NULL(test, pe);
	KUNIT_EXPECT_EQ(test, pending_starved.rooms_before_reserve, 1);
	KUNIT_EXPECT_EQ(test, pending_starved.rooms, 1);
	KUNIT_EXPECT_NOT_NULL(test, pe->room);
	KUNIT_EXPECT_TRUE(test, pe->urgent);
	snap_pending_free_memory(pe);
}

static struct kunit_case pending_cases[] = {
	KUNIT_CASE(room_comes_before_the_reserve),
	KUNIT_CASE_PARAM(buckets_fit_the_cow_device, bucket_count_gen_params),
	KUNIT_CASE(first_writer_makes_it),
	KUNIT_CASE(writers_wait_for_the_copy),
	KUNIT_CASE(bio_is_attached_once),
	KUNIT_CASE(last_chunk_may_be_short),
	KUNIT_CASE(range_is_copied_at_once),
	KUNIT_CASE(ranges_fit_between_others),
	KUNIT_CASE(range_ends_with_the_cow_device),
	KUNIT_CASE(range_is_limited),
	KUNIT_CASE(read_of_a_range_holds_up_its_copies),
	KUNIT_CASE(empty_buckets_are_seen_without_a_lock),
	KUNIT_CASE(read_that_has_ended_is_forgotten),
	KUNIT_CASE(origin_is_not_written_under_a_read),
	KUNIT_CASE(reads_of_other_chunks_do_not_matter),
	KUNIT_CASE(snapshot_write_does_not_wait_for_readers),
	KUNIT_CASE(readers_never_see_new_data),
	KUNIT_CASE(full_write_needs_no_copy),
	KUNIT_CASE(write_is_deferred),
	KUNIT_CASE(write_is_committed),
	KUNIT_CASE(fua_is_committed),
	KUNIT_CASE(origin_write_commits_what_was_deferred),
	KUNIT_CASE(deferred_write_meets_a_reader),
	KUNIT_CASE(origin_write_joins_before_it_is_deferred),
	KUNIT_CASE(fua_meets_a_reader),
	KUNIT_CASE(nothing_is_deferred_without_room),
	KUNIT_CASE(deferred_write_is_lost),
	KUNIT_CASE(full_write_completes_at_once),
	KUNIT_CASE(full_write_of_a_range),
	KUNIT_CASE_PARAM(snapshot_writes_are_cut, snapshot_cut_gen_params),
	KUNIT_CASE_PARAM(zeroes_of_whole_chunks, zeroes_gen_params),
	KUNIT_CASE(full_write_of_a_range_has_company),
	KUNIT_CASE(full_write_has_company),
	KUNIT_CASE(full_write_meets_a_reader),
	KUNIT_CASE(room_is_kept),
	KUNIT_CASE(partial_write_waits_for_the_copy),
	KUNIT_CASE(failed_full_write_invalidates),
	KUNIT_CASE_PARAM(failed_copy_invalidates, fault_gen_params),
	KUNIT_CASE(no_room_invalidates),
	KUNIT_CASE(spare_is_used_once),
	KUNIT_CASE(invalid_snapshot_waits_for_no_reader),
	KUNIT_CASE(overflow_invalidates),
	KUNIT_CASE(overflow_by_a_snapshot_write),
	KUNIT_CASE(chain_keeps_its_order),
	KUNIT_CASE(equal_chunks_share_the_read),
	KUNIT_CASE(failed_read_is_not_repeated),
	KUNIT_CASE_PARAM(writers_wait_above_the_threshold, threshold_gen_params),
	KUNIT_CASE(quick_look_is_nearly_right),
	KUNIT_CASE(copies_are_counted),
	{}
};

static struct kunit_suite pending_suite = {
	.name = "dm-snap-pending",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = pending_init,
	.exit = pending_exit,
	.test_cases = pending_cases,
};

kunit_test_suite(pending_suite);
