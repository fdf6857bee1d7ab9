// SPDX-License-Identifier: GPL-2.0-only
/*
 * The regions of a clone: who fills them, who waits for that, and which way bios take. The engine
 * copies between disks in memory, commits are only noted, and device-mapper's part is played here.
 */
#include <linux/kthread.h>
#include <linux/random.h>
#include <linux/sched/task.h>

#include "kunit-clone.h"

struct clone_bio;

static void *bio_data_of(struct bio *bio);
static struct bio *bio_of_data(struct clone_bio *cb);
static void accept_partial(struct bio *bio, unsigned int sectors);

#define dm_per_bio_data(b, size)		bio_data_of(b)
#define dm_bio_from_per_bio_data(data, size)	bio_of_data(data)
#define dm_accept_partial_bio(bio, sectors)	accept_partial(bio, sectors)
#define dm_table_device_name(table)		"kunit"

#include "dm-clone-scaled.h"

/*
 * Wherever another CPU may come in between something can be made to happen.
 */

typedef void (*between_fn)(void);

static between_fn between;

static void region_step(void)
{
	between_fn fn = READ_ONCE(between);

	if (fn)
		fn();
}

static void step_mb(void)
{
	/* The one that the source asks for. */
	smp_mb();
	region_step();
}

static bool step_test_bit(unsigned long nr, const unsigned long *bits)
{
	bool set;

	region_step();
	set = test_bit(nr, bits);
	region_step();
	return set;
}

static void step_clear_bit_unlock(unsigned long nr, unsigned long *bits)
{
	clear_bit_unlock(nr, bits);
	region_step();
}

static void step_bio_list_add(struct bio_list *list, struct bio *bio)
{
	bio_list_add(list, bio);
	region_step();
}

static struct bio *step_bio_list_pop(struct bio_list *list)
{
	struct bio *bio = bio_list_pop(list);

	region_step();
	return bio;
}

static void region_submit(struct bio *bio);
static void note_commit(struct clone *clone, struct bio *bio);

#undef smp_mb
/* As it was, with a step behind it. */
#define smp_mb()				step_mb()
#undef test_bit
#define test_bit(nr, bits)			step_test_bit(nr, bits)
#define clear_bit_unlock(nr, bits)		step_clear_bit_unlock(nr, bits)
#define bio_list_add(list, bio)			step_bio_list_add(list, bio)
#define bio_list_pop(list)			step_bio_list_pop(list)
#define submit_bio_noacct(bio)			region_submit(bio)
#define clone_commit_wait(clone, bio)		note_commit(clone, bio)

#include "dm-clone-region.c"

#undef clear_bit_unlock
#undef submit_bio_noacct

#define READS		OP_BIT(REQ_OP_READ)
#define WRITES		OP_BIT(REQ_OP_WRITE)
#define SHIFT		3
#define REGION		8U
#define REGIONS		64UL
/* The last region has five sectors. */
#define SIZE		(REGION * REGIONS - 3)
/* Where the target begins on its device. */
#define BEGIN		1000
#define MAX_COMMITS	8
/* Regions that share a bucket; that many take small regions. */
#define NEAR		3
#define NEAR_SHIFT	1
#define NEAR_SIZE	4096
/* What is lost is waited for only so long. */
#define SOON		(10 * HZ)

#define soon(cond)							\
({									\
	unsigned long __until = jiffies + SOON;				\
	bool __is;							\
									\
	while (!(__is = (cond)) && time_before(jiffies, __until))	\
		usleep_range(100, 200);					\
	__is;								\
})

/**
 * struct region_bio - a bio as a clone gets it
 * @cb:        the target's own data
 * @kb:        the bio
 * @next:      of the fixture's bios
 * @end_io:    what @kb does at its end
 * @ends:      how often it has ended
 * @cpu:       where it has ended
 * @submitted: a disk has it
 */
struct region_bio {
	struct clone_bio cb;
	struct ku_bio *kb;
	struct region_bio *next;
	bio_end_io_t *end_io;
	atomic_t ends;
	unsigned int cpu;
	bool submitted;
};

/**
 * struct fixture - a clone that is in no table
 * @source:     disk full of 's'
 * @dest:       disk full of 'd'
 * @meta:       for the bitmap
 * @clone:      the clone
 * @ti:         its target
 * @source_dev: and devices
 * @dest_dev:   likewise
 * @bios:       all bios of the case
 * @commits:    those that wait for a commit
 * @nr_commits: number of them
 * @in_flight:  bios that a disk has
 * @wrong_cut:  a bio was cut where it had nothing
 * @near:       regions in one bucket
 */
static struct fixture {
	struct test_disk *source;
	struct test_disk *dest;
	struct test_disk *meta;
	struct clone clone;
	struct dm_target ti;
	struct dm_dev source_dev;
	struct dm_dev dest_dev;
	struct region_bio *bios;
	struct bio *commits[MAX_COMMITS];
	atomic_t nr_commits;
	atomic_t in_flight;
	bool wrong_cut;
	unsigned long near[NEAR];
} fixture;

/*
 * Device-mapper's part.
 */

static struct region_bio *region_bio_of(struct bio *bio)
{
	return container_of((struct clone_bio *)bio->bi_private, struct region_bio, cb);
}

static void *bio_data_of(struct bio *bio)
{
	region_step();
	return bio->bi_private;
}

static struct bio *bio_of_data(struct clone_bio *cb)
{
	return &container_of(cb, struct region_bio, cb)->kb->bio;
}

static void accept_partial(struct bio *bio, unsigned int sectors)
{
	if (!sectors || sectors >= bio_sectors(bio))
		fixture.wrong_cut = true;
	bio->bi_iter.bi_size = to_bytes(sectors);
}

static void region_submit(struct bio *bio)
{
	region_bio_of(bio)->submitted = true;
	atomic_inc(&fixture.in_flight);
	submit_bio_noacct(bio);
}

static void note_commit(struct clone *clone, struct bio *bio)
{
	unsigned int i = atomic_inc_return(&fixture.nr_commits) - 1;

	if (!WARN_ON(i >= MAX_COMMITS))
		fixture.commits[i] = bio;
}

/* What a commit does for the bio that waits for it. */
static void commit_ended(struct fixture *f, blk_status_t status)
{
	struct bio *bio = f->commits[0];

	atomic_dec(&f->nr_commits);
	bio->bi_status = status;
	if (status || region_bio_of(bio)->cb.state == CLONE_BIO_FILLED ||
	    bio->bi_opf & REQ_PREFLUSH)
		bio_endio(bio);
	else
		region_submit(bio);
}

static unsigned int commits(struct fixture *f)
{
	return atomic_read(&f->nr_commits);
}

static void end_original(struct region_bio *rb, blk_status_t status)
{
	struct bio *bio = &rb->kb->bio;

	bio->bi_status = status;
	rb->cpu = raw_smp_processor_id();
	atomic_inc(&rb->ends);
	rb->end_io(bio);
}

static void region_bio_ended(struct bio *bio)
{
	struct region_bio *rb = region_bio_of(bio);
	blk_status_t status = bio->bi_status;
	bool submitted = rb->submitted;

	rb->submitted = false;
	if (clone_end_io(&fixture.ti, bio, &status) != DM_ENDIO_INCOMPLETE)
		end_original(rb, status);
	if (submitted)
		atomic_dec(&fixture.in_flight);
}

static int map(struct fixture *f, struct region_bio *rb)
{
	struct bio *bio = &rb->kb->bio;
	int r = clone_map(&f->ti, bio);

	if (r == DM_MAPIO_KILL)
		end_original(rb, BLK_STS_IOERR);
	else if (r == DM_MAPIO_REMAPPED && bio_op(bio) == REQ_OP_DISCARD)
		bio_endio(bio);
	else if (r == DM_MAPIO_REMAPPED)
		region_submit(bio);
	return r;
}

static struct region_bio *region_bio(struct kunit *test, struct fixture *f, blk_opf_t op,
				     sector_t sector, unsigned int count, u8 byte)
{
	struct region_bio *rb = kunit_kzalloc(test, sizeof(*rb), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, rb);
	rb->kb = ku_bio(test, f->meta, op, BEGIN + sector, count, byte);
	rb->end_io = rb->kb->bio.bi_end_io;
	rb->kb->bio.bi_end_io = region_bio_ended;
	rb->kb->bio.bi_private = &rb->cb;
	/* Never mapped: not to be missed either. */
	atomic_set(&rb->ends, -1);
	rb->next = f->bios;
	f->bios = rb;
	return rb;
}

/* The same, mapped. */
static struct region_bio *mapped(struct kunit *test, struct fixture *f, blk_opf_t op,
				 sector_t sector, unsigned int count, u8 byte, int result)
{
	struct region_bio *rb = region_bio(test, f, op, sector, count, byte);

	atomic_set(&rb->ends, 0);
	KUNIT_EXPECT_EQ(test, map(f, rb), result);
	return rb;
}

static struct region_bio *write_of(struct kunit *test, struct fixture *f, sector_t sector,
				   unsigned int count, int result)
{
	return mapped(test, f, REQ_OP_WRITE, sector, count, 'w', result);
}

static void expect_ended(struct kunit *test, struct region_bio *rb, blk_status_t status)
{
	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&rb->kb->ended, SOON));
	KUNIT_EXPECT_EQ(test, rb->kb->status, status);
	KUNIT_EXPECT_EQ(test, atomic_read(&rb->ends), 1);
}

static bool has_ended(struct region_bio *rb)
{
	return atomic_read(&rb->ends) > 0;
}

/*
 * The clone.
 */

static struct fixture *setup_size(struct kunit *test, unsigned int shift, sector_t size)
{
	struct fixture *f = &fixture;
	struct clone *c = &f->clone;

	f->source = ku_disk(test, size, 0);
	f->dest = ku_disk(test, size, 0);
	f->meta = ku_disk(test, 64, 0);
	ku_disk_fill(f->source, 0, size, 's');
	ku_disk_fill(f->dest, 0, size, 'd');
	KUNIT_ASSERT_EQ(test, test_disk_record(f->source, 512), 0);
	KUNIT_ASSERT_EQ(test, test_disk_record(f->dest, 512), 0);
	f->source_dev.bdev = f->source->bdev;
	f->dest_dev.bdev = f->dest->bdev;
	f->ti.begin = BEGIN;
	f->ti.len = size;
	f->ti.private = c;

	c->ti = &f->ti;
	c->source = &f->source_dev;
	c->dest = &f->dest_dev;
	c->passdown = true;
	c->kcopyd = ku_client(test, 4, NULL);
	ku_clone_make(test, c, f->meta, shift);
	return f;
}

static struct fixture *setup(struct kunit *test)
{
	return setup_size(test, SHIFT, SIZE);
}

/* Some regions have one bucket in common. */
static struct fixture *setup_near(struct kunit *test)
{
	struct fixture *f = setup_size(test, NEAR_SHIFT, NEAR_SIZE);
	unsigned long first, region;
	unsigned int nr = 0;

	for (first = 0; first < f->clone.regions && nr < NEAR; first++) {
		nr = 0;
		for (region = first; region < f->clone.regions && nr < NEAR; region++)
			if (clone_waiters_of(&f->clone, region) ==
			    clone_waiters_of(&f->clone, first))
				f->near[nr++] = region;
	}
	KUNIT_ASSERT_EQ(test, nr, NEAR);
	return f;
}

static bool is_busy(struct fixture *f, unsigned long region)
{
	return test_bit(region, f->clone.busy);
}

static bool is_hydrated(struct fixture *f, unsigned long region)
{
	return clone_bitmap_test(f->clone.bitmap, region);
}

static void hydrate(struct fixture *f, unsigned long region)
{
	clone_bitmap_set(f->clone.bitmap, region);
}

/* So that it can be filled once more. */
static void forget(struct fixture *f, unsigned long region)
{
	clear_bit(region, f->clone.bitmap->hydrated);
}

static void commit(struct kunit *test, struct fixture *f)
{
	clone_bitmap_stage(f->clone.bitmap);
	KUNIT_ASSERT_EQ(test, clone_bitmap_write(f->clone.bitmap), 0);
}

/* For whoever fills it: the background, say. */
static void claim(struct kunit *test, struct fixture *f, unsigned long region)
{
	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, region));
	this_cpu_inc(f->clone.cpus->filled);
}

static struct clone_cpu counters(struct fixture *f)
{
	struct clone_cpu sum = {}, *c;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		c = per_cpu_ptr(f->clone.cpus, cpu);
		sum.begun += READ_ONCE(c->begun);
		sum.ended += READ_ONCE(c->ended);
		sum.filled += READ_ONCE(c->filled);
	}
	return sum;
}

static bool nobody_waits(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < 1 << CLONE_WAITERS_BITS; i++)
		if (READ_ONCE(f->clone.waiters[i].bios.head))
			return false;
	return true;
}

/* When a case is over nobody has a region or waits for one, and everything is counted. */
static void expect_quiet(struct kunit *test, struct fixture *f)
{
	struct clone_cpu sum;
	struct region_bio *rb;

	KUNIT_EXPECT_TRUE(test, soon(!atomic_read(&f->in_flight)));
	KUNIT_EXPECT_EQ(test, find_first_bit(f->clone.busy, f->clone.regions), f->clone.regions);
	KUNIT_EXPECT_TRUE(test, nobody_waits(f));
	KUNIT_EXPECT_EQ(test, commits(f), 0U);
	for (rb = f->bios; rb; rb = rb->next)
		if (atomic_read(&rb->ends) >= 0)
			KUNIT_EXPECT_EQ(test, atomic_read(&rb->ends), 1);
	sum = counters(f);
	KUNIT_EXPECT_EQ(test, sum.begun, sum.ended);
	KUNIT_EXPECT_EQ(test, sum.filled, 0L);
	KUNIT_EXPECT_FALSE(test, f->wrong_cut);
}

/* May follow a failed assertion: whoever waits must not do so any longer. */
static void region_exit(struct kunit *test)
{
	struct fixture *f = &fixture;
	struct clone *c = &f->clone;
	unsigned long region;

	WRITE_ONCE(between, NULL);
	if (f->source)
		ku_disk_let_go(f->source);
	if (f->dest)
		ku_disk_let_go(f->dest);
	if (c->cpus) {
		expect_quiet(test, f);
		while (commits(f))
			commit_ended(f, BLK_STS_IOERR);
		c->mode = CLONE_READ_ONLY;
		for (region = 0; region < c->regions; region++)
			clone_region_release(c, region, BLK_STS_IOERR);
	}
	ku_client_destroy(test);
	soon(!atomic_read(&f->in_flight));
	ku_clone_destroy(c);
	memset(f, 0, sizeof(*f));
	ku_exit(test);
}

/*
 * Claims.
 */

static void one_has_it(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct clone *c = &f->clone;

	KUNIT_EXPECT_TRUE(test, clone_region_claim(c, 5));
	KUNIT_EXPECT_TRUE(test, is_busy(f, 5));
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, clone_region_claim(c, 5));
	KUNIT_EXPECT_TRUE(test, clone_region_claim(c, 6));
	clone_region_release(c, 6, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_busy(f, 5));

	clone_region_release(c, 5, BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, is_busy(f, 5));
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, clone_region_claim(c, 5));
	clone_region_release(c, 5, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));
}

static void filled_is_hydrated(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct clone *c = &f->clone;

	claim(test, f, 5);
	KUNIT_EXPECT_EQ(test, counters(f).filled, 1L);
	KUNIT_EXPECT_EQ(test, clone_region_filled(c, 5, BLK_STS_OK), BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, is_busy(f, 5));
	/* It is nobody's any more, and stays so. */
	KUNIT_EXPECT_FALSE(test, clone_region_claim(c, 5));
	KUNIT_EXPECT_FALSE(test, is_busy(f, 5));

	claim(test, f, 6);
	KUNIT_EXPECT_EQ(test, clone_region_filled(c, 6, BLK_STS_MEDIUM), BLK_STS_MEDIUM);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 6));
	KUNIT_EXPECT_FALSE(test, is_busy(f, 6));

	/* What can no longer be recorded has failed. */
	claim(test, f, 6);
	c->mode = CLONE_READ_ONLY;
	KUNIT_EXPECT_EQ(test, clone_region_filled(c, 6, BLK_STS_OK), BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 6));
	KUNIT_EXPECT_FALSE(test, is_busy(f, 6));
}

/*
 * Writers that wait.
 */

static void writer_waits_until_filled(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;

	claim(test, f, 5);
	rb = write_of(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, has_ended(rb));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 0U);
	KUNIT_EXPECT_EQ(test, counters(f).begun, 1UL);
	KUNIT_EXPECT_EQ(test, counters(f).ended, 0UL);

	clone_region_filled(&f->clone, 5, BLK_STS_OK);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 2, 3, 'w'));
	/* Nothing but the write, as all the rest is there. */
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 1U);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 0U);
}

static void writer_fails_with_whoever_fills(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;

	claim(test, f, 5);
	rb = write_of(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	clone_region_filled(&f->clone, 5, BLK_STS_MEDIUM);
	expect_ended(test, rb, BLK_STS_MEDIUM);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 0U);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));

	/* The next one tries again. */
	rb = write_of(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 5));
}

/* If it is nobody's and not filled either a waiter fills it, or fails if it may not. */
static void writer_fills_itself(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb, *whole;

	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 5));
	rb = write_of(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	clone_region_release(&f->clone, 5, BLK_STS_OK);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 2, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 2, 3, 'w'));

	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 6));
	whole = write_of(test, f, 6 * REGION, REGION, DM_MAPIO_SUBMITTED);
	clone_region_release(&f->clone, 6, BLK_STS_OK);
	expect_ended(test, whole, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 6));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 1U);

	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 7));
	rb = write_of(test, f, 7 * REGION, 1, DM_MAPIO_SUBMITTED);
	f->clone.mode = CLONE_READ_ONLY;
	clone_region_release(&f->clone, 7, BLK_STS_OK);
	expect_ended(test, rb, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 7));
}

static long fill_5(void *context)
{
	clone_region_filled(context, 5, BLK_STS_OK);
	return 0;
}

static void writer_stays_on_its_cpu(struct kunit *test)
{
	struct region_bio *rb;
	struct fixture *f;

	if (num_online_cpus() < 2)
		kunit_skip(test, "there is one CPU");
	f = setup(test);
	claim(test, f, 5);
	rb = write_of(test, f, 5 * REGION, 1, DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_run_elsewhere(fill_5, &f->clone));
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, rb->cpu, raw_smp_processor_id());
}

/* Those that wait for one region go on in the order in which they came; others stay. */
static void waiters_share_a_bucket(struct kunit *test)
{
	struct fixture *f = setup_near(test);
	struct region_bio *waiters[NEAR][3];
	unsigned int i, j, k, order[] = { 1, 0, 2 };

	for (i = 0; i < NEAR; i++)
		claim(test, f, f->near[i]);
	for (j = 0; j < 3; j++)
		for (i = 0; i < NEAR; i++)
			waiters[i][j] = write_of(test, f, (f->near[i] << NEAR_SHIFT) + j % 2, 1,
						 DM_MAPIO_SUBMITTED);

	for (k = 0; k < NEAR; k++) {
		i = order[k];
		KUNIT_ASSERT_EQ(test, test_disk_record(f->dest, 8), 0);
		clone_region_filled(&f->clone, f->near[i], BLK_STS_OK);
		for (j = 0; j < 3; j++)
			expect_ended(test, waiters[i][j], BLK_STS_OK);
		ku_pause();
		KUNIT_ASSERT_EQ(test, test_disk_nr_records(f->dest), 3U);
		for (j = 0; j < 3; j++)
			KUNIT_EXPECT_EQ(test, f->dest->records[j].sector,
					(f->near[i] << NEAR_SHIFT) + j % 2);
	}
}

static void neighbours_fail_alone(struct kunit *test)
{
	struct fixture *f = setup_near(test);
	struct region_bio *fails, *waits;

	claim(test, f, f->near[0]);
	claim(test, f, f->near[1]);
	waits = write_of(test, f, f->near[1] << NEAR_SHIFT, 1, DM_MAPIO_SUBMITTED);
	fails = write_of(test, f, f->near[0] << NEAR_SHIFT, 1, DM_MAPIO_SUBMITTED);
	clone_region_filled(&f->clone, f->near[0], BLK_STS_IOERR);
	expect_ended(test, fails, BLK_STS_IOERR);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, has_ended(waits));
	clone_region_filled(&f->clone, f->near[1], BLK_STS_OK);
	expect_ended(test, waits, BLK_STS_OK);
}

/*
 * Another CPU that comes in between.
 *
 * What a case does is done again and again, and each time the other CPU comes at the next one of
 * the steps. It has done its part, or waits for the lock, before the first one goes on.
 */

static struct peer {
	struct task_struct *owner;
	void (*fn)(struct fixture *f);
	spinlock_t *lock;	/* for which it may have to wait */
	unsigned int at;	/* the step at which it comes */
	unsigned int step;	/* so many have been */
	bool go;
	bool done;
} peer;

static int peer_thread(void *context)
{
	/* What the other CPU has done can be seen. */
	while (!smp_load_acquire(&peer.go))
		usleep_range(20, 50);
	peer.fn(context);
	/* What it has done can be seen. */
	smp_store_release(&peer.done, true);
	return 0;
}

static void peer_comes(void)
{
	ktime_t end;

	if (current != peer.owner || peer.step++ != peer.at)
		return;
	/* What has been done until now can be seen. */
	smp_store_release(&peer.go, true);
	end = ktime_add_ms(ktime_get(), 1000);
	do {
		/* So can what the peer has done. */
		if (smp_load_acquire(&peer.done))
			break;
		cpu_relax();
	} while (!spin_is_contended(peer.lock) && ktime_before(ktime_get(), end));
}

/**
 * struct meeting - what two CPUs do at the same time
 * @name:   of the case
 * @before: makes what there is to meet at
 * @fn:     what this CPU does
 * @peer:   what the other one does
 * @after:  must hold when both have done it
 */
struct meeting {
	const char *name;
	void (*before)(struct kunit *test, struct fixture *f);
	void (*fn)(struct fixture *f);
	void (*peer)(struct fixture *f);
	void (*after)(struct kunit *test, struct fixture *f);
};

static struct region_bio *meeting_bios[NEAR];

static struct region_bio *near_write(struct kunit *test, struct fixture *f, unsigned int i)
{
	return region_bio(test, f, REQ_OP_WRITE, f->near[i] << NEAR_SHIFT, 1, 'w');
}

static void map_bio(struct fixture *f, unsigned int i)
{
	atomic_set(&meeting_bios[i]->ends, 0);
	map(f, meeting_bios[i]);
}

static void map_first(struct fixture *f)
{
	map_bio(f, 0);
}

static void map_second(struct fixture *f)
{
	map_bio(f, 1);
}

static void fill_first(struct fixture *f)
{
	clone_region_filled(&f->clone, f->near[0], BLK_STS_OK);
}

static void fill_second(struct fixture *f)
{
	clone_region_filled(&f->clone, f->near[1], BLK_STS_OK);
}

static void fail_first(struct fixture *f)
{
	clone_region_filled(&f->clone, f->near[0], BLK_STS_MEDIUM);
}

/* A bio for each region, of which the first two are being filled. */
static void two_are_filled(struct kunit *test, struct fixture *f)
{
	unsigned int i;

	claim(test, f, f->near[0]);
	claim(test, f, f->near[1]);
	for (i = 0; i < 2; i++)
		meeting_bios[i] = near_write(test, f, i);
	meeting_bios[2] = NULL;
}

static void first_has_a_waiter(struct kunit *test, struct fixture *f)
{
	two_are_filled(test, f);
	map_first(f);
}

static void both_have_waiters(struct kunit *test, struct fixture *f)
{
	two_are_filled(test, f);
	meeting_bios[2] = near_write(test, f, 0);
	map_bio(f, 2);
	map_second(f);
	map_first(f);
}

static void all_go_on(struct kunit *test, struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < NEAR; i++) {
		if (!meeting_bios[i])
			continue;
		expect_ended(test, meeting_bios[i], BLK_STS_OK);
		KUNIT_EXPECT_TRUE(test, is_hydrated(f, f->near[i % 2]));
	}
}

/* What the second one waits for ends now. */
static void first_goes_on(struct kunit *test, struct fixture *f)
{
	expect_ended(test, meeting_bios[0], BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, has_ended(meeting_bios[1]));
	fill_second(f);
	expect_ended(test, meeting_bios[1], BLK_STS_OK);
}

/* A writer waits, or does not any more. */
static void only_first_goes_on(struct kunit *test, struct fixture *f)
{
	expect_ended(test, meeting_bios[0], BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, f->near[0]));
	fill_second(f);
}

/* It fails with whoever filled the region, or fills it itself. */
static void first_ends(struct kunit *test, struct fixture *f)
{
	blk_status_t status;

	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&meeting_bios[0]->kb->ended, SOON));
	status = meeting_bios[0]->kb->status;
	KUNIT_EXPECT_EQ(test, is_hydrated(f, f->near[0]), !status);
	if (status)
		KUNIT_EXPECT_EQ(test, status, BLK_STS_MEDIUM);
	fill_second(f);
}

static const struct meeting meetings[] = {
	{ "filled while a writer comes", two_are_filled, map_first, fill_first,
	  only_first_goes_on },
	{ "failed while a writer comes", two_are_filled, map_first, fail_first, first_ends },
	{ "a writer comes while filled", two_are_filled, fill_first, map_first,
	  only_first_goes_on },
	{ "a writer comes while failing", two_are_filled, fail_first, map_first, first_ends },
	{ "neighbour filled while a writer comes", first_has_a_waiter, map_second, fill_first,
	  first_goes_on },
	{ "a writer comes while a neighbour is filled", first_has_a_waiter, fill_first, map_second,
	  first_goes_on },
	{ "two are filled", both_have_waiters, fill_first, fill_second, all_go_on },
};

static void meeting_desc(const struct meeting *m, char *desc)
{
	strscpy(desc, m->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(meeting, meetings, meeting_desc);

static unsigned int other_cpu(void)
{
	return cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
}

/* Returns whether the other CPU came in between, and not after it all. */
static bool meet(struct kunit *test, struct fixture *f, const struct meeting *m, unsigned int at)
{
	struct task_struct *task;
	bool came;

	m->before(test, f);
	peer = (struct peer) {
		.owner = current,
		.fn = m->peer,
		.lock = &clone_waiters_of(&f->clone, f->near[0])->lock,
		.at = at,
	};
	task = kthread_create_on_cpu(peer_thread, f, other_cpu(), "kunit/%u");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	get_task_struct(task);
	wake_up_process(task);

	WRITE_ONCE(between, peer_comes);
	m->fn(f);
	WRITE_ONCE(between, NULL);
	came = peer.go;
	/* If it has not come yet it does so now. */
	smp_store_release(&peer.go, true);
	/* A thread that is stopped before it has begun would do nothing; acquires what it did. */
	KUNIT_EXPECT_TRUE(test, soon(smp_load_acquire(&peer.done)));
	kthread_stop(task);
	put_task_struct(task);

	m->after(test, f);
	forget(f, f->near[0]);
	forget(f, f->near[1]);
	return came;
}

static void nobody_is_missed(struct kunit *test)
{
	const struct meeting *m = test->param_value;
	unsigned int at = 0;
	struct fixture *f;

	if (num_online_cpus() < 2)
		kunit_skip(test, "there is one CPU");
	f = setup_near(test);
	while (meet(test, f, m, at))
		at++;
	KUNIT_EXPECT_GE(test, at, 2U);
	KUNIT_EXPECT_LT(test, at, 100U);
}

/*
 * Writers that fill.
 */

static void part_of_a_region_is_copied_first(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;

	test_disk_hold(f->source);
	rb = write_of(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, soon(test_disk_pending(f->source) == 1));
	KUNIT_EXPECT_TRUE(test, is_busy(f, 5));
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_EQ(test, counters(f).filled, 1L);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 0U);
	test_disk_release(f->source);
	expect_ended(test, rb, BLK_STS_OK);

	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 0, 5 * REGION, 'd'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 2, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 2, 3, 'w'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 5, 3, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 6 * REGION, REGION, 'd'));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 1U);
	KUNIT_EXPECT_EQ(test, f->source->records[0].count, REGION);

	/* There is nothing to copy the next time. */
	rb = write_of(test, f, 5 * REGION, 1, DM_MAPIO_REMAPPED);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 1U);
}

static void last_region_is_short(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;

	rb = write_of(test, f, SIZE - 1, 1, DM_MAPIO_SUBMITTED);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, REGIONS - 1));
	KUNIT_EXPECT_EQ(test, f->source->records[0].count, 5U);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, SIZE - 5, 4, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, SIZE - 1, 1, 'w'));

	/* Five sectors are all of it. */
	forget(f, REGIONS - 1);
	rb = write_of(test, f, SIZE - 5, 5, DM_MAPIO_REMAPPED);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, REGIONS - 1));
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
	struct fixture *f = setup(test);
	struct region_bio *rb, *waiter;

	if (c->source)
		test_disk_fail(f->source, READS, 5 * REGION + 7, 1, BLK_STS_MEDIUM);
	if (c->dest)
		test_disk_fail(f->dest, WRITES, 5 * REGION + 7, 1, BLK_STS_MEDIUM);
	test_disk_hold(f->source);
	rb = write_of(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	waiter = write_of(test, f, 5 * REGION + 3, 1, DM_MAPIO_SUBMITTED);
	if (c->read_only)
		f->clone.mode = CLONE_READ_ONLY;
	test_disk_set(f->source, TEST_DISK_TASK, 0, 0);
	test_disk_release(f->source);
	expect_ended(test, rb, BLK_STS_IOERR);
	expect_ended(test, waiter, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, is_busy(f, 5));
	KUNIT_EXPECT_FALSE(test, ku_disk_holds(f->dest, 5 * REGION + 2, 1, 'w'));

	/* Nothing is lost by that. */
	f->clone.mode = CLONE_WRITE;
	test_disk_heal(f->source);
	test_disk_heal(f->dest);
	rb = write_of(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 5, 3, 's'));
}

static void whole_region_needs_no_copy(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb, *waiter;

	test_disk_hold(f->dest);
	rb = write_of(test, f, 5 * REGION, REGION, DM_MAPIO_REMAPPED);
	waiter = write_of(test, f, 5 * REGION + 1, 1, DM_MAPIO_SUBMITTED);
	ku_pause();
	KUNIT_EXPECT_EQ(test, test_disk_pending(f->dest), 1U);
	KUNIT_EXPECT_TRUE(test, is_busy(f, 5));
	/* Until it has ended a read finds what was there before. */
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_EQ(test, counters(f).filled, 1L);
	KUNIT_EXPECT_FALSE(test, has_ended(waiter));

	test_disk_release(f->dest);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 5));
	expect_ended(test, waiter, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 0U);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, REGION, 'w'));
}

static void whole_region_fails(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb, *waiter;

	test_disk_hold(f->dest);
	test_disk_fail(f->dest, WRITES, 5 * REGION, 1, BLK_STS_MEDIUM);
	rb = write_of(test, f, 5 * REGION, REGION, DM_MAPIO_REMAPPED);
	waiter = write_of(test, f, 5 * REGION + 1, 1, DM_MAPIO_SUBMITTED);
	test_disk_release(f->dest);
	expect_ended(test, rb, BLK_STS_MEDIUM);
	expect_ended(test, waiter, BLK_STS_MEDIUM);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 0U);

	/* The data are there, but nobody will know. */
	test_disk_hold(f->dest);
	rb = write_of(test, f, 6 * REGION, REGION, DM_MAPIO_REMAPPED);
	f->clone.mode = CLONE_READ_ONLY;
	test_disk_release(f->dest);
	expect_ended(test, rb, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 6));
}

static void nothing_is_filled_read_only(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;

	hydrate(f, 6);
	f->clone.mode = CLONE_READ_ONLY;
	expect_ended(test, write_of(test, f, 5 * REGION, 1, DM_MAPIO_KILL), BLK_STS_IOERR);
	expect_ended(test, write_of(test, f, 5 * REGION, REGION, DM_MAPIO_KILL), BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));
	expect_ended(test, write_of(test, f, 6 * REGION, 1, DM_MAPIO_REMAPPED), BLK_STS_OK);
	rb = mapped(test, f, REQ_OP_READ, 5 * REGION, 1, 0, DM_MAPIO_REMAPPED);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, rb->kb->data[0], 's');
	KUNIT_EXPECT_EQ(test, counters(f).begun, 4UL);

	/* And nothing at all when it is not known what is where. */
	f->clone.mode = CLONE_FAIL;
	expect_ended(test, write_of(test, f, 6 * REGION, 1, DM_MAPIO_KILL), BLK_STS_IOERR);
	rb = mapped(test, f, REQ_OP_READ, 5 * REGION, 1, 0, DM_MAPIO_KILL);
	expect_ended(test, rb, BLK_STS_IOERR);
	rb = mapped(test, f, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0, DM_MAPIO_KILL);
	expect_ended(test, rb, BLK_STS_IOERR);
}

/*
 * Which way a bio takes, and where it is cut.
 */

static void reads_never_wait(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;

	claim(test, f, 5);
	rb = mapped(test, f, REQ_OP_READ, 5 * REGION + 1, 2, 0, DM_MAPIO_REMAPPED);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, rb->kb->data[0], 's');
	clone_region_filled(&f->clone, 5, BLK_STS_OK);
	rb = mapped(test, f, REQ_OP_READ, 5 * REGION + 1, 2, 0, DM_MAPIO_REMAPPED);
	expect_ended(test, rb, BLK_STS_OK);
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
	{ REQ_OP_WRITE, 33, 30, 23, true },
	{ REQ_OP_WRITE, 8, 24, 8, true },
	{ REQ_OP_WRITE, 60, 10, 4, true },
	{ REQ_OP_WRITE, SIZE - 13, 13, 8, true },
	{ REQ_OP_WRITE | REQ_FUA, 33, 20, 7, true },
	{ REQ_OP_WRITE | REQ_FUA, 40, 8, 8, true },
	{ REQ_OP_WRITE | REQ_FUA, 8, 24, 8, true },
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
	struct fixture *f = setup(test);
	struct region_bio *rb;
	struct bio *bio;
	int r;

	hydrate(f, 4);
	hydrate(f, 5);
	hydrate(f, 6);
	hydrate(f, 9);
	commit(test, f);
	rb = region_bio(test, f, w->op, w->sector, w->count, 'w');
	bio = &rb->kb->bio;
	atomic_set(&rb->ends, 0);
	r = map(f, rb);
	KUNIT_EXPECT_TRUE(test, r == DM_MAPIO_REMAPPED || r == DM_MAPIO_SUBMITTED);
	if (w->op & REQ_FUA && w->sector < 32) {
		KUNIT_ASSERT_TRUE(test, soon(commits(f) == 1));
		commit_ended(f, BLK_STS_OK);
	}
	expect_ended(test, rb, BLK_STS_OK);
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

static struct region_bio *discard_of(struct kunit *test, struct fixture *f, sector_t sector,
				     unsigned int count, int result)
{
	struct region_bio *rb = mapped(test, f, REQ_OP_DISCARD, sector, count, 0, result);

	expect_ended(test, rb, BLK_STS_OK);
	return rb;
}

static void expect_hydrated(struct kunit *test, struct fixture *f, unsigned long first,
			    unsigned long last)
{
	unsigned long region;

	for (region = 0; region < f->clone.regions; region++)
		KUNIT_EXPECT_EQ_MSG(test, is_hydrated(f, region),
				    region >= first && region < last, "region %lu", region);
}

static void discards_whole_regions(struct kunit *test)
{
	const struct discard *d = test->param_value;
	struct fixture *f = setup(test);
	bool some = d->first < d->last;
	struct region_bio *rb;

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
	struct fixture *f = setup(test);
	struct region_bio *waiter;

	claim(test, f, 5);
	waiter = write_of(test, f, 5 * REGION, 1, DM_MAPIO_SUBMITTED);
	discard_of(test, f, 4 * REGION, 3 * REGION, DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 4));
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, is_busy(f, 5));
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 6));
	ku_pause();
	KUNIT_EXPECT_FALSE(test, has_ended(waiter));
	clone_region_filled(&f->clone, 5, BLK_STS_OK);
	expect_ended(test, waiter, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, counters(f).filled, 0L);
}

static void discard_read_only(struct kunit *test)
{
	struct fixture *f = setup(test);

	hydrate(f, 4);
	f->clone.mode = CLONE_READ_ONLY;
	discard_of(test, f, 4 * REGION, 3 * REGION, DM_MAPIO_SUBMITTED);
	expect_hydrated(test, f, 4, 5);
	/* Where nothing has to be recorded it can be done. */
	discard_of(test, f, 4 * REGION, REGION, DM_MAPIO_REMAPPED);
}

/*
 * Flushes and FUA.
 */

static struct region_bio *flush_of(struct kunit *test, struct fixture *f, int result)
{
	return mapped(test, f, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0, result);
}

static void flush_waits_for_a_commit(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;

	rb = flush_of(test, f, DM_MAPIO_REMAPPED);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_PTR_EQ(test, rb->kb->bio.bi_bdev, f->dest->bdev);

	hydrate(f, 5);
	rb = flush_of(test, f, DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_PTR_EQ(test, rb->kb->bio.bi_bdev, f->dest->bdev);
	KUNIT_EXPECT_EQ(test, commits(f), 1U);
	KUNIT_EXPECT_FALSE(test, has_ended(rb));
	commit_ended(f, BLK_STS_IOERR);
	expect_ended(test, rb, BLK_STS_IOERR);

	commit(test, f);
	expect_ended(test, flush_of(test, f, DM_MAPIO_REMAPPED), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, counters(f).ended, 3UL);
}

/* The region of a durable write must be found after a crash, or the write is not. */
static void fua_waits_for_its_region(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;

	hydrate(f, 5);
	rb = mapped(test, f, REQ_OP_WRITE | REQ_FUA, 5 * REGION, 1, 'w', DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, commits(f), 1U);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 0U);
	commit_ended(f, BLK_STS_OK);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 1, 'w'));

	/* Others do not matter. */
	commit(test, f);
	hydrate(f, 6);
	rb = mapped(test, f, REQ_OP_WRITE | REQ_FUA, 5 * REGION, 1, 'x', DM_MAPIO_REMAPPED);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 1, 'x'));
}

static void fua_that_needs_a_copy(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;

	rb = mapped(test, f, REQ_OP_WRITE | REQ_FUA, 5 * REGION, 1, 'w', DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, soon(commits(f) == 1));
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, is_busy(f, 5));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, REGION, 's'));
	KUNIT_EXPECT_FALSE(test, has_ended(rb));
	commit_ended(f, BLK_STS_OK);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 1, 'w'));
}

/* The region is known only after the write, so the commit comes after it as well. */
static void fua_that_fills(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct region_bio *rb;
	struct bio *bio;

	/* A disk without a cache takes the flag away. */
	rb = mapped(test, f, REQ_OP_WRITE | REQ_FUA, 5 * REGION, REGION, 'w', DM_MAPIO_REMAPPED);
	KUNIT_ASSERT_TRUE(test, soon(commits(f) == 1));
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, has_ended(rb));
	KUNIT_EXPECT_EQ(test, counters(f).ended, 0UL);
	commit_ended(f, BLK_STS_OK);
	expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 1U);

	/* Others leave it where it is. */
	rb = region_bio(test, f, REQ_OP_WRITE | REQ_FUA, 6 * REGION, REGION, 'w');
	bio = &rb->kb->bio;
	atomic_set(&rb->ends, 0);
	KUNIT_EXPECT_EQ(test, clone_map(&f->ti, bio), DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_TRUE(test, bio->bi_opf & REQ_FUA);
	bio_endio(bio);
	KUNIT_ASSERT_EQ(test, commits(f), 1U);
	commit_ended(f, BLK_STS_IOERR);
	expect_ended(test, rb, BLK_STS_IOERR);
	KUNIT_EXPECT_TRUE(test, is_hydrated(f, 6));

	/* What has failed need not be durable. */
	test_disk_fail(f->dest, WRITES, 7 * REGION, 1, BLK_STS_MEDIUM);
	rb = mapped(test, f, REQ_OP_WRITE | REQ_FUA, 7 * REGION, REGION, 'w', DM_MAPIO_REMAPPED);
	expect_ended(test, rb, BLK_STS_MEDIUM);
	KUNIT_EXPECT_EQ(test, commits(f), 0U);

	/* Nor must others wait. */
	rb = write_of(test, f, 8 * REGION, REGION, DM_MAPIO_REMAPPED);
	expect_ended(test, rb, BLK_STS_OK);
}

/*
 * All CPUs.
 */

/* Sometimes somebody is slow. */
static void dawdle(void)
{
	if (get_random_u32() % 4 == 0)
		udelay(get_random_u32() % 20);
}

#define CLAIM_ROUNDS	200

struct claims {
	struct fixture *f;
	atomic_t owners[REGIONS];
	atomic_t wrong;
	atomic_t filled;
};

static void claim_all(unsigned int cpu, void *arg)
{
	struct claims *claims = arg;
	struct clone *c = &claims->f->clone;
	unsigned long region;
	unsigned int round;

	for (round = 0; round < CLAIM_ROUNDS; round++) {
		for (region = 0; region < REGIONS; region++) {
			if (!clone_region_claim(c, region))
				continue;
			this_cpu_inc(c->cpus->filled);
			if (atomic_inc_return(&claims->owners[region]) != 1)
				atomic_inc(&claims->wrong);
			atomic_dec(&claims->owners[region]);
			/* In the end all of them are filled. */
			if (round < CLAIM_ROUNDS - 1) {
				clone_region_filled(c, region, BLK_STS_IOERR);
			} else {
				atomic_inc(&claims->filled);
				clone_region_filled(c, region, BLK_STS_OK);
			}
		}
	}
}

static void all_cpus_claim(struct kunit *test)
{
	struct claims *claims = kunit_kzalloc(test, sizeof(*claims), GFP_KERNEL);
	struct fixture *f = setup(test);

	KUNIT_ASSERT_NOT_NULL(test, claims);
	claims->f = f;
	ku_run_on_cpus(test, claim_all, claims);
	KUNIT_EXPECT_EQ(test, atomic_read(&claims->wrong), 0);
	/* A region that the others had at every CPU's last look was left to them. */
	KUNIT_EXPECT_EQ(test, atomic_read(&claims->filled),
			(int)percpu_counter_sum(&f->clone.bitmap->count));
	KUNIT_EXPECT_LE(test, atomic_read(&claims->filled), (int)REGIONS);
	KUNIT_EXPECT_GT(test, atomic_read(&claims->filled), 0);
}

#define WRITE_CPUS	REGION

struct writes {
	struct fixture *f;
	struct region_bio **bios;	/* so many for each CPU */
	unsigned int nr;
};

/* For one CPU after the other. */
static void writes_create(struct kunit *test, struct fixture *f, struct writes *w, unsigned int nr)
{
	w->f = f;
	w->nr = nr;
	w->bios = kunit_kcalloc(test, nr_cpu_ids * nr, sizeof(*w->bios), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, w->bios);
}

static void map_all(unsigned int cpu, void *arg)
{
	struct writes *w = arg;
	unsigned int i;

	for (i = 0; i < w->nr; i++) {
		struct region_bio *rb = w->bios[cpu * w->nr + i];

		if (!rb)
			continue;
		atomic_set(&rb->ends, 0);
		map(w->f, rb);
	}
}

static unsigned int not_ended(struct writes *w)
{
	unsigned int i, left = 0;

	for (i = 0; i < nr_cpu_ids * w->nr; i++)
		left += w->bios[i] && !has_ended(w->bios[i]);
	return left;
}

/* Each CPU writes a sector of each region, beginning elsewhere. */
static void all_cpus_write(struct kunit *test)
{
	struct fixture *f = setup(test);
	unsigned long i, region;
	unsigned int cpu;
	struct writes w;
	u8 byte;

	writes_create(test, f, &w, REGIONS - 1);
	for_each_online_cpu(cpu) {
		for (i = 0; cpu < WRITE_CPUS && i < REGIONS - 1; i++) {
			region = (i + cpu / 2) % (REGIONS - 1);
			w.bios[cpu * w.nr + i] = region_bio(test, f, REQ_OP_WRITE,
							    region * REGION + cpu, 1, 'A' + cpu);
		}
	}
	test_disk_set(f->source, TEST_DISK_IRQ, 0, 100);
	test_disk_set(f->dest, TEST_DISK_IRQ, 0, 100);
	WRITE_ONCE(between, dawdle);
	ku_run_on_cpus(test, map_all, &w);
	KUNIT_EXPECT_TRUE(test, soon(!not_ended(&w)));
	WRITE_ONCE(between, NULL);

	/* Each region was copied once. */
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), (unsigned int)REGIONS - 1);
	for (region = 0; region < REGIONS - 1; region++) {
		KUNIT_EXPECT_TRUE(test, is_hydrated(f, region));
		for (i = 0; i < REGION; i++) {
			byte = i < nr_cpu_ids && cpu_online(i) ? 'A' + i : 's';
			KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, region * REGION + i, 1,
							      byte));
		}
	}
	KUNIT_EXPECT_FALSE(test, is_hydrated(f, REGIONS - 1));
}

#define STORM_WRITES	150

/* No copy succeeds, so that there is always something to wait for, in one bucket. */
static void all_cpus_wait(struct kunit *test)
{
	struct fixture *f = setup_near(test);
	struct region_bio *rb;
	struct writes w;
	unsigned int cpu, i;

	test_disk_fail(f->source, READS, 0, NEAR_SIZE, BLK_STS_MEDIUM);
	writes_create(test, f, &w, STORM_WRITES);
	for_each_online_cpu(cpu)
		for (i = 0; i < STORM_WRITES; i++)
			w.bios[cpu * w.nr + i] = near_write(test, f, (i + cpu) % NEAR);
	WRITE_ONCE(between, dawdle);
	ku_run_on_cpus(test, map_all, &w);
	KUNIT_EXPECT_TRUE(test, soon(!not_ended(&w)));
	WRITE_ONCE(between, NULL);
	KUNIT_EXPECT_EQ(test, not_ended(&w), 0U);
	for (rb = f->bios; rb; rb = rb->next)
		if (has_ended(rb))
			KUNIT_EXPECT_EQ(test, rb->kb->status, BLK_STS_IOERR);
	for (i = 0; i < NEAR; i++)
		KUNIT_EXPECT_FALSE(test, is_hydrated(f, f->near[i]));
}

static struct kunit_case region_cases[] = {
	KUNIT_CASE(one_has_it),
	KUNIT_CASE(filled_is_hydrated),
	KUNIT_CASE(writer_waits_until_filled),
	KUNIT_CASE(writer_fails_with_whoever_fills),
	KUNIT_CASE(writer_fills_itself),
	KUNIT_CASE(writer_stays_on_its_cpu),
	KUNIT_CASE(waiters_share_a_bucket),
	KUNIT_CASE(neighbours_fail_alone),
	KUNIT_CASE_PARAM(nobody_is_missed, meeting_gen_params),
	KUNIT_CASE(part_of_a_region_is_copied_first),
	KUNIT_CASE(last_region_is_short),
	KUNIT_CASE_PARAM(copy_fails, failing_gen_params),
	KUNIT_CASE(whole_region_needs_no_copy),
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
	KUNIT_CASE(all_cpus_claim),
	KUNIT_CASE(all_cpus_write),
	KUNIT_CASE(all_cpus_wait),
	{}
};

static struct kunit_suite region_suite = {
	.name = "dm-clone-region",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = region_exit,
	.test_cases = region_cases,
};

kunit_test_suite(region_suite);
