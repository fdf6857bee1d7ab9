// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log: what one write takes, what it waits for, and what is on the disk at each moment.
 */
#include "kunit-lib.h"

/* Whether the COW device has a cache, and whether a write that waits for copies ever gets tired. */
static bool log_cache, log_tireless;

/* Zeroing of an area that the log has started; held until let_zeroing_go(). */
static struct held_zeroing {
	bool hold;
	bool held;
	struct dm_kcopyd_mq_client *kc;
	struct dm_kcopyd_mq_ticket *ticket;
	struct dm_io_region region;
	dm_kcopyd_notify_fn fn;
	void *context;
} log_zeroing;

static void log_zero_with(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket,
			  unsigned int num_dests, const struct dm_io_region *dests,
			  unsigned int flags, dm_kcopyd_notify_fn fn, void *context)
{
	if (!log_zeroing.hold) {
		dm_kcopyd_mq_zero_with(kc, ticket, num_dests, dests, flags, fn, context);
		return;
	}
	log_zeroing.kc = kc;
	log_zeroing.ticket = ticket;
	log_zeroing.region = *dests;
	log_zeroing.fn = fn;
	log_zeroing.context = context;
	/* Pairs with the acquire in zeroing_is_held(). */
	smp_store_release(&log_zeroing.held, true);
}

static bool zeroing_is_held(void)
{
	/* Pairs with the release in log_zero_with(): the other fields are set. */
	return smp_load_acquire(&log_zeroing.held);
}

static void let_zeroing_go(void)
{
	log_zeroing.hold = false;
	if (!zeroing_is_held())
		return;
	log_zeroing.held = false;
	dm_kcopyd_mq_zero_with(log_zeroing.kc, log_zeroing.ticket, 1, &log_zeroing.region, 0,
			       log_zeroing.fn, log_zeroing.context);
}

/* Flushes that the log has sent on to the COW device, where they end at once. */
static atomic_t log_passed;

static void log_pass(struct bio *bio)
{
	atomic_inc(&log_passed);
	bio_endio(bio);
}

#define submit_bio_noacct(bio)	log_pass(bio)
#define dm_kcopyd_mq_zero_with	log_zero_with
#define bdev_write_cache(bdev)	log_cache
#define queue_delayed_work(wq, work, delay)	\
	(log_tireless ? false : queue_delayed_work(wq, work, delay))

#include "dm-snap-log.c"

#define SECTORS		4096
#define ENTRIES		600

struct log_test {
	struct test_disk *td;
	struct snap_store store;
	struct snap_log *log;
	struct dm_kcopyd_mq_client *kc;
	struct snap_log_entry entries[ENTRIES];
	bool ended[ENTRIES];
	bool failed[ENTRIES];
	atomic_t nr_ended;
};

static struct log_test *lt;

static void entry_ended(struct snap_log_entry *entry, bool failed)
{
	unsigned int i = entry - lt->entries;

	WRITE_ONCE(lt->failed[i], failed);
	WRITE_ONCE(lt->ended[i], true);
	atomic_inc(&lt->nr_ended);
}

static void log_exit(struct kunit *test)
{
	log_cache = false;
	log_tireless = false;
	let_zeroing_go();
	if (lt) {
		if (lt->td)
			ku_disk_let_go(lt->td);
		if (lt->log)
			snap_log_close(lt->log);
		ku_client_destroy(test);
		if (lt->log)
			snap_log_destroy(lt->log);
		if (lt->store.batches)
			snap_store_exit(&lt->store);
		kvfree(lt);
		lt = NULL;
	}
	ku_exit(test);
}

static void log_open(struct kunit *test, u64 slots, bool stale)
{
	struct snap_disk_end end = { slots, stale };

	lt->log = snap_log_create(&lt->store, lt->kc, &end, entry_ended);
	if (IS_ERR(lt->log))
		lt->log = NULL;
	KUNIT_ASSERT_NOT_NULL(test, lt->log);
}

static void log_setup(struct kunit *test, unsigned int chunk_size, u64 slots, bool stale)
{
	unsigned int i;

	lt = kvzalloc(sizeof(*lt), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, lt);
	lt->td = ku_disk(test, SECTORS, 0);
	ku_disk_fill(lt->td, 0, SECTORS, 0xaa);
	lt->kc = ku_client(test, 512, NULL);
	KUNIT_ASSERT_EQ(test, snap_store_init(&lt->store, lt->td->bdev, chunk_size, true), 0);
	KUNIT_ASSERT_EQ(test, snap_disk_format(lt->td->bdev, chunk_size, lt->kc), 0);
	for (i = 0; i < ENTRIES; i++) {
		lt->entries[i].old = 5000 + i;
		lt->entries[i].new = snap_data_chunk(lt->store.area_shift, i);
		lt->entries[i].nr = 1;
	}
	if (chunk_size)
		log_open(test, slots, stale);
}

static struct snap_disk_exception *slot_at(u64 slot)
{
	unsigned int shift = lt->store.area_shift;
	u64 chunk = snap_area_chunk(shift, slot >> shift);
	struct snap_disk_exception *area;

	area = (void *)(lt->td->store + (chunk << (lt->store.chunk_shift + SECTOR_SHIFT)));
	return area + (slot & ((1 << shift) - 1));
}

/* Whether the disk's list has exactly @nr exceptions, which are the first of ours, in any order. */
static void expect_list(struct kunit *test, unsigned int nr)
{
	unsigned long *seen = kunit_kzalloc(test, BITS_TO_LONGS(ENTRIES) * sizeof(long),
					    GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, seen);
	for (i = 0; i < nr; i++) {
		u64 old = le64_to_cpu(slot_at(i)->old) - 5000;

		KUNIT_ASSERT_LT(test, old, ENTRIES);
		KUNIT_EXPECT_EQ(test, le64_to_cpu(slot_at(i)->new), lt->entries[old].new);
		KUNIT_EXPECT_FALSE(test, __test_and_set_bit(old, seen));
	}
	KUNIT_EXPECT_EQ(test, find_first_zero_bit(seen, ENTRIES), nr);
	KUNIT_EXPECT_EQ(test, slot_at(nr)->old, 0);
	KUNIT_EXPECT_EQ(test, slot_at(nr)->new, 0);
}

static void begin(unsigned int first, unsigned int nr)
{
	unsigned int i;

	for (i = first; i < first + nr; i++)
		snap_log_begin(lt->log, &lt->entries[i], true);
}

static void commit(unsigned int first, unsigned int nr)
{
	unsigned int i;

	for (i = first; i < first + nr; i++)
		snap_log_commit(lt->log, &lt->entries[i]);
}

/* Sectors of it, as the status shows them. */
static sector_t metadata(void)
{
	return snap_metadata_chunks(lt->store.area_shift, snap_log_exceptions(lt->log)) <<
	       lt->store.chunk_shift;
}

static bool wait_ended(unsigned int nr)
{
	return ku_wait_until(atomic_read(&lt->nr_ended) == nr);
}

/* A log that has been idle since it wrote its first entry, and a disk that records. */
static void log_setup_idle(struct kunit *test)
{
	log_setup(test, 8, 0, false);
	begin(0, 1);
	commit(0, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(1));
	KUNIT_ASSERT_EQ(test, test_disk_record(lt->td, 100), 0);
	atomic_set(&log_passed, 0);
}

static unsigned int nr_failed(void)
{
	unsigned int i, nr = 0;

	for (i = 0; i < ENTRIES; i++)
		nr += lt->ended[i] && lt->failed[i];
	return nr;
}

/* Writes of exceptions, which are at the beginning of chunks of metadata. */
static unsigned int nr_log_writes(void)
{
	unsigned int i, nr = 0;
	u64 index;

	for (i = 0; i < test_disk_nr_records(lt->td); i++) {
		struct test_disk_record *r = &lt->td->records[i];

		if (r->op == REQ_OP_WRITE && r->sector &&
		    !snap_data_index(lt->store.area_shift, r->sector >> lt->store.chunk_shift,
				     &index))
			nr++;
	}
	return nr;
}

static void writes_one_exception(struct kunit *test)
{
	log_setup(test, 8, 0, false);
	begin(0, 1);
	commit(0, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(1));
	KUNIT_EXPECT_EQ(test, nr_failed(), 0);
	expect_list(test, 1);
	KUNIT_EXPECT_EQ(test, metadata(), 16);
}

/* The next area has been zeroed before anything refers to it; area after area. */
static void goes_on_in_the_next_area(struct kunit *test)
{
	static const unsigned int steps[] = { 31, 1, 1, 30, 2, 1, 31, 500 };
	unsigned int i, done = 0;

	log_setup(test, 1, 0, false);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		begin(done, steps[i]);
		commit(done, steps[i]);
		done += steps[i];
		KUNIT_ASSERT_TRUE(test, wait_ended(done));
		expect_list(test, done);
		KUNIT_EXPECT_EQ(test, metadata(), 2 + done / 32);
	}
	KUNIT_EXPECT_EQ(test, nr_failed(), 0);
}

/* Commits the entries of @nr chunks from @first on as one. */
static void commit_range(unsigned int first, unsigned int nr)
{
	lt->entries[first].nr = nr;
	begin(first, 1);
	commit(first, 1);
}

/* A range of chunks is as many slots, of several areas and writes if there must be; ended once. */
static void ranges_take_many_slots(struct kunit *test)
{
	static const unsigned int ranges[] = { 32, 32, 20, 12, 1, 31, 5, 27, 32, 32 };
	unsigned int i, done = 0;

	log_setup(test, 1, 0, false);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		commit_range(done, ranges[i]);
		done += ranges[i];
		KUNIT_ASSERT_TRUE(test, wait_ended(i + 1));
		expect_list(test, done);
	}
	KUNIT_EXPECT_EQ(test, nr_failed(), 0);
}

/* A range has been ended by nobody as long as one of its slots is not on disk. */
static void a_range_ends_with_its_last_slot(struct kunit *test)
{
	log_setup(test, 1, 0, false);
	KUNIT_ASSERT_EQ(test, test_disk_record(lt->td, 100), 0);
	log_zeroing.hold = true;
	/* 31 slots until the next area ends the list. */
	commit_range(0, 32);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(nr_log_writes() == 1));
	ku_pause();
	KUNIT_EXPECT_EQ(test, atomic_read(&lt->nr_ended), 0);
	expect_list(test, 31);
	let_zeroing_go();
	KUNIT_ASSERT_TRUE(test, wait_ended(1));
	expect_list(test, 32);
	KUNIT_EXPECT_EQ(test, nr_failed(), 0);
}

/* If the second half of a range cannot be written, all of it has failed; also what follows. */
static void a_range_fails_as_a_whole(struct kunit *test)
{
	log_setup(test, 1, 0, false);
	log_zeroing.hold = true;
	KUNIT_ASSERT_EQ(test, test_disk_record(lt->td, 100), 0);
	commit_range(0, 32);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(nr_log_writes() == 1));
	commit_range(32, 32);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(zeroing_is_held()));
	test_disk_fail(lt->td, OP_BIT(REQ_OP_WRITE), 0, SECTORS, BLK_STS_IOERR);
	let_zeroing_go();
	KUNIT_ASSERT_TRUE(test, wait_ended(2));
	KUNIT_EXPECT_EQ(test, nr_failed(), 2);
}

/* An area of many blocks: what follows the block in use is zero on disk before it is needed. */
static void goes_on_in_the_next_block(struct kunit *test)
{
	unsigned int i;

	log_setup(test, 64, 0, false);
	/* Something that a torn write might have left, far behind the end. */
	slot_at(300)->new = cpu_to_le64(9);
	slot_at(600)->new = cpu_to_le64(9);
	for (i = 0; i < ENTRIES; i += 50) {
		begin(i, 50);
		commit(i, 50);
		KUNIT_ASSERT_TRUE(test, wait_ended(i + 50));
		expect_list(test, i + 50);
	}
}

/* A list that has been loaded is continued in the middle of a block. */
static void continues_a_list(struct kunit *test)
{
	unsigned int i;

	log_setup(test, 8, 0, false);
	begin(0, 40);
	commit(0, 40);
	KUNIT_ASSERT_TRUE(test, wait_ended(40));
	snap_log_close(lt->log);
	ku_client_destroy(test);
	snap_log_destroy(lt->log);
	lt->log = NULL;
	for (i = 41; i < 256; i++)
		slot_at(i)->new = cpu_to_le64(7);

	lt->kc = ku_client(test, 512, NULL);
	log_open(test, 40, true);
	/* The first write only does away with what follows the list. */
	KUNIT_ASSERT_EQ(test, test_disk_record(lt->td, 100), 0);
	begin(40, 5);
	commit(40, 5);
	KUNIT_ASSERT_TRUE(test, wait_ended(45));
	expect_list(test, 45);
	KUNIT_EXPECT_EQ(test, slot_at(255)->new, 0);
}

/* What becomes ready while a write is under way is written by the next, all of it. */
static void next_write_takes_all(struct kunit *test)
{
	log_setup_idle(test);
	test_disk_set(lt->td, TEST_DISK_TASK, 0, 0);
	test_disk_hold(lt->td);

	begin(1, 1);
	commit(1, 1);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(lt->td) == 1));
	begin(2, 100);
	commit(2, 100);
	ku_pause();
	KUNIT_EXPECT_EQ(test, test_disk_pending(lt->td), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&lt->nr_ended), 1);
	test_disk_end_oldest(lt->td, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(2));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(lt->td) == 1));
	test_disk_release(lt->td);
	KUNIT_ASSERT_TRUE(test, wait_ended(102));
	KUNIT_EXPECT_EQ(test, nr_log_writes(), 2);
	expect_list(test, 102);
}

/* A write waits for copies that had begun, but not for long, and not for those that begin later. */
static void waits_for_copies_a_little(struct kunit *test)
{
	log_setup_idle(test);

	/* All of them end soon: one write. */
	begin(1, 10);
	commit(1, 9);
	begin(11, 1);
	commit(10, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(11));
	KUNIT_EXPECT_LE(test, nr_log_writes(), 2);

	/* 11 never does. */
	begin(12, 3);
	commit(12, 3);
	KUNIT_ASSERT_TRUE(test, wait_ended(14));
	KUNIT_EXPECT_LT(test, SNAP_LOG_PATIENCE, HZ / 10);
	/* An aborted one is not waited for. */
	snap_log_abort(lt->log, &lt->entries[11]);
	begin(15, 1);
	commit(15, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(15));
	KUNIT_EXPECT_EQ(test, nr_failed(), 0);
}

/* Where a write costs a flush it waits for the copies of those, too, that come meanwhile. */
static void waits_for_more_if_there_is_a_cache(struct kunit *test)
{
	bool epoch;

	log_setup_idle(test);
	log_cache = true;
	log_tireless = true;
	epoch = lt->log->epoch;
	begin(1, 2);
	commit(1, 1);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(READ_ONCE(lt->log->epoch) != epoch));
	begin(3, 1);
	commit(2, 1);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(READ_ONCE(lt->log->waits) == 1));
	/* Not for these. */
	begin(4, 1);
	ku_pause();
	KUNIT_EXPECT_EQ(test, atomic_read(&lt->nr_ended), 1);
	commit(3, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(4));
	KUNIT_EXPECT_EQ(test, nr_log_writes(), 1);
	commit(4, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(5));
}

/* A write that fails takes all with it, then and later. */
static void fails_for_good(struct kunit *test)
{
	log_setup(test, 8, 0, false);
	begin(0, 3);
	commit(0, 3);
	KUNIT_ASSERT_TRUE(test, wait_ended(3));
	KUNIT_EXPECT_EQ(test, nr_failed(), 0);
	test_disk_fail(lt->td, OP_BIT(REQ_OP_WRITE), 8, 8, BLK_STS_IOERR);
	begin(3, 20);
	commit(3, 20);
	KUNIT_ASSERT_TRUE(test, wait_ended(23));
	KUNIT_EXPECT_EQ(test, nr_failed(), 20);
	test_disk_heal(lt->td);
	begin(23, 2);
	commit(23, 2);
	KUNIT_ASSERT_TRUE(test, wait_ended(25));
	KUNIT_EXPECT_EQ(test, nr_failed(), 22);
}

/* The next area cannot be zeroed: this one's last slot stays empty. */
static void fails_if_the_next_area_does(struct kunit *test)
{
	log_setup(test, 1, 0, false);
	test_disk_fail(lt->td, OP_BIT(REQ_OP_WRITE), 1 + 33, 1, BLK_STS_IOERR);
	begin(0, 40);
	commit(0, 40);
	KUNIT_ASSERT_TRUE(test, wait_ended(40));
	KUNIT_EXPECT_GE(test, nr_failed(), 9);
	KUNIT_EXPECT_EQ(test, slot_at(31)->new, 0);
}

/* Takes the last @nr exceptions, which are in one block, off the list, as a merge does. */
static void shorten(struct kunit *test, unsigned int nr)
{
	struct snap_disk_exception *table = kunit_kzalloc(test, SNAP_MAX_BLOCK, GFP_KERNEL);
	u64 slots = snap_log_slots(lt->log);
	int size;

	KUNIT_ASSERT_NOT_NULL(test, table);
	size = snap_log_tail(lt->log, slots, table);
	KUNIT_ASSERT_GE(test, size, (int)nr);
	KUNIT_ASSERT_EQ(test, snap_log_truncate(lt->log, table, slots - nr), 0);
}

/*
 * Nobody knows whether the list ends in an earlier area: what is added behind would not be found.
 * When the block in which it might end has been written again the list grows as before.
 */
static void cut_list_is_mended(struct kunit *test)
{
	struct snap_disk_exception *table = kunit_kzalloc(test, SNAP_MAX_BLOCK, GFP_KERNEL);
	struct snap_disk_exception *before = kunit_kzalloc(test, SNAP_MAX_BLOCK, GFP_KERNEL);
	const u64 slots = 70, cut = 30;

	KUNIT_ASSERT_NOT_NULL(test, table);
	KUNIT_ASSERT_NOT_NULL(test, before);
	log_setup(test, 1, 0, false);
	begin(0, slots);
	commit(0, slots);
	KUNIT_ASSERT_TRUE(test, wait_ended(slots));
	/* Slots 0 to 31 are the first area. */
	KUNIT_ASSERT_EQ(test, snap_log_tail(lt->log, 32, table), 32);
	memcpy(before, table, SNAP_MAX_BLOCK);
	test_disk_fail(lt->td, OP_BIT(REQ_OP_WRITE), snap_area_chunk(5, 0), 1, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, snap_log_truncate(lt->log, table, cut), -EIO);
	/* In fact it was written. */
	memset(slot_at(cut), 0, 2 * sizeof(*table));
	begin(slots, 1);
	commit(slots, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(slots + 1));
	KUNIT_EXPECT_TRUE(test, lt->failed[slots]);

	KUNIT_EXPECT_EQ(test, snap_log_restore(lt->log, before, cut), -EIO);
	test_disk_heal(lt->td);
	KUNIT_EXPECT_EQ(test, snap_log_restore(lt->log, before, cut), 0);
	expect_list(test, slots);
	begin(slots + 1, 1);
	commit(slots + 1, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(slots + 2));
	KUNIT_EXPECT_FALSE(test, lt->failed[slots + 1]);
	KUNIT_EXPECT_EQ(test, snap_log_slots(lt->log), slots + 1);
	KUNIT_EXPECT_EQ(test, (u64)le64_to_cpu(slot_at(slots)->old), lt->entries[slots + 1].old);
}

/*
 * A merge shortens the list while an area is being zeroed. If that area is still the next one when
 * the zeroing ends, it need not be zeroed again; if another one is, that one has to be.
 */
static void merge_overtakes_zeroing(struct kunit *test)
{
	log_setup(test, 1, 0, false);
	begin(0, 64);
	commit(0, 64);
	KUNIT_ASSERT_TRUE(test, wait_ended(64));
	log_zeroing.hold = true;
	begin(64, 2);
	commit(64, 2);
	KUNIT_ASSERT_TRUE(test, wait_ended(66));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(zeroing_is_held()));
	shorten(test, 1);
	let_zeroing_go();
	KUNIT_ASSERT_TRUE(test, ku_wait_until(!READ_ONCE(lt->log->zeroing)));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(lt->log->zeroed));

	/* The list goes back to the end of an area, and the area that it leaves gets dirty. */
	shorten(test, 1);
	log_zeroing.hold = true;
	begin(64, 1);
	commit(64, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(67));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(zeroing_is_held()));
	shorten(test, 1);
	shorten(test, 2);
	slot_at(64)->old = cpu_to_le64(9);
	slot_at(64)->new = cpu_to_le64(9);
	let_zeroing_go();
	KUNIT_ASSERT_TRUE(test, ku_wait_until(!READ_ONCE(lt->log->zeroing)));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(lt->td, snap_area_chunk(5, 3), 1, 0));

	begin(62, 2);
	commit(62, 2);
	KUNIT_ASSERT_TRUE(test, wait_ended(69));
	KUNIT_EXPECT_EQ(test, nr_failed(), 0);
	expect_list(test, 64);
}

/* All is written by the time that the log says so, however many CPUs commit. */
static void commit_some(unsigned int cpu, void *arg)
{
	unsigned int i, per = ENTRIES / num_possible_cpus(), first = cpu * per;

	for (i = first; i < first + per; i++) {
		snap_log_begin(lt->log, &lt->entries[i], true);
		if (i % 7 == 3)
			usleep_range(10, 50);
		snap_log_commit(lt->log, &lt->entries[i]);
	}
}

static void all_cpus_commit(struct kunit *test)
{
	unsigned int nr = ENTRIES / num_possible_cpus() * num_online_cpus(), i;

	log_setup(test, 1, 0, false);
	test_disk_set(lt->td, TEST_DISK_TASK, 10, 500);
	ku_run_on_cpus(test, commit_some, NULL);
	KUNIT_ASSERT_TRUE(test, wait_ended(nr));
	KUNIT_EXPECT_EQ(test, nr_failed(), 0);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_NE(test, slot_at(i)->new, 0);
	KUNIT_EXPECT_EQ(test, slot_at(nr)->new, 0);
}

/*
 * Deferred exceptions, and flushes.
 */

static void defer(unsigned int first, unsigned int nr)
{
	unsigned int i;

	for (i = first; i < first + nr; i++) {
		snap_log_begin(lt->log, &lt->entries[i], false);
		snap_log_defer(lt->log, &lt->entries[i]);
	}
}

/* A flush of the log's; *@taken says whether the log ends it. */
static struct ku_bio *flush(struct kunit *test, bool *taken)
{
	struct ku_bio *kb = ku_bio(test, lt->td, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0);

	*taken = snap_log_flush(lt->log, &kb->sb.flush, &kb->bio);
	return kb;
}

/* Nobody waits for them: they are not written, but soon. */
static void deferred_are_written_after_a_second(struct kunit *test)
{
	unsigned long begin;

	log_setup_idle(test);
	begin = jiffies;
	defer(1, 20);
	msleep(100);
	/* Else this was late itself. */
	if (time_before(jiffies, begin + SNAP_LOG_LONG / 2))
		KUNIT_EXPECT_EQ(test, nr_log_writes(), 0);
	KUNIT_ASSERT_TRUE(test, wait_ended(21));
	KUNIT_EXPECT_EQ(test, nr_log_writes(), 1);
	expect_list(test, 21);

	/* The next ones have a second of their own. */
	defer(21, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(22));
	expect_list(test, 22);
}

static void deferred_go_with_one_that_is_wanted(struct kunit *test)
{
	log_setup_idle(test);
	defer(1, 20);
	begin(21, 1);
	commit(21, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(22));
	KUNIT_EXPECT_EQ(test, nr_log_writes(), 1);
	expect_list(test, 22);
}

/* A write does not wait for copies that nobody wants. */
static void copies_that_nobody_wants_are_not_waited_for(struct kunit *test)
{
	log_setup_idle(test);
	log_tireless = true;
	snap_log_begin(lt->log, &lt->entries[2], false);
	begin(1, 1);
	commit(1, 1);
	KUNIT_ASSERT_TRUE(test, wait_ended(2));
	snap_log_defer(lt->log, &lt->entries[2]);
	snap_log_hurry(lt->log);
	KUNIT_ASSERT_TRUE(test, wait_ended(3));
	expect_list(test, 3);
}

static void many_deferred_cause_a_write(struct kunit *test)
{
	unsigned int nr;

	log_setup_idle(test);
	nr = lt->log->many;
	KUNIT_ASSERT_LT(test, nr, ENTRIES);
	/* None is written because of the time. */
	set_bit(0, &lt->log->dated);
	migrate_disable();
	defer(1, nr);
	migrate_enable();
	KUNIT_ASSERT_TRUE(test, wait_ended(1 + nr));
	expect_list(test, 1 + nr);
}

/* A CPU that has deferred as much as it may gets no further ahead of the log. */
static void says_how_much_may_be_deferred(struct kunit *test)
{
	unsigned int nr;

	log_setup(test, 1, 0, false);
	nr = lt->log->most;
	KUNIT_ASSERT_LT(test, nr, ENTRIES);
	test_disk_set(lt->td, TEST_DISK_TASK, 0, 0);
	test_disk_hold(lt->td);
	migrate_disable();
	defer(0, nr - 1);
	KUNIT_EXPECT_TRUE(test, snap_log_may_defer(lt->log));
	defer(nr - 1, 1);
	KUNIT_EXPECT_FALSE(test, snap_log_may_defer(lt->log));
	test_disk_release(lt->td);
	snap_log_hurry(lt->log);
	KUNIT_EXPECT_TRUE(test, wait_ended(nr));
	KUNIT_EXPECT_TRUE(test, snap_log_may_defer(lt->log));
	migrate_enable();
	expect_list(test, nr);
}

/* The room that they take is the same before and after they have been written. */
static void deferred_count_as_metadata(struct kunit *test)
{
	log_setup(test, 1, 0, false);
	defer(0, 40);
	KUNIT_EXPECT_EQ(test, metadata(), 3);
	snap_log_hurry(lt->log);
	KUNIT_ASSERT_TRUE(test, wait_ended(40));
	KUNIT_EXPECT_EQ(test, metadata(), 3);
	begin(40, 30);
	KUNIT_EXPECT_EQ(test, metadata(), 3);
	commit(40, 30);
	KUNIT_ASSERT_TRUE(test, wait_ended(70));
	KUNIT_EXPECT_EQ(test, metadata(), 4);
}

static void flush_of_nothing_is_the_devices(struct kunit *test)
{
	bool taken;

	log_setup_idle(test);
	flush(test, &taken);
	KUNIT_EXPECT_FALSE(test, taken);
	defer(1, 5);
	snap_log_hurry(lt->log);
	KUNIT_ASSERT_TRUE(test, wait_ended(6));
	flush(test, &taken);
	KUNIT_EXPECT_FALSE(test, taken);
}

/* Who has found nothing wanted leaves the work alone: somebody may have hurried since. */
static void look_leaves_what_was_hurried(struct kunit *test)
{
	bool taken;

	log_setup_idle(test);
	log_tireless = true;
	begin(1, 1);
	snap_log_want(lt->log);
	snap_log_try(lt->log, false);
	KUNIT_ASSERT_TRUE(test, lt->log->timed);
	/* It takes what is ready, which is nothing: a write is no longer wanted. */
	flush(test, &taken);
	KUNIT_EXPECT_FALSE(test, taken);
	mod_delayed_work(lt->log->wq, &lt->log->late, KU_TIMEOUT);
	snap_log_try(lt->log, false);
	KUNIT_EXPECT_TRUE(test, delayed_work_pending(&lt->log->late));
	KUNIT_EXPECT_FALSE(test, lt->log->timed);
	cancel_delayed_work_sync(&lt->log->late);
	snap_log_abort(lt->log, &lt->entries[1]);
}

/* It ends when all that was deferred before it is on disk: here that takes two writes. */
static void flush_waits_for_all_before_it(struct kunit *test)
{
	unsigned int nr = snap_disk_window(8);
	struct ku_bio *kb;
	bool taken;

	log_setup_idle(test);
	nr = min(nr, ENTRIES - 2U);
	test_disk_set(lt->td, TEST_DISK_TASK, 0, 0);
	test_disk_hold(lt->td);
	defer(1, nr);
	kb = flush(test, &taken);
	KUNIT_ASSERT_TRUE(test, taken);
	while (!ku_bio_has_ended(kb)) {
		KUNIT_EXPECT_NE(test, slot_at(nr)->new, lt->entries[nr].new);
		KUNIT_ASSERT_TRUE(test, ku_wait_until(ku_bio_has_ended(kb) ||
						      test_disk_pending(lt->td)));
		test_disk_end_oldest(lt->td, 1);
		ku_pause();
	}
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_OK);
	expect_list(test, nr + 1);
	test_disk_release(lt->td);
	KUNIT_ASSERT_TRUE(test, wait_ended(nr + 1));
}

/*
 * A flush that comes while its last entries are being written: what was written to other chunks
 * since that began is not durable when it ends. So the flush itself goes to the device.
 */
static void late_flush_is_sent_on(struct kunit *test)
{
	struct ku_bio *early, *late;
	bool taken;

	log_setup_idle(test);
	test_disk_set(lt->td, TEST_DISK_TASK, 0, 0);
	test_disk_hold(lt->td);
	defer(1, 3);
	early = flush(test, &taken);
	KUNIT_ASSERT_TRUE(test, taken);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(lt->td) == 1));
	late = flush(test, &taken);
	KUNIT_ASSERT_TRUE(test, taken);
	KUNIT_EXPECT_EQ(test, atomic_read(&log_passed), 0);
	test_disk_end_oldest(lt->td, 1);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(early));
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(late));
	KUNIT_EXPECT_EQ(test, (int)late->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, atomic_read(&log_passed), 1);
	KUNIT_EXPECT_EQ(test, nr_log_writes(), 1);
}

/* Flushes that come during a write are over with the next one, all together. */
static void flushes_share_a_write(struct kunit *test)
{
	struct ku_bio *kb[5];
	unsigned int i;
	bool taken;

	log_setup_idle(test);
	test_disk_set(lt->td, TEST_DISK_TASK, 0, 0);
	test_disk_hold(lt->td);
	defer(1, 1);
	for (i = 0; i < ARRAY_SIZE(kb); i++) {
		kb[i] = flush(test, &taken);
		KUNIT_ASSERT_TRUE(test, taken);
		KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(lt->td) == 1));
		defer(2 + i, 1);
	}
	test_disk_end_oldest(lt->td, 1);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb[0]));
	KUNIT_ASSERT_TRUE(test, ku_wait_until(test_disk_pending(lt->td) == 1));
	for (i = 1; i < ARRAY_SIZE(kb); i++)
		KUNIT_EXPECT_FALSE(test, ku_bio_has_ended(kb[i]));
	test_disk_release(lt->td);
	for (i = 1; i < ARRAY_SIZE(kb); i++)
		KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb[i]));
	KUNIT_EXPECT_EQ(test, nr_log_writes(), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&log_passed), 0);
}

/* That what was deferred is lost is told to those who flush, as disks do: to each once. */
static void flushes_fail_with_the_log(struct kunit *test)
{
	struct ku_bio *kb;
	bool taken;

	log_setup_idle(test);
	test_disk_set(lt->td, TEST_DISK_TASK, 0, 0);
	test_disk_fail(lt->td, OP_BIT(REQ_OP_WRITE), 8, 8, BLK_STS_IOERR);
	defer(1, 3);
	kb = flush(test, &taken);
	KUNIT_ASSERT_TRUE(test, taken);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_IOERR);
	KUNIT_ASSERT_TRUE(test, wait_ended(4));
	KUNIT_EXPECT_EQ(test, nr_failed(), 3);
	test_disk_heal(lt->td);
	KUNIT_EXPECT_FALSE(test, snap_log_may_defer(lt->log));
	/* The next one is the device's: who flushes has been told. */
	flush(test, &taken);
	KUNIT_EXPECT_FALSE(test, taken);
	/* If nobody was there to be told, the next flush is; once. */
	defer(4, 2);
	KUNIT_ASSERT_TRUE(test, wait_ended(6));
	KUNIT_EXPECT_EQ(test, nr_failed(), 5);
	kb = flush(test, &taken);
	KUNIT_ASSERT_TRUE(test, taken);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_IOERR);
	flush(test, &taken);
	KUNIT_EXPECT_FALSE(test, taken);
}

static void sync_waits_but_not_for_ever(struct kunit *test)
{
	log_setup_idle(test);
	defer(1, 3);
	KUNIT_EXPECT_TRUE(test, snap_log_sync(lt->log, KU_TIMEOUT));
	KUNIT_ASSERT_TRUE(test, wait_ended(4));
	test_disk_set(lt->td, TEST_DISK_TASK, 0, 0);
	test_disk_hold(lt->td);
	defer(4, 3);
	KUNIT_EXPECT_FALSE(test, snap_log_sync(lt->log, 2));
	test_disk_release(lt->td);
	KUNIT_EXPECT_TRUE(test, snap_log_sync(lt->log, KU_TIMEOUT));
	KUNIT_ASSERT_TRUE(test, wait_ended(7));
	KUNIT_EXPECT_TRUE(test, snap_log_sync(lt->log, 0));
}

/* Each CPU defers, and flushes now and then: what its flush was for is on disk when it ends. */
struct flusher {
	struct kunit *test;
	struct ku_bio *kb[NR_CPUS];
	atomic_t wrong;
};

static bool is_on_disk(unsigned int i)
{
	unsigned int slot;

	for (slot = 0; slot < ENTRIES; slot++)
		if (le64_to_cpu(READ_ONCE(slot_at(slot)->old)) == lt->entries[i].old)
			return true;
	return false;
}

static void defer_and_flush(unsigned int cpu, void *arg)
{
	unsigned int i, per = ENTRIES / num_possible_cpus(), first = cpu * per;
	struct flusher *fl = arg;
	struct ku_bio *kb = fl->kb[cpu];

	for (i = first; i < first + per; i++) {
		defer(i, 1);
		if (i % 11 != 5)
			continue;
		reinit_completion(&kb->ended);
		if (!snap_log_flush(lt->log, &kb->sb.flush, &kb->bio)) {
			if (!is_on_disk(i))
				atomic_inc(&fl->wrong);
			continue;
		}
		wait_for_completion(&kb->ended);
		if (!is_on_disk(i))
			atomic_inc(&fl->wrong);
	}
}

static void all_cpus_flush(struct kunit *test)
{
	unsigned int nr = ENTRIES / num_possible_cpus() * num_online_cpus(), cpu;
	struct flusher *fl = kunit_kzalloc(test, sizeof(*fl), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fl);
	/* All slots are in one area. */
	log_setup(test, 64, 0, false);
	for_each_possible_cpu(cpu)
		fl->kb[cpu] = ku_bio(test, lt->td, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0);
	test_disk_set(lt->td, TEST_DISK_TASK, 10, 500);
	ku_run_on_cpus(test, defer_and_flush, fl);
	KUNIT_EXPECT_EQ(test, atomic_read(&fl->wrong), 0);
	KUNIT_ASSERT_TRUE(test, wait_ended(nr));
	KUNIT_EXPECT_EQ(test, nr_failed(), 0);
}

static void marks_as_invalid(struct kunit *test)
{
	struct snap_disk_info info;
	char *error;

	log_setup(test, 16, 0, false);
	KUNIT_EXPECT_EQ(test, snap_log_invalidate(lt->log), 0);
	KUNIT_ASSERT_EQ(test, snap_disk_read_header(lt->td->bdev, &info, &error), 0);
	KUNIT_EXPECT_FALSE(test, info.valid);
	KUNIT_EXPECT_EQ(test, info.chunk_size, 16);
	test_disk_fail(lt->td, OP_BIT(REQ_OP_WRITE), 0, 1, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, snap_log_invalidate(lt->log), -EIO);
}

static struct kunit_case log_cases[] = {
	KUNIT_CASE(writes_one_exception),
	KUNIT_CASE(goes_on_in_the_next_area),
	KUNIT_CASE(ranges_take_many_slots),
	KUNIT_CASE(a_range_ends_with_its_last_slot),
	KUNIT_CASE(a_range_fails_as_a_whole),
	KUNIT_CASE(goes_on_in_the_next_block),
	KUNIT_CASE(continues_a_list),
	KUNIT_CASE(next_write_takes_all),
	KUNIT_CASE(waits_for_copies_a_little),
	KUNIT_CASE(waits_for_more_if_there_is_a_cache),
	KUNIT_CASE(fails_for_good),
	KUNIT_CASE(fails_if_the_next_area_does),
	KUNIT_CASE(cut_list_is_mended),
	KUNIT_CASE(merge_overtakes_zeroing),
	KUNIT_CASE(all_cpus_commit),
	KUNIT_CASE(deferred_are_written_after_a_second),
	KUNIT_CASE(deferred_go_with_one_that_is_wanted),
	KUNIT_CASE(copies_that_nobody_wants_are_not_waited_for),
	KUNIT_CASE(many_deferred_cause_a_write),
	KUNIT_CASE(says_how_much_may_be_deferred),
	KUNIT_CASE(deferred_count_as_metadata),
	KUNIT_CASE(flush_of_nothing_is_the_devices),
	KUNIT_CASE(look_leaves_what_was_hurried),
	KUNIT_CASE(flush_waits_for_all_before_it),
	KUNIT_CASE(late_flush_is_sent_on),
	KUNIT_CASE(flushes_share_a_write),
	KUNIT_CASE(flushes_fail_with_the_log),
	KUNIT_CASE(sync_waits_but_not_for_ever),
	KUNIT_CASE(all_cpus_flush),
	KUNIT_CASE(marks_as_invalid),
	{}
};

static struct kunit_suite log_suite = {
	.name = "dm-snap-log",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = log_exit,
	.test_cases = log_cases,
};

kunit_test_suite(log_suite);
