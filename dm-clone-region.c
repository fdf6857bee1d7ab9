// SPDX-License-Identifier: GPL-2.0-only
/*
 * A clone's regions while they are filled, and the way of a bio.
 *
 * A region has two bits, and no lock. Whoever wants to fill it, a writer or the background, sets
 * its busy bit; when it is filled the hydrated bit is set, and the busy bit is cleared after that
 * and after all that a flush looks at is set. dm-clone-bitmap.h has the table of all bits.
 *
 *	--, --	--claim-->  busy, --  --filled-->  busy, hydrated  --release-->  --, hydrated
 *	  ^                    |
 *	  +------failed--------+
 *
 * A write goes to the destination if the region is hydrated and not busy: of a region that is busy
 * still a flush behind the write might not know. A writer that finds the region busy waits in a
 * list, and is called back by the one that clears the bit. To miss nobody it enters the list first
 * and looks at the bit again then; the other one clears the bit first and looks at the list then.
 *
 * A writer fails only if its own bio fails, or a copy of just its region that another writer made.
 * If the region was one of a batch, the writer tries by itself after the batch has failed.
 *
 * As the source never changes a read needs no such care: what is not hydrated when it is mapped is
 * read from the source, whatever happens meanwhile.
 */
#define DM_MSG_PREFIX "clone-scaled"

#include <linux/bio.h>
#include <linux/hash.h>
#include <linux/slab.h>

#include "dm-clone-scaled.h"
#include "dm-scaled-delay.h"

#define CLONE_WAITERS_BITS	10
/* Regions that a bio fills at most, as it claims and releases each of them. */
#define CLONE_FILL_REGIONS	1024UL

/**
 * struct clone_waiters - bios that wait for some of the regions
 * @lock: protects @bios; taken with interrupts off
 * @bios: in the order in which they came
 */
struct clone_waiters {
	spinlock_t lock;	/* protects the list */
	struct bio_list bios;
} ____cacheline_aligned_in_smp;

struct clone_waiters *clone_waiters_create(void)
{
	struct clone_waiters *waiters;
	unsigned int i;

	waiters = kvmalloc_array(1 << CLONE_WAITERS_BITS, sizeof(*waiters), GFP_KERNEL);
	if (!waiters)
		return NULL;
	for (i = 0; i < 1 << CLONE_WAITERS_BITS; i++) {
		spin_lock_init(&waiters[i].lock);
		bio_list_init(&waiters[i].bios);
	}
	return waiters;
}

void clone_waiters_destroy(struct clone_waiters *waiters)
{
	kvfree(waiters);
}

static struct clone_waiters *clone_waiters_of(struct clone *clone, unsigned long region)
{
	return &clone->waiters[hash_long(region, CLONE_WAITERS_BITS)];
}

/*
 *------------------------------------------------------------
 * Regions
 *------------------------------------------------------------
 */

/* Whether the destination has a region, and a flush from now on knows that: it takes writes. */
static bool clone_region_is_settled(const struct clone *clone, unsigned long region)
{
	/* [busy], with clear_bit_unlock() in clone_region_release(); hydrated is read first. */
	return clone_bitmap_test(clone->bitmap, region) && !test_bit_acquire(region, clone->busy);
}

bool clone_region_claim(struct clone *clone, unsigned long region)
{
	if (test_and_set_bit(region, clone->busy))
		return false;
	/* Whoever was here before us may have filled it after the caller has looked. */
	if (unlikely(clone_bitmap_test(clone->bitmap, region))) {
		clone_region_release(clone, region, BLK_STS_OK);
		return false;
	}
	return true;
}

/*
 * Takes a bio, the one behind @prev, out of the list. Whoever has cleared a busy bit looks at the
 * list without the lock: it must not look empty, not even for a moment, while a bio is in it.
 */
static void clone_waiters_remove(struct clone_waiters *waiters, struct bio *prev, struct bio *bio)
{
	lockdep_assert_held(&waiters->lock);

	if (prev)
		prev->bi_next = bio->bi_next;
	else
		WRITE_ONCE(waiters->bios.head, bio->bi_next);
	if (!bio->bi_next)
		waiters->bios.tail = prev;
	bio->bi_next = NULL;
}

/* Takes those that wait for a region out of the list. */
static void clone_waiters_take(struct clone *clone, unsigned long region, struct bio_list *bios)
{
	struct clone_waiters *waiters = clone_waiters_of(clone, region);
	struct bio *bio, *next, *prev = NULL;
	unsigned long flags;

	spin_lock_irqsave(&waiters->lock, flags);
	for (bio = waiters->bios.head; bio; bio = next) {
		next = bio->bi_next;
		if (clone_bio_of(bio)->region == region) {
			clone_waiters_remove(waiters, prev, bio);
			bio_list_add(bios, bio);
		} else {
			prev = bio;
		}
	}
	spin_unlock_irqrestore(&waiters->lock, flags);
}

void clone_region_release(struct clone *clone, unsigned long region, blk_status_t status)
{
	struct clone_waiters *waiters = clone_waiters_of(clone, region);
	struct clone_bio *cb;
	struct bio_list bios;
	struct bio *bio;

	dm_scaled_delay("clone-region:clear-busy");
	/* [busy] */
	clear_bit_unlock(region, clone->busy);
	dm_scaled_delay("clone-region:wake-waiters");
	/* Pairs with the barrier in clone_wait(). */
	smp_mb();
	if (likely(!READ_ONCE(waiters->bios.head)))
		return;

	bio_list_init(&bios);
	clone_waiters_take(clone, region, &bios);
	while ((bio = bio_list_pop(&bios))) {
		cb = clone_bio_of(bio);
		cb->status = status;
		dm_kcopyd_mq_queue_item(clone->kcopyd, &cb->item, cb->cpu);
	}
}

blk_status_t clone_region_filled(struct clone *clone, unsigned long region, blk_status_t status)
{
	if (!status && !clone_writable(clone))
		status = BLK_STS_IOERR;
	dm_scaled_delay("clone-region:filled");
	if (!status)
		clone_bitmap_set(clone->bitmap, region);
	this_cpu_dec(clone->cpus->filled);
	clone_region_release(clone, region, status);
	return status;
}

void clone_region_abandon(struct clone *clone, unsigned long region)
{
	this_cpu_dec(clone->cpus->filled);
	clone_region_release(clone, region, BLK_STS_OK);
}

static void clone_copy_sectors(struct clone *clone, struct dm_kcopyd_mq_client *kcopyd,
			       struct dm_kcopyd_mq_ticket *ticket, sector_t sector, sector_t count,
			       dm_kcopyd_notify_fn fn, void *context)
{
	struct dm_io_region from = {
		.bdev = clone->source->bdev,
		.sector = sector,
		.count = count,
	};
	struct dm_io_region to = from;

	to.bdev = clone->dest->bdev;
	dm_kcopyd_mq_copy_with(kcopyd, ticket, &from, 1, &to, 0, fn, context);
}

void clone_copy(struct clone *clone, struct dm_kcopyd_mq_client *kcopyd,
		struct dm_kcopyd_mq_ticket *ticket, unsigned long region, unsigned long nr,
		dm_kcopyd_notify_fn fn, void *context)
{
	clone_copy_sectors(clone, kcopyd, ticket, clone_first_sector(clone, region),
			   clone_sectors(clone, region, nr), fn, context);
}

/*
 *------------------------------------------------------------
 * Writes to regions that are not hydrated
 *------------------------------------------------------------
 */

static int clone_write(struct clone *clone, struct bio *bio, unsigned long region);

/* Whether all regions of a bio, from its first one on, are found in the destination for good. */
static bool clone_is_durable(struct clone *clone, const struct bio *bio, unsigned long region)
{
	unsigned long last = (bio_end_sector(bio) - 1) >> clone->region_shift;

	for (; region <= last; region++)
		if (!clone_bitmap_is_durable(clone->bitmap, region))
			return false;
	return true;
}

/* To the destination. What FUA promises includes that the regions will be found there. */
static int clone_map_dest(struct clone *clone, struct bio *bio, unsigned long region)
{
	bio_set_dev(bio, clone->dest->bdev);
	if (unlikely(bio->bi_opf & REQ_FUA)) {
		if (!clone_is_durable(clone, bio, region)) {
			clone_commit_wait(clone, bio);
			return DM_MAPIO_SUBMITTED;
		}
		clone_bio_of(bio)->flushes = clone_bio_flushes(clone, bio);
	}
	return DM_MAPIO_REMAPPED;
}

/* Has done for a bio what device-mapper does with the result of a map function. */
static void clone_submit(struct bio *bio, int result)
{
	if (result == DM_MAPIO_REMAPPED)
		submit_bio_noacct(bio);
	else if (result == DM_MAPIO_KILL)
		bio_io_error(bio);
}

/*
 * A region for which a bio has waited is filled, could not be copied, or is up to whoever claims it
 * next, see clone_region_abandon().
 */
static void clone_waited(struct dm_kcopyd_mq_item *item)
{
	struct clone_bio *cb = container_of(item, struct clone_bio, item);
	struct dm_kcopyd_mq_client *kcopyd = cb->clone->kcopyd;
	struct bio *bio = clone_bio_bio(cb);

	if (cb->urgent)
		dm_kcopyd_mq_client_urgent_put(cb->clone->background);
	if (cb->status) {
		bio->bi_status = cb->status;
		bio_endio(bio);
	} else {
		clone_submit(bio, clone_write(cb->clone, bio, cb->region));
	}
	dm_kcopyd_mq_release(kcopyd);
}

/* Returns false if the region has not been busy any more. */
static bool clone_wait(struct clone *clone, struct bio *bio, unsigned long region)
{
	struct clone_waiters *waiters = clone_waiters_of(clone, region);
	struct clone_bio *cb = clone_bio_of(bio);
	struct bio *last;
	bool busy;

	cb->region = region;
	cb->item.fn = clone_waited;
	cb->cpu = dm_kcopyd_mq_hold(clone->kcopyd);

	dm_scaled_delay("clone-region:add-waiter");
	spin_lock_irq(&waiters->lock);
	/* Whoever clears the busy bit takes the lock if there is somebody in the list. */
	last = waiters->bios.tail;
	bio_list_add(&waiters->bios, bio);
	/* Pairs with the barrier in clone_region_release(). */
	smp_mb();
	busy = test_bit(region, clone->busy);
	/* Nobody takes the bio out of the list before the lock is released. */
	cb->urgent = busy && clone_hydrator_is_copying(clone);
	if (cb->urgent)
		dm_kcopyd_mq_client_urgent_get(clone->background);
	if (unlikely(!busy))
		clone_waiters_remove(waiters, last, bio);
	spin_unlock_irq(&waiters->lock);
	if (unlikely(!busy))
		dm_kcopyd_mq_release(clone->kcopyd);
	return busy;
}

static void clone_copied(int read_err, unsigned long write_err, void *context)
{
	struct clone_bio *cb = context;
	struct clone *clone = cb->clone;
	struct bio *bio = clone_bio_bio(cb);
	blk_status_t status = BLK_STS_OK;

	if (unlikely(read_err || write_err)) {
		DMERR_LIMIT("%s: Cannot copy region %lu: the %s failed", clone_name(clone),
			    cb->region, read_err ? "source" : "destination");
		status = BLK_STS_IOERR;
	}
	status = clone_region_filled(clone, cb->region, status);
	if (unlikely(status)) {
		bio->bi_status = status;
		bio_endio(bio);
		return;
	}
	clone_submit(bio, clone_map_dest(clone, bio, cb->region));
}

/* Copies the region; called late if there has been no job. */
static void clone_copy_for(struct dm_kcopyd_mq_item *item)
{
	struct clone_bio *cb = container_of(item, struct clone_bio, ticket.item);

	clone_copy(cb->clone, cb->clone->kcopyd, &cb->ticket, cb->region, 1, clone_copied, cb);
}

/* A bio that fills what it has claimed, to the destination. */
static int clone_map_fill(struct clone *clone, struct bio *bio, enum clone_bio_state state)
{
	struct clone_bio *cb = clone_bio_of(bio);

	cb->state = state;
	/* The block layer takes the flag away if the destination has no cache. */
	cb->fua = bio->bi_opf & REQ_FUA;
	cb->flushes = clone_bio_flushes(clone, bio);
	bio_set_dev(bio, clone->dest->bdev);
	return DM_MAPIO_REMAPPED;
}

/* The region is the bio's to fill, and the bio is in it. */
static int clone_fill(struct clone *clone, struct bio *bio, unsigned long region)
{
	struct clone_bio *cb = clone_bio_of(bio);

	if (unlikely(!clone_writable(clone))) {
		clone_region_release(clone, region, BLK_STS_IOERR);
		return DM_MAPIO_KILL;
	}

	this_cpu_inc(clone->cpus->filled);
	cb->region = region;
	if (bio_sectors(bio) == clone_sectors(clone, region, 1))
		return clone_map_fill(clone, bio, CLONE_BIO_FILLS);

	cb->ticket.item.fn = clone_copy_for;
	if (dm_kcopyd_mq_reserve(clone->kcopyd, &cb->ticket))
		clone_copy_for(&cb->ticket.item);
	return DM_MAPIO_SUBMITTED;
}

/* A write inside a region. */
static int clone_write(struct clone *clone, struct bio *bio, unsigned long region)
{
	for (;;) {
		if (clone_region_is_settled(clone, region))
			return clone_map_dest(clone, bio, region);
		if (clone_region_claim(clone, region))
			return clone_fill(clone, bio, region);
		if (test_bit(region, clone->busy) && clone_wait(clone, bio, region))
			return DM_MAPIO_SUBMITTED;
	}
}

/*
 *------------------------------------------------------------
 * Writes of several regions
 *------------------------------------------------------------
 *
 * Such a write is one bio. What it leaves of the first and the last region is copied at the same
 * time, which is possible as nothing overlaps, and nobody else writes to regions that are busy.
 *
 *	regions   |---------|---------|---------|---------|
 *	bio             =============================
 *	copies     -----                             -----
 *	            head                              tail
 *
 * The write ends with the last of these parts. Before that no region is released: what came later
 * would overwrite what others have written since.
 */

/* Cuts a bio behind some regions. */
static void clone_cut(struct clone *clone, struct bio *bio, unsigned long end)
{
	sector_t sectors = clone_first_sector(clone, end) - bio->bi_iter.bi_sector;

	if (sectors < bio_sectors(bio))
		dm_accept_partial_bio(bio, sectors);
}

/* What a bio fills is over. Returns false if the bio has to wait for a commit. */
static bool clone_filled(struct clone *clone, struct bio *bio, blk_status_t status)
{
	struct clone_bio *cb = clone_bio_of(bio);

	cb->state = CLONE_BIO_FILLED;
	if (unlikely(cb->fua) && !status) {
		clone_commit_wait(clone, bio);
		return false;
	}
	return true;
}

/* All parts of a write have ended. Returns what is to be told of it. */
static blk_status_t clone_range_filled(struct clone *clone, const struct clone_bio *cb)
{
	unsigned long region, last = cb->region + cb->nr - 1;
	blk_status_t status = cb->status, r;

	for (region = cb->region; region <= last; region++) {
		/* Only what it has claimed is not hydrated. */
		if (test_bit(region, clone->bitmap->hydrated))
			continue;
		r = cb->status;
		if (unlikely((cb->head_failed && region == cb->region) ||
			     (cb->tail_failed && region == last)))
			r = BLK_STS_IOERR;
		/* The error is of this write; one to another part of the region may do better. */
		if (unlikely(r))
			clone_region_abandon(clone, region);
		else
			r = clone_region_filled(clone, region, BLK_STS_OK);
		if (unlikely(r && !status))
			status = r;
	}
	return status;
}

/* A copy has ended, perhaps as the last part. */
static void clone_range_copied(struct clone_bio *cb)
{
	struct bio *bio = clone_bio_bio(cb);
	struct clone *clone = cb->clone;
	blk_status_t status;

	dm_scaled_delay("clone-region:range-copied");
	if (!atomic_dec_and_test(&cb->parts))
		return;
	status = clone_range_filled(clone, cb);
	if (clone_filled(clone, bio, status)) {
		bio->bi_status = status;
		bio_endio(bio);
	}
}

static bool clone_end_failed(struct clone_bio *cb, unsigned long region, int read_err,
			     unsigned long write_err)
{
	if (likely(!read_err && !write_err))
		return false;
	DMERR_LIMIT("%s: Cannot copy a part of region %lu: the %s failed", clone_name(cb->clone),
		    region, read_err ? "source" : "destination");
	return true;
}

static void clone_head_copied(int read_err, unsigned long write_err, void *context)
{
	struct clone_bio *cb = context;

	cb->head_failed = clone_end_failed(cb, cb->region, read_err, write_err);
	clone_range_copied(cb);
}

static void clone_tail_copied(int read_err, unsigned long write_err, void *context)
{
	struct clone_bio *cb = context;

	cb->tail_failed = clone_end_failed(cb, cb->region + cb->nr - 1, read_err, write_err);
	clone_range_copied(cb);
}

/*
 * Copies what a write leaves of its ends. Called late if there has been no job for the first copy,
 * or for the second. The first one is submitted before the second one asks for a job, and so gives
 * its own back whatever becomes of the second.
 */
static void clone_copy_ends(struct dm_kcopyd_mq_item *item)
{
	struct clone_bio *cb = container_of(item, struct clone_bio, ticket.item);
	struct clone *clone = cb->clone;
	sector_t begin = clone_first_sector(clone, cb->region);
	sector_t end = begin + clone_sectors(clone, cb->region, cb->nr);
	sector_t head = cb->head, tail = cb->tail;

	dm_scaled_delay("clone-region:copy-ends");
	if (head) {
		cb->head = 0;
		clone_copy_sectors(clone, clone->kcopyd, &cb->ticket, begin, head,
				   clone_head_copied, cb);
		/* If there is no tail the bio may have ended. */
		if (!tail || !dm_kcopyd_mq_reserve(clone->kcopyd, &cb->ticket))
			return;
	}
	clone_copy_sectors(clone, clone->kcopyd, &cb->ticket, end - tail, tail, clone_tail_copied,
			   cb);
}

/*
 * Claims what is not settled of some regions, up to one that somebody else is filling. That one is
 * not waited for, as others may wait for what has been claimed. Returns the end of what is claimed
 * or settled.
 */
static unsigned long clone_range_claim(struct clone *clone, struct clone_bio *cb,
				       unsigned long region, unsigned long end)
{
	cb->nr = 0;
	for (; region < end; region++) {
		if (clone_region_is_settled(clone, region))
			continue;
		if (!clone_region_claim(clone, region)) {
			/* It may be that it had just been filled. */
			if (clone_region_is_settled(clone, region))
				continue;
			break;
		}
		this_cpu_inc(clone->cpus->filled);
		if (!cb->nr)
			cb->region = region;
		cb->nr = region - cb->region + 1;
	}
	return region;
}

/*
 * Maps a write whose regions before @from are settled. Returns false if nothing can be claimed from
 * there on; the bio is as it was then.
 */
static bool clone_map_range(struct clone *clone, struct bio *bio, unsigned long from,
			    unsigned long end)
{
	struct clone_bio *cb = clone_bio_of(bio);
	sector_t begin;

	if (unlikely(!clone_writable(clone)))
		return false;
	end = clone_range_claim(clone, cb, from, min(end, from + CLONE_FILL_REGIONS));
	if (!cb->nr)
		return false;

	clone_cut(clone, bio, end);
	/* In front of what is claimed, and behind it, the bio may go on in what is settled. */
	begin = clone_first_sector(clone, cb->region);
	cb->head = max(bio->bi_iter.bi_sector, begin) - begin;
	begin += clone_sectors(clone, cb->region, cb->nr);
	cb->tail = max(bio_end_sector(bio), begin) - bio_end_sector(bio);
	cb->head_failed = false;
	cb->tail_failed = false;
	atomic_set(&cb->parts, 1 + !!cb->head + !!cb->tail);
	clone_map_fill(clone, bio, CLONE_BIO_FILLS_RANGE);
	if (cb->head || cb->tail) {
		cb->ticket.item.fn = clone_copy_ends;
		if (dm_kcopyd_mq_reserve(clone->kcopyd, &cb->ticket))
			clone_copy_ends(&cb->ticket.item);
		dm_scaled_delay("clone-region:range-write");
	}
	return true;
}

/*
 *------------------------------------------------------------
 * Discards
 *------------------------------------------------------------
 */

/*
 * What is discarded need not be copied. A region that is being filled is left to whoever does that:
 * if it were hydrated now, a write could be overwritten by what is being copied.
 */
static int clone_discard(struct clone *clone, struct bio *bio)
{
	sector_t begin = bio->bi_iter.bi_sector, end = bio_end_sector(bio);
	unsigned long region = dm_sector_div_up(begin, clone_region_size(clone));
	unsigned long first = region, last = end >> clone->region_shift;

	if (end == clone->ti->len)
		last = clone->regions;
	if (first >= last) {
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}

	for (;;) {
		region = clone_bitmap_next_unset(clone->bitmap, region);
		if (region >= last)
			break;
		if (unlikely(!clone_writable(clone))) {
			/* It is a hint. */
			bio_endio(bio);
			return DM_MAPIO_SUBMITTED;
		}
		if (clone_region_claim(clone, region)) {
			clone_bitmap_set(clone->bitmap, region);
			clone_region_release(clone, region, BLK_STS_OK);
		}
		region++;
		cond_resched();
	}

	if (!clone->passdown) {
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}
	bio->bi_iter.bi_sector = (sector_t)first << clone->region_shift;
	bio->bi_iter.bi_size = to_bytes(clone_sectors(clone, first, last - first));
	bio_set_dev(bio, clone->dest->bdev);
	return DM_MAPIO_REMAPPED;
}

/*
 *------------------------------------------------------------
 * The way of a bio
 *------------------------------------------------------------
 */

/*
 * A bio may go on for as long as all of its regions are in the same place; returns the end of those
 * regions. What is written is settled, what is read may be the source's.
 */
static unsigned long clone_run_end(struct clone *clone, unsigned long region, unsigned long last,
				   bool write, bool in_dest)
{
	const unsigned long *hydrated = clone->bitmap->hydrated;
	unsigned long end;

	if (in_dest)
		end = find_next_zero_bit(hydrated, last + 1, region);
	else
		end = find_next_bit(hydrated, last + 1, region);
	/* The first one may have been hydrated since. */
	end = max(end, region + 1);
	/* As clone_bitmap_test() does for the first one. */
	smp_acquire__after_ctrl_dep();
	if (write) {
		end = find_next_bit(clone->busy, end, region + 1);
		/* As clone_region_is_settled() does for the first one. */
		smp_acquire__after_ctrl_dep();
	}
	return end;
}

static int clone_map_data(struct clone *clone, struct bio *bio)
{
	unsigned long region = bio->bi_iter.bi_sector >> clone->region_shift;
	unsigned long last = (bio_end_sector(bio) - 1) >> clone->region_shift;
	bool write = bio_data_dir(bio) == WRITE;
	bool in_dest = write ? clone_region_is_settled(clone, region) :
			       clone_bitmap_test(clone->bitmap, region);
	unsigned long end = region + 1;

	if (last > region) {
		if (in_dest || !write)
			end = clone_run_end(clone, region, last, write, in_dest);
		if (write && end <= last &&
		    clone_map_range(clone, bio, in_dest ? end : region, last + 1))
			return DM_MAPIO_REMAPPED;
		clone_cut(clone, bio, end);
	}

	if (in_dest)
		return clone_map_dest(clone, bio, region);
	if (!write) {
		bio_set_dev(bio, clone->source->bdev);
		return DM_MAPIO_REMAPPED;
	}
	return clone_write(clone, bio, region);
}

static int clone_map_flush(struct clone *clone, struct bio *bio)
{
	bio_set_dev(bio, clone->dest->bdev);
	if (clone_bitmap_is_clean(clone->bitmap)) {
		clone_bio_of(bio)->flushes = true;
		return DM_MAPIO_REMAPPED;
	}
	clone_commit_wait(clone, bio);
	return DM_MAPIO_SUBMITTED;
}

/*
 * After a flush of the destination failed: maps a bio to one region, unless the region may have
 * lost its data. Reading it from the source would show what a user has overwritten.
 */
static int clone_map_lost(struct clone *clone, struct bio *bio)
{
	unsigned long region = bio->bi_iter.bi_sector >> clone->region_shift;
	struct clone_bitmap *b = clone->bitmap;

	clone_cut(clone, bio, region + 1);
	if (clone_bitmap_test(b, region) && !clone_bitmap_is_staged(b, region)) {
		DMERR_LIMIT("%s: Region %lu may have lost its data: I/O to it fails",
			    clone_name(clone), region);
		return DM_MAPIO_KILL;
	}
	return clone_map_data(clone, bio);
}

int clone_map(struct dm_target *ti, struct bio *bio)
{
	struct clone *clone = ti->private;
	struct clone_bio *cb = clone_bio_of(bio);
	enum clone_mode mode = READ_ONCE(clone->mode);
	int r;

	if (unlikely(mode == CLONE_FAIL))
		return DM_MAPIO_KILL;

	cb->clone = clone;
	cb->state = CLONE_BIO_PLAIN;
	cb->flushes = false;
	this_cpu_inc(clone->cpus->bios.begun);

	if (unlikely(bio->bi_opf & REQ_PREFLUSH))
		return clone_map_flush(clone, bio);

	bio->bi_iter.bi_sector = dm_target_offset(ti, bio->bi_iter.bi_sector);
	if (unlikely(bio_op(bio) == REQ_OP_DISCARD))
		return clone_discard(clone, bio);

	r = unlikely(mode == CLONE_LOST) ? clone_map_lost(clone, bio) : clone_map_data(clone, bio);
	/* Device-mapper does not tell of its end. */
	if (unlikely(r == DM_MAPIO_KILL))
		this_cpu_inc(clone->cpus->bios.ended);
	return r;
}

/* A write that fills has ended. Returns false if there is something else to wait for. */
static bool clone_fill_ended(struct clone *clone, struct bio *bio, blk_status_t *error)
{
	struct clone_bio *cb = clone_bio_of(bio);

	if (cb->state == CLONE_BIO_FILLS_RANGE) {
		cb->status = *error;
		dm_scaled_delay("clone-region:range-written");
		if (!atomic_dec_and_test(&cb->parts))
			return false;
		*error = clone_range_filled(clone, cb);
	} else if (unlikely(*error)) {
		/* It is of this write; one to a part of the region may do better. */
		clone_region_abandon(clone, cb->region);
	} else {
		*error = clone_region_filled(clone, cb->region, BLK_STS_OK);
	}
	return clone_filled(clone, bio, *error);
}

int clone_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct clone *clone = ti->private;
	struct clone_bio *cb = clone_bio_of(bio);

	if (unlikely(cb->flushes)) {
		/* What follows for it is not the destination's. */
		cb->flushes = false;
		if (*error)
			clone_dest_failed(clone);
	}
	if (cb->state > CLONE_BIO_FILLED && !clone_fill_ended(clone, bio, error))
		return DM_ENDIO_INCOMPLETE;
	this_cpu_inc(clone->cpus->bios.ended);
	return DM_ENDIO_DONE;
}
