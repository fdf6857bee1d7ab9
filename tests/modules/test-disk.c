// SPDX-License-Identifier: GPL-2.0-only
/*
 * test-disk: a disk in memory that shows what was asked of it and decides how it answers.
 *
 * A bio is recorded when it is submitted. Data moves when it ends, not before, so that pages which
 * are reused too early are found. No memory is allocated per bio: pending bios stand on one list,
 * and a timer or a worker takes some of them, from random places.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "test-compat.h"
#include "test-disk.h"

/* A timer or worker ends at most so many bios and sectors at once, chosen among the oldest. */
#define BURST_BIOS	8
#define BURST_SECTORS	1024
#define BURST_WINDOW	16

static u32 random_below(struct test_disk *td, u32 limit)
{
	return limit ? prandom_u32_state(&td->rnd) % limit : 0;
}

static void meter_add(struct test_disk_meter *meter, int nr)
{
	unsigned long flags;
	u64 now;

	if (!meter)
		return;

	spin_lock_irqsave(&meter->lock, flags);
	now = ktime_get_ns();
	if (meter->in_flight)
		meter->busy += now - meter->since;
	meter->since = now;
	meter->in_flight += nr;
	spin_unlock_irqrestore(&meter->lock, flags);
}

/*
 * A timer ends bios that should have ended at @due. What came later since then is the machine's
 * fault, which may have stood still; of two timers that were late at the same time it counts once.
 */
static void meter_late(struct test_disk_meter *meter, u64 due)
{
	unsigned long flags;
	u64 now;

	if (!meter)
		return;

	spin_lock_irqsave(&meter->lock, flags);
	now = ktime_get_ns();
	due = max(due, meter->timer);
	if (now > due)
		meter->late += now - due;
	meter->timer = now;
	spin_unlock_irqrestore(&meter->lock, flags);
}

void test_disk_meter_init(struct test_disk_meter *meter)
{
	memset(meter, 0, sizeof(*meter));
	spin_lock_init(&meter->lock);
}

struct test_disk_meter test_disk_meter_read(struct test_disk_meter *meter)
{
	struct test_disk_meter copy;

	meter_add(meter, 0);
	spin_lock_irq(&meter->lock);
	copy = *meter;
	spin_unlock_irq(&meter->lock);

	return copy;
}

/*
 * Ending bios: data, errors.
 */

static blk_status_t find_failure(struct test_disk *td, struct bio *bio)
{
	sector_t first = bio->bi_iter.bi_sector;
	sector_t last = bio_end_sector(bio) - 1;
	blk_status_t status = BLK_STS_OK;
	unsigned long flags;
	unsigned int i;

	if (!bio_sectors(bio))
		return BLK_STS_OK;

	spin_lock_irqsave(&td->lock, flags);
	for (i = 0; i < td->nr_failures; i++) {
		struct test_disk_failure *f = &td->failures[i];

		if ((f->ops & OP_BIT(bio_op(bio))) && first <= f->last && f->first <= last) {
			status = f->status;
			break;
		}
	}
	spin_unlock_irqrestore(&td->lock, flags);

	return status;
}

static void read_pattern(struct test_disk *td, u64 *p, sector_t sector, unsigned int count)
{
	unsigned int i;

	for (; count; count--, sector++) {
		for (i = 0; i < SECTOR_WORDS; i++)
			*p++ = test_pattern(td->params.seed, sector, i);
	}
}

static unsigned int check_pattern(struct test_disk *td, const u64 *p, sector_t sector,
				  unsigned int count)
{
	unsigned int bad = 0;
	unsigned int i;

	for (; count; count--, sector++, p += SECTOR_WORDS) {
		for (i = 0; i < SECTOR_WORDS; i++) {
			if (p[i] != test_pattern(td->params.seed, sector, i)) {
				bad++;
				break;
			}
		}
	}

	return bad;
}

static void move_data(struct test_disk *td, struct bio *bio)
{
	sector_t sector = bio->bi_iter.bi_sector;
	unsigned int bad = 0;
	unsigned long flags;
	struct bvec_iter iter;
	struct bio_vec bv;

	if (bio_op(bio) == REQ_OP_WRITE_ZEROES) {
		if (td->store)
			memset(td->store + (sector << SECTOR_SHIFT), 0, bio->bi_iter.bi_size);
		goto account;
	}

	bio_for_each_segment(bv, bio, iter) {
		unsigned int count = bv.bv_len >> SECTOR_SHIFT;
		void *p = bvec_kmap_local(&bv);

		if (td->store && bio_op(bio) == REQ_OP_READ)
			memcpy(p, td->store + (sector << SECTOR_SHIFT), bv.bv_len);
		else if (td->store)
			memcpy(td->store + (sector << SECTOR_SHIFT), p, bv.bv_len);
		else if (bio_op(bio) == REQ_OP_READ)
			read_pattern(td, p, sector, count);
		else
			bad += check_pattern(td, p, sector, count);

		kunmap_local(p);
		sector += count;
	}

account:
	spin_lock_irqsave(&td->lock, flags);
	if (bio_op(bio) == REQ_OP_READ)
		td->sectors_read += bio_sectors(bio);
	else
		td->sectors_written += bio_sectors(bio);
	td->mismatches += bad;
	spin_unlock_irqrestore(&td->lock, flags);
}

static void end_bio(struct test_disk *td, struct bio *bio)
{
	bio->bi_status = find_failure(td, bio);
	if (!bio->bi_status) {
		switch (bio_op(bio)) {
		case REQ_OP_READ:
		case REQ_OP_WRITE:
		case REQ_OP_WRITE_ZEROES:
			move_data(td, bio);
			break;
		case REQ_OP_FLUSH:
			break;
		default:
			bio->bi_status = BLK_STS_NOTSUPP;
		}
	}

	meter_add(td->meter, -1);
	bio_endio(bio);
}

/* Takes the @nth pending bio off the list. */
static struct bio *take_nth(struct test_disk *td, unsigned int nth)
	__must_hold(&td->lock)
{
	struct bio *prev = NULL;
	struct bio *bio;

	lockdep_assert_held(&td->lock);

	bio_list_for_each(bio, &td->pending) {
		if (!nth--)
			break;
		prev = bio;
	}

	if (prev)
		prev->bi_next = bio->bi_next;
	else
		td->pending.head = bio->bi_next;
	if (td->pending.tail == bio)
		td->pending.tail = prev;

	bio->bi_next = NULL;
	td->nr_pending--;
	td->ending++;
	return bio;
}

static unsigned int end_bios(struct test_disk *td, struct bio_list *bios)
{
	unsigned int nr = bio_list_size(bios);
	unsigned long flags;
	struct bio *bio;

	while ((bio = bio_list_pop(bios)))
		end_bio(td, bio);

	spin_lock_irqsave(&td->lock, flags);
	td->ending -= nr;
	spin_unlock_irqrestore(&td->lock, flags);

	return nr;
}

static void end_some(struct test_disk *td)
{
	struct bio_list bios = BIO_EMPTY_LIST;
	unsigned int sectors = 0;
	unsigned int nr;
	unsigned long flags;

	spin_lock_irqsave(&td->lock, flags);
	nr = td->held ? 0 : 1 + random_below(td, BURST_BIOS);
	while (nr-- && td->nr_pending && sectors < BURST_SECTORS) {
		u32 window = min_t(u32, td->nr_pending, BURST_WINDOW);
		struct bio *bio = take_nth(td, random_below(td, window));

		if (bio_op(bio) != REQ_OP_WRITE_ZEROES)
			sectors += bio_sectors(bio);
		bio_list_add(&bios, bio);
	}
	spin_unlock_irqrestore(&td->lock, flags);

	end_bios(td, &bios);
}

static u32 random_delay(struct test_disk *td)
	__must_hold(&td->lock)
{
	lockdep_assert_held(&td->lock);

	return max(1u, td->min_us + random_below(td, td->max_us - td->min_us + 1));
}

/* True if the timer or worker is to come again after @delay microseconds. */
static bool more_to_end(struct test_disk *td, u32 *delay)
{
	bool more;

	spin_lock_irq(&td->lock);
	more = td->nr_pending && !td->held;
	td->armed = more;
	*delay = random_delay(td);
	spin_unlock_irq(&td->lock);

	return more;
}

static enum hrtimer_restart test_disk_timer(struct hrtimer *timer)
{
	struct test_disk *td = container_of(timer, struct test_disk, timer);
	bool more;

	meter_late(td->meter, ktime_to_ns(hrtimer_get_expires(timer)));
	end_some(td);

	spin_lock(&td->lock);
	more = td->nr_pending && !td->held;
	td->armed = more;
	if (more)
		hrtimer_set_expires(timer, ktime_add_us(ktime_get(), random_delay(td)));
	spin_unlock(&td->lock);

	return more ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

static void test_disk_work(struct work_struct *work)
{
	struct test_disk *td = container_of(work, struct test_disk, work);
	u32 delay = td->min_us;

	do {
		if (delay)
			usleep_range(delay, delay + 1);
		end_some(td);
	} while (more_to_end(td, &delay));
}

static void arm(struct test_disk *td)
	__must_hold(&td->lock)
{
	lockdep_assert_held(&td->lock);

	if (td->armed || td->held || !td->nr_pending)
		return;

	td->armed = true;
	if (td->how == TEST_DISK_IRQ)
		hrtimer_start(&td->timer, ns_to_ktime(random_delay(td) * (u64)NSEC_PER_USEC),
			      HRTIMER_MODE_REL);
	else
		queue_work(td->wq, &td->work);
}

static void record(struct test_disk *td, struct bio *bio)
	__must_hold(&td->lock)
{
	struct test_disk_record *r;

	lockdep_assert_held(&td->lock);

	if (td->nr_records >= td->max_records)
		return;

	r = &td->records[td->nr_records++];
	r->sector = bio->bi_iter.bi_sector;
	r->count = bio_sectors(bio);
	r->cpu = raw_smp_processor_id();
	r->pid = current->pid;
	r->op = bio_op(bio);
}

static void test_disk_submit_bio(struct bio *bio)
{
	struct test_disk *td = bio->bi_bdev->bd_disk->private_data;
	unsigned long flags;
	bool sync;

	meter_add(td->meter, 1);

	spin_lock_irqsave(&td->lock, flags);
	record(td, bio);
	sync = td->how == TEST_DISK_SYNC && !td->held;
	if (!sync) {
		bio_list_add(&td->pending, bio);
		td->nr_pending++;
		arm(td);
	}
	spin_unlock_irqrestore(&td->lock, flags);

	if (sync)
		end_bio(td, bio);
}

static const struct block_device_operations test_disk_fops = {
	.owner = THIS_MODULE,
	.submit_bio = test_disk_submit_bio,
};

/*
 * For the tests.
 */

/* How bios end from now on; bios that are pending already may end in the old way. */
void test_disk_set(struct test_disk *td, enum test_disk_how how, unsigned int min_us,
		   unsigned int max_us)
{
	spin_lock_irq(&td->lock);
	td->how = how;
	td->min_us = min_us;
	td->max_us = max(min_us, max_us);
	spin_unlock_irq(&td->lock);
}

/* Only while no bio is in flight. */
void test_disk_set_meter(struct test_disk *td, struct test_disk_meter *meter)
{
	td->meter = meter;
}

/* No bio ends from now on. */
void test_disk_hold(struct test_disk *td)
{
	spin_lock_irq(&td->lock);
	td->held = true;
	spin_unlock_irq(&td->lock);
}

/* Bios end again, those that were held as well. */
void test_disk_release(struct test_disk *td)
{
	spin_lock_irq(&td->lock);
	td->held = false;
	arm(td);
	spin_unlock_irq(&td->lock);
}

/* Ends up to @nr held bios, the oldest first, before it returns; returns how many. */
unsigned int test_disk_end_oldest(struct test_disk *td, unsigned int nr)
{
	struct bio_list bios = BIO_EMPTY_LIST;

	spin_lock_irq(&td->lock);
	while (nr-- && td->nr_pending)
		bio_list_add(&bios, take_nth(td, 0));
	spin_unlock_irq(&td->lock);

	return end_bios(td, &bios);
}

/* Ends the youngest held bio before it returns; false if there is none. */
bool test_disk_end_youngest(struct test_disk *td)
{
	struct bio_list bios = BIO_EMPTY_LIST;

	spin_lock_irq(&td->lock);
	if (td->nr_pending)
		bio_list_add(&bios, take_nth(td, td->nr_pending - 1));
	spin_unlock_irq(&td->lock);

	return end_bios(td, &bios);
}

unsigned int test_disk_pending(struct test_disk *td)
{
	unsigned int nr;

	spin_lock_irq(&td->lock);
	nr = td->nr_pending;
	spin_unlock_irq(&td->lock);

	return nr;
}

/* Makes the operations of mask @ops fail that touch @count sectors from @first. */
void test_disk_fail(struct test_disk *td, unsigned long ops, sector_t first, sector_t count,
		    blk_status_t status)
{
	spin_lock_irq(&td->lock);
	if (!WARN_ON(td->nr_failures == TEST_DISK_MAX_FAILURES)) {
		td->failures[td->nr_failures++] = (struct test_disk_failure) {
			.ops = ops,
			.first = first,
			.last = first + count - 1,
			.status = status,
		};
	}
	spin_unlock_irq(&td->lock);
}

void test_disk_heal(struct test_disk *td)
{
	spin_lock_irq(&td->lock);
	td->nr_failures = 0;
	spin_unlock_irq(&td->lock);
}

/* Forgets all records and makes room for @max_records. */
int test_disk_record(struct test_disk *td, unsigned int max_records)
{
	struct test_disk_record *records = NULL;

	if (max_records) {
		records = vmalloc(array_size(max_records, sizeof(*records)));
		if (!records)
			return -ENOMEM;
	}

	spin_lock_irq(&td->lock);
	swap(records, td->records);
	td->max_records = max_records;
	td->nr_records = 0;
	spin_unlock_irq(&td->lock);

	vfree(records);
	return 0;
}

unsigned int test_disk_nr_records(struct test_disk *td)
{
	unsigned int nr;

	spin_lock_irq(&td->lock);
	nr = td->nr_records;
	spin_unlock_irq(&td->lock);

	return nr;
}

struct test_disk *test_disk_create(const char *name, const struct test_disk_params *params)
{
	struct test_disk *td;
	int r = -ENOMEM;

	td = kzalloc(sizeof(*td), GFP_KERNEL);
	if (!td)
		return ERR_PTR(-ENOMEM);

	td->params = *params;
	spin_lock_init(&td->lock);
	prandom_seed_state(&td->rnd, get_random_u32());
	bio_list_init(&td->pending);
	test_hrtimer_setup(&td->timer, test_disk_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	INIT_WORK(&td->work, test_disk_work);

	td->wq = alloc_workqueue("%s", WQ_UNBOUND | WQ_MEM_RECLAIM, 0, name);
	if (!td->wq)
		goto bad_wq;

	if (!params->synthetic) {
		td->store = vzalloc(params->sectors << SECTOR_SHIFT);
		if (!td->store)
			goto bad_store;
	}

	td->disk = test_alloc_disk(params->write_zeroes);
	if (IS_ERR(td->disk)) {
		r = PTR_ERR(td->disk);
		goto bad_disk;
	}

	td->disk->fops = &test_disk_fops;
	td->disk->private_data = td;
	td->disk->flags |= GENHD_FL_NO_PART;
	strscpy(td->disk->disk_name, name, sizeof(td->disk->disk_name));
	set_capacity(td->disk, params->sectors);

	r = add_disk(td->disk);
	if (r)
		goto bad_add;

	td->bdev = td->disk->part0;
	return td;

bad_add:
	put_disk(td->disk);
bad_disk:
	vfree(td->store);
bad_store:
	destroy_workqueue(td->wq);
bad_wq:
	kfree(td);
	return ERR_PTR(r);
}

static bool idle(struct test_disk *td)
{
	bool yes;

	spin_lock_irq(&td->lock);
	yes = !td->nr_pending && !td->ending;
	spin_unlock_irq(&td->lock);

	return yes;
}

/* Waits for the bios in flight, held or not. */
void test_disk_destroy(struct test_disk *td)
{
	test_disk_release(td);
	while (!idle(td))
		usleep_range(1000, 2000);

	hrtimer_cancel(&td->timer);
	del_gendisk(td->disk);
	put_disk(td->disk);
	destroy_workqueue(td->wq);
	vfree(td->records);
	vfree(td->store);
	kfree(td);
}
