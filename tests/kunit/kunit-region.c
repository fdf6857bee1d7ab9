// SPDX-License-Identifier: GPL-2.0-only
#include "kunit-clone.h"

struct clone_bio;

static void *bio_data_of(struct bio *bio);
static struct bio *bio_of_data(struct clone_bio *cb);
static void accept_partial(struct bio *bio, unsigned int sectors);

#define dm_per_bio_data(b, size)		bio_data_of(b)
#define dm_bio_from_per_bio_data(data, size)	bio_of_data(data)
#undef dm_accept_partial_bio
#define dm_accept_partial_bio(bio, sectors)	accept_partial(bio, sectors)
#define dm_table_device_name(table)		"kunit"

#include "kunit-region.h"

kr_between_fn kr_between;

static void region_step(void)
{
	kr_between_fn fn = READ_ONCE(kr_between);

	if (fn)
		fn();
}

void kr_dawdle(void)
{
	if (get_random_u32() % 4 == 0)
		udelay(get_random_u32() % 20);
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

static bool step_test_bit_acquire(unsigned long nr, const unsigned long *bits)
{
	bool set;

	region_step();
	set = test_bit_acquire(nr, bits);
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
static void note_dest_failed(struct clone *clone);

#undef smp_mb
/* As it was, with a step behind it. */
#define smp_mb()				step_mb()
#undef test_bit
#define test_bit(nr, bits)			step_test_bit(nr, bits)
#undef test_bit_acquire
#define test_bit_acquire(nr, bits)		step_test_bit_acquire(nr, bits)
#define clear_bit_unlock(nr, bits)		step_clear_bit_unlock(nr, bits)
#define bio_list_add(list, bio)			step_bio_list_add(list, bio)
#define bio_list_pop(list)			step_bio_list_pop(list)
#define submit_bio_noacct(bio)			region_submit(bio)
#define clone_commit_wait(clone, bio)		note_commit(clone, bio)
#define clone_dest_failed(clone)		note_dest_failed(clone)

#include "dm-clone-region.c"

#undef clear_bit_unlock
#undef submit_bio_noacct

static struct kr_fixture fixture;

/*
 * Device-mapper's part.
 */

static struct kr_bio *region_bio_of(struct bio *bio)
{
	return container_of((struct clone_bio *)bio->bi_private, struct kr_bio, cb);
}

static void *bio_data_of(struct bio *bio)
{
	region_step();
	return bio->bi_private;
}

static struct bio *bio_of_data(struct clone_bio *cb)
{
	return &container_of(cb, struct kr_bio, cb)->kb->bio;
}

static void accept_partial(struct bio *bio, unsigned int sectors)
{
	if (!sectors || sectors >= bio_sectors(bio))
		fixture.wrong_cut = true;
	bio->bi_iter.bi_size = to_bytes(sectors);
	region_bio_of(bio)->accepted = sectors;
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

static void note_dest_failed(struct clone *clone)
{
	WRITE_ONCE(clone->dest_failed, true);
}

/* What a commit does for the bio that waits for it. */
void kr_commit_ended(struct kr_fixture *f, blk_status_t status)
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

unsigned int kr_commits(struct kr_fixture *f)
{
	return atomic_read(&f->nr_commits);
}

static void end_original(struct kr_bio *rb, blk_status_t status)
{
	struct bio *bio = &rb->kb->bio;

	bio->bi_status = status;
	rb->cpu = raw_smp_processor_id();
	atomic_inc(&rb->ends);
	rb->end_io(bio);
}

static void region_bio_ended(struct bio *bio)
{
	struct kr_bio *rb = region_bio_of(bio);
	blk_status_t status = bio->bi_status;
	bool submitted = rb->submitted;

	rb->submitted = false;
	if (clone_end_io(&fixture.ti, bio, &status) != DM_ENDIO_INCOMPLETE)
		end_original(rb, status);
	if (submitted)
		atomic_dec(&fixture.in_flight);
}

int kr_map(struct kr_fixture *f, struct kr_bio *rb)
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

struct kr_bio *kr_bio(struct kunit *test, struct kr_fixture *f, blk_opf_t op,
		      sector_t sector, unsigned int count, u8 byte)
{
	struct kr_bio *rb = kunit_kzalloc(test, sizeof(*rb), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, rb);
	rb->kb = ku_bio(test, f->meta, op, BEGIN + sector, count, byte);
	rb->accepted = count;
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
struct kr_bio *kr_mapped(struct kunit *test, struct kr_fixture *f, blk_opf_t op,
			 sector_t sector, unsigned int count, u8 byte, int result)
{
	struct kr_bio *rb = kr_bio(test, f, op, sector, count, byte);

	atomic_set(&rb->ends, 0);
	KUNIT_EXPECT_EQ(test, kr_map(f, rb), result);
	return rb;
}

struct kr_bio *kr_write(struct kunit *test, struct kr_fixture *f, sector_t sector,
			unsigned int count, int result)
{
	return kr_mapped(test, f, REQ_OP_WRITE, sector, count, 'w', result);
}

void kr_expect_ended(struct kunit *test, struct kr_bio *rb, blk_status_t status)
{
	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&rb->kb->ended, SOON));
	KUNIT_EXPECT_EQ(test, rb->kb->status, status);
	KUNIT_EXPECT_EQ(test, atomic_read(&rb->ends), 1);
}

/*
 * The clone.
 */

static struct kr_fixture *setup_size(struct kunit *test, unsigned int shift, sector_t size)
{
	struct kr_fixture *f = &fixture;
	struct clone *c = &f->clone;

	f->source = ku_disk(test, size, 0);
	f->dest = ku_disk(test, size, UINT_MAX >> SECTOR_SHIFT);
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

struct kr_fixture *kr_setup(struct kunit *test)
{
	return setup_size(test, SHIFT, SIZE);
}

/* Some regions have one bucket in common. */
struct kr_fixture *kr_setup_near(struct kunit *test)
{
	struct kr_fixture *f = setup_size(test, NEAR_SHIFT, NEAR_SIZE);
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

void kr_commit(struct kunit *test, struct kr_fixture *f)
{
	clone_bitmap_stage(f->clone.bitmap);
	KUNIT_ASSERT_EQ(test, clone_bitmap_write(f->clone.bitmap), 0);
}

/* For whoever fills it: the background, say. */
void kr_claim(struct kunit *test, struct kr_fixture *f, unsigned long region)
{
	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, region));
	this_cpu_inc(f->clone.cpus->filled);
}

struct clone_cpu kr_counters(struct kr_fixture *f)
{
	struct clone_cpu sum = {}, *c;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		c = per_cpu_ptr(f->clone.cpus, cpu);
		sum.bios.begun += READ_ONCE(c->bios.begun);
		sum.bios.ended += READ_ONCE(c->bios.ended);
		sum.filled += READ_ONCE(c->filled);
	}
	return sum;
}

spinlock_t *kr_waiters_lock(struct kr_fixture *f, unsigned long region)
{
	return &clone_waiters_of(&f->clone, region)->lock;
}

static bool nobody_waits(struct kr_fixture *f)
{
	unsigned int i;

	for (i = 0; i < 1 << CLONE_WAITERS_BITS; i++)
		if (READ_ONCE(f->clone.waiters[i].bios.head))
			return false;
	return true;
}

/* When a case is over nobody has a region or waits for one, and everything is counted. */
static void expect_quiet(struct kunit *test, struct kr_fixture *f)
{
	struct clone_cpu sum;
	struct kr_bio *rb;

	KUNIT_EXPECT_TRUE(test, kr_soon(!atomic_read(&f->in_flight)));
	KUNIT_EXPECT_EQ(test, find_first_bit(f->clone.busy, f->clone.regions), f->clone.regions);
	KUNIT_EXPECT_TRUE(test, nobody_waits(f));
	KUNIT_EXPECT_EQ(test, kr_commits(f), 0U);
	for (rb = f->bios; rb; rb = rb->next)
		if (atomic_read(&rb->ends) >= 0)
			KUNIT_EXPECT_EQ(test, atomic_read(&rb->ends), 1);
	sum = kr_counters(f);
	KUNIT_EXPECT_EQ(test, sum.bios.begun, sum.bios.ended);
	KUNIT_EXPECT_EQ(test, sum.filled, 0L);
	KUNIT_EXPECT_FALSE(test, f->wrong_cut);
}

/* May follow a failed assertion: whoever waits must not do so any longer. */
void kr_exit(struct kunit *test)
{
	struct kr_fixture *f = &fixture;
	struct clone *c = &f->clone;
	unsigned long region;

	WRITE_ONCE(kr_between, NULL);
	if (f->source)
		ku_disk_let_go(f->source);
	if (f->dest)
		ku_disk_let_go(f->dest);
	if (c->cpus) {
		expect_quiet(test, f);
		while (kr_commits(f))
			kr_commit_ended(f, BLK_STS_IOERR);
		c->mode = CLONE_READ_ONLY;
		for (region = 0; region < c->regions; region++)
			clone_region_release(c, region, BLK_STS_IOERR);
	}
	ku_client_destroy(test);
	kr_soon(!atomic_read(&f->in_flight));
	ku_clone_destroy(c);
	memset(f, 0, sizeof(*f));
	ku_exit(test);
}
