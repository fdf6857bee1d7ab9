// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log: exceptions are appended to the list on disk.
 *
 * One write is under way at a time. Each CPU collects exceptions whose chunks it has copied;
 * whoever starts a write takes what all CPUs have. What becomes ready meanwhile is for the next
 * one. Before a write starts it waits for the copies that had begun when it was wanted: with many
 * writers, whose copies end at about the same time, one write then serves all of them. If the
 * device has a cache, which makes each write cost a flush, it waits for those, too, that have begun
 * meanwhile. As nobody is to wait long for a slow copy, it waits two ticks at most.
 *
 *	idle --> waiting for copies --> writing --> idle
 *
 * The list ends with a zero, so that the area after the current one must have been zeroed before
 * the current one is full. That is done when the current one gets its first exception. Likewise
 * within an area, which may be longer than what is written at a time: what follows a block is zero
 * on disk before the block is full, so that nothing old, from a write that was torn, can ever
 * appear as the list's continuation.
 *
 * PREFLUSH makes the copies durable before the exceptions that tell of them, FUA the exceptions
 * before anybody overwrites the origin.
 *
 * Nobody waits for an exception that is deferred. It is written with the next one that somebody
 * waits for; when the device is flushed; when a CPU has many; or after a second.
 */
#define DM_MSG_PREFIX "snap-log"

#include <linux/device-mapper.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "dm-kcopyd-mq.h"
#include "dm-scaled-delay.h"
#include "dm-snap-disk.h"
#include "dm-snap-log.h"
#include "dm-snap-store.h"

/* Ticks that a write waits for copies. */
#define SNAP_LOG_PATIENCE	2
/*
 * Deferred entries of a CPU that cause a write, less than DM_SCALED_MAGAZINE; ticks after which one
 * is caused in any case; and what may be deferred, in exceptions that a write takes.
 */
#define SNAP_LOG_MANY		48U
#define SNAP_LOG_FEW		16U
#define SNAP_LOG_LONG		HZ
#define SNAP_LOG_WINDOWS	2U

/**
 * struct snap_log_cpu - a CPU's part of the log
 * @ready:     entries whose chunks have been copied
 * @ready_node: in snap_log.ready_cpus while there are @ready; belongs to who added the first of
 *             them, then to who takes it off that list
 * @done:      entries that were written, or never will be
 * @copying:   chunks being copied that began on this CPU, by epoch
 * @look:      looks whether a write can be started, when the worker has done all else
 * @looking:   bit 0: @look is queued
 * @finish:    hands @done over to their owner
 * @many:      deferred entries since the last write that they have caused, or that took them
 * @deferred:  exceptions deferred on this CPU
 * @finished:  how many of them are over; changed by @finish only
 * @log:       the log
 *
 * Written by this CPU, but for @done, to which whoever ends a write adds once for all its entries,
 * and @many, which whoever takes @ready sets to 0.
 */
struct snap_log_cpu {
	struct llist_head ready;
	struct llist_node ready_node;
	struct llist_head done;
	atomic_t copying[2];
	struct dm_kcopyd_mq_item look;
	unsigned long looking;
	struct dm_kcopyd_mq_item finish;
	unsigned int many;
	unsigned long deferred;
	unsigned long finished;
	struct snap_log *log;
};

/**
 * struct snap_log - the log of a snapshot
 * @store:      of the snapshot
 * @kcopyd:     the engine's client
 * @fn:         called for each entry at its end
 * @cpus:       per CPU
 * @block:      bytes of a block
 * @epoch:      under which copies that begin are counted; changes twice in a write at most, under
 *              @lock, without which it is read
 * @many:       deferred entries of a CPU that cause a write
 * @most:       exceptions that a CPU may have deferred; 0 when the log has failed
 * @copying:    CPUs that are copying something, by epoch. A CPU writes here when its first copy
 *              begins and its last one ends: with many at a time, once per write to the log
 * @ready_cpus: CPUs that have something ready; a CPU adds itself once per write to the log
 * @wanting:    a write is wanted. Set, without @lock, after what it is wanted for has been made
 *              ready; cleared, under @lock, before that is taken; both only if it changes
 * @dated:      bit 0: @date is pending, or about to be; set by who defers the first entry
 * @lock:       protects the fields below; interrupts off, taken once for many exceptions
 * @slots:      exceptions on disk
 * @writing:    a write is under way; until it is over @window, @taken, @bytes, @bio are its own
 * @waits:      epochs whose copies the next write still waits for; now for the other one's
 * @timed:      @late has been queued for that, and may be cancelled by who takes what is ready
 * @scrub:      the next write only overwrites what follows the list
 * @zeroed:     the area after the current one ends the list
 * @zeroing:    @zeroing_area is being zeroed
 * @zeroing_area: the area after the current one when that began
 * @failed:     nothing can be made durable any more
 * @cut:        why it is @failed: snap_log_truncate() has, and the list may be shorter on disk
 * @lost:       what had been deferred is lost, and no flush has been told yet
 * @closed:     no write is to be started
 * @queued:     entries that have been taken from the CPUs, ever
 * @ended:      how many of them have been written; or, if the log has failed, all
 * @undeferred: exceptions that had been deferred, and were written
 * @flushes:    flushes that have come since the last write began
 * @covered:    those that had come when it began, and wait for entries still
 * @synced:     woken up when @ended changes
 * @wanted:     entries that have been taken from the CPUs, but not written
 * @wanted_tail: where the next one is to be linked
 * @taken:      entries that the write under way completes
 * @nr_taken:   exceptions that it appends
 * @nr_undeferred: how many of them had been deferred
 * @nr_ended:   entries in @taken
 * @window:     from the block of the first slot after @slots on: what is on disk, then what is next
 * @bytes:      of @window that are being written
 * @bio:        the write
 * @vec:        its table
 * @written:    goes on after the write
 * @writer:     CPU on which it does
 * @late:       starts a write that has waited too long
 * @date:       starts one for what was deferred
 * @zero_ticket: for zeroing the next area, which a worker starts
 * @header:     for snap_log_invalidate()
 * @unmarked:   that has failed, and is tried again at the end
 * @wq:         for @late and what snap_log_queue_work() is given
 *
 * The first fields are read by all CPUs for each exception. Those from @copying on are written by
 * them, in lines of their own; from @lock on, for each look at whether a write can be started.
 */
struct snap_log {
	struct snap_store *store;
	struct dm_kcopyd_mq_client *kcopyd;
	snap_log_fn fn;
	struct snap_log_cpu __percpu *cpus;
	unsigned int block;
	u8 epoch;
	unsigned int many;
	unsigned int most;

	atomic_t copying[2] ____cacheline_aligned_in_smp;
	struct llist_head ready_cpus;
	bool wanting;
	unsigned long dated;

	spinlock_t lock ____cacheline_aligned_in_smp;	/* protects the fields below */
	u64 slots;
	bool writing;
	unsigned int waits;
	bool timed;
	bool scrub;
	bool zeroed;
	bool zeroing;
	u64 zeroing_area;
	bool failed;
	bool cut;
	bool lost;
	bool closed;
	u64 queued;
	u64 ended;
	unsigned long undeferred;
	struct list_head flushes;
	struct list_head covered;
	wait_queue_head_t synced;
	struct llist_node *wanted;
	struct llist_node **wanted_tail;
	struct llist_node *taken;
	unsigned int nr_taken;
	unsigned int nr_undeferred;
	unsigned int nr_ended;
	struct snap_disk_exception *window;
	unsigned int bytes;
	struct bio bio;
	struct bio_vec vec;
	struct dm_kcopyd_mq_item written;
	unsigned int writer;

	struct delayed_work late;
	struct timer_list date;
	struct dm_kcopyd_mq_ticket zero_ticket;
	void *header;
	bool unmarked;
	struct workqueue_struct *wq;
};

/*
 *------------------------------------------------------------
 * Where a slot is
 *------------------------------------------------------------
 */

static size_t snap_log_window_bytes(const struct snap_log *log)
{
	size_t area = log->store->chunk_size << SECTOR_SHIFT;

	/* Nothing is written across the end of an area, which is a chunk. */
	return min_t(size_t, (SNAP_WINDOW_BLOCKS + 1) * log->block, area);
}

static unsigned int snap_log_block_entries(const struct snap_log *log)
{
	return log->block / sizeof(struct snap_disk_exception);
}

/* Position of the next slot in its area, in its block. */
static u64 snap_log_in_area(const struct snap_log *log)
{
	return log->slots & ((1ULL << log->store->area_shift) - 1);
}

static unsigned int snap_log_in_block(const struct snap_log *log)
{
	return log->slots & (snap_log_block_entries(log) - 1);
}

/* Where the block of a slot is on the device. */
static sector_t snap_log_sector_of(const struct snap_log *log, u64 slot)
{
	const struct snap_store *store = log->store;
	u64 chunk = snap_area_chunk(store->area_shift, slot >> store->area_shift);
	u64 in_area = slot & ((1ULL << store->area_shift) - 1);

	return (chunk << store->chunk_shift) +
	       (round_down(in_area * sizeof(struct snap_disk_exception), log->block) >>
		SECTOR_SHIFT);
}

static sector_t snap_log_sector(const struct snap_log *log)
{
	return snap_log_sector_of(log, log->slots);
}

/* Bytes of the area from that block on. */
static u64 snap_log_rest_of_area(const struct snap_log *log)
{
	u64 before = snap_log_in_area(log) - snap_log_in_block(log);

	return ((1ULL << log->store->area_shift) - before) * sizeof(struct snap_disk_exception);
}

/* Number of the area after the current one. */
static u64 snap_log_next_area_nr(const struct snap_log *log)
{
	return (log->slots >> log->store->area_shift) + 1;
}

static bool snap_log_next_area(const struct snap_log *log, struct dm_io_region *region)
{
	const struct snap_store *store = log->store;
	u64 chunk = snap_area_chunk(store->area_shift, snap_log_next_area_nr(log));

	region->bdev = store->cow;
	region->sector = chunk << store->chunk_shift;
	region->count = store->chunk_size;
	return region->sector + region->count <= bdev_nr_sectors(store->cow);
}

/*
 *------------------------------------------------------------
 * Starting a write
 *------------------------------------------------------------
 */

/* A hint: a copy that is about to begin, or to end, may be missed, or counted on for a moment. */
static bool snap_log_copying(const struct snap_log *log, unsigned int epoch)
{
	return atomic_read(&log->copying[epoch]) > 0;
}

/* Takes what the CPUs have ready, for each CPU in the order in which it got ready. */
static void snap_log_collect(struct snap_log *log)
	__must_hold(&log->lock)
{
	struct llist_node *first, *last, *node;
	struct snap_log_cpu *lc, *next;

	if (READ_ONCE(log->wanting))
		WRITE_ONCE(log->wanting, false);
	/* Pairs with that of snap_log_want(): we see what has become ready, or it sees us. */
	smp_mb();
	llist_for_each_entry_safe(lc, next, llist_del_all(&log->ready_cpus), ready_node) {
		/* From here on the CPU may add itself again. */
		last = llist_del_all(&lc->ready);
		first = llist_reverse_order(last);
		*log->wanted_tail = first;
		log->wanted_tail = &last->next;
		llist_for_each(node, first)
			log->queued++;
		/* A hint, for the CPU. */
		WRITE_ONCE(lc->many, 0);
	}
}

/* Exceptions that may be appended by one write. */
static unsigned int snap_log_room(const struct snap_log *log)
{
	u64 area = (1ULL << log->store->area_shift) - snap_log_in_area(log);
	unsigned int window = snap_disk_window(log->store->chunk_size) - snap_log_in_block(log);

	/* Until the next area can end the list, one slot of this one has to. */
	return min_t(u64, window, area - !log->zeroed);
}

/* Puts what there is room for of an entry into the window, from @slot on; returns how much. */
static unsigned int snap_log_fill_entry(struct snap_log *log, struct snap_log_entry *entry,
					unsigned int slot, unsigned int room)
{
	unsigned int nr = min(entry->nr - entry->filled, room), i;

	for (i = 0; i < nr; i++, entry->filled++, slot++) {
		log->window[slot].old = cpu_to_le64(entry->old + entry->filled);
		log->window[slot].new = cpu_to_le64(entry->new + entry->filled);
	}
	if (entry->deferred)
		log->nr_undeferred += nr;
	return nr;
}

/*
 * Moves entries into the window; sets what is to be written, if there is room for any. An entry of
 * which there is room for a part only stays the first that is wanted.
 */
static void snap_log_fill(struct snap_log *log)
	__must_hold(&log->lock)
{
	unsigned int slot = snap_log_in_block(log), room = snap_log_room(log), nr;
	struct llist_node **end = &log->wanted;
	struct snap_log_entry *entry;

	log->taken = NULL;
	log->nr_taken = 0;
	log->nr_undeferred = 0;
	log->nr_ended = 0;
	log->bytes = 0;
	if (unlikely(log->scrub)) {
		log->bytes = snap_log_window_bytes(log);
	} else {
		while (*end && log->nr_taken < room) {
			entry = llist_entry(*end, struct snap_log_entry, node);
			nr = snap_log_fill_entry(log, entry, slot, room - log->nr_taken);
			slot += nr;
			log->nr_taken += nr;
			if (entry->filled == entry->nr) {
				end = &entry->node.next;
				log->nr_ended++;
			}
		}
		if (!log->nr_taken)
			return;

		if (end != &log->wanted) {
			log->taken = log->wanted;
			log->wanted = *end;
			*end = NULL;
			if (!log->wanted)
				log->wanted_tail = &log->wanted;
		}

		log->bytes = round_up(slot * sizeof(struct snap_disk_exception), log->block);
		/* A block that was entered has one of zeroes after it: the first has it. */
		if (!snap_log_in_block(log) || log->bytes > log->block)
			log->bytes += log->block;
	}
	log->bytes = min_t(u64, log->bytes, snap_log_rest_of_area(log));
}

static void snap_log_look(struct dm_kcopyd_mq_item *item);
static void snap_log_try(struct snap_log *log, bool late);

/* Has the worker of a CPU look, after all else that it has to do now. */
static void snap_log_want_look(struct snap_log *log, unsigned int cpu)
{
	struct snap_log_cpu *lc = per_cpu_ptr(log->cpus, cpu);

	if (test_and_set_bit(0, &lc->looking))
		return;
	dm_kcopyd_mq_hold(log->kcopyd);
	dm_kcopyd_mq_queue_item(log->kcopyd, &lc->look, cpu);
}

/* What somebody waits for has been made ready. */
static void snap_log_want(struct snap_log *log)
{
	/* Pairs with that of snap_log_collect(). */
	smp_mb();
	if (!READ_ONCE(log->wanting))
		WRITE_ONCE(log->wanting, true);
}

/* Nothing can be made durable any more: nor is anything deferred. */
static void snap_log_fail(struct snap_log *log)
	__must_hold(&log->lock)
{
	log->failed = true;
	log->cut = false;
	WRITE_ONCE(log->most, 0);
}

/* What a CPU may have deferred. */
static unsigned int snap_log_most(const struct snap_log *log)
{
	return max(SNAP_LOG_WINDOWS * snap_disk_window(log->store->chunk_size) / num_online_cpus(),
		   2 * log->many);
}

/* A list of which nobody knew how long it is on disk has been written. */
static void snap_log_is_mended(struct snap_log *log)
	__must_hold(&log->lock)
{
	if (!log->cut)
		return;
	log->cut = false;
	log->failed = false;
	WRITE_ONCE(log->most, snap_log_most(log));
}

static void snap_log_zeroing_done(int read_err, unsigned long write_err, void *context)
{
	struct snap_log *log = context;

	spin_lock_irq(&log->lock);
	log->zeroing = false;
	if (write_err) {
		DMERR("Cannot zero a chunk for the next exceptions");
		snap_log_fail(log);
	} else {
		/* A merge may have shortened the list meanwhile: then it was another area. */
		log->zeroed = log->zeroing_area == snap_log_next_area_nr(log);
	}
	spin_unlock_irq(&log->lock);

	snap_log_try(log, false);
}

/*
 * Zeroes what is the next area now. Until that has ended the list does not grow into it; if it is
 * shortened meanwhile, which only a merge does, the area is not in use.
 */
static void snap_log_zero(struct snap_log *log)
{
	struct dm_io_region region;

	spin_lock_irq(&log->lock);
	log->zeroing_area = snap_log_next_area_nr(log);
	snap_log_next_area(log, &region);
	spin_unlock_irq(&log->lock);
	dm_kcopyd_mq_zero_with(log->kcopyd, &log->zero_ticket, 1, &region, 0,
			       snap_log_zeroing_done, log);
}

static void snap_log_zero_late(struct dm_kcopyd_mq_item *item)
{
	snap_log_zero(container_of(item, struct snap_log, zero_ticket.item));
}

static void snap_log_endio(struct bio *bio)
{
	struct snap_log *log = bio->bi_private;

	dm_kcopyd_mq_queue_item(log->kcopyd, &log->written, log->writer);
}

static void snap_log_write(struct snap_log *log)
{
	struct bio *bio = &log->bio;

	bio_init(bio, log->store->cow, &log->vec, 1, SNAP_DISK_WRITE);
	bio->bi_iter.bi_sector = snap_log_sector(log);
	bio->bi_private = log;
	bio->bi_end_io = snap_log_endio;
	__bio_add_page(bio, virt_to_page(log->window), log->bytes, offset_in_page(log->window));
	log->writer = dm_kcopyd_mq_hold(log->kcopyd);
	submit_bio(bio);
}

/*
 * Takes those off a list of flushes whose entries have ended, and puts them at the end of another
 * one. Flushes are in the order of the entries that they wait for.
 */
static void snap_log_take_flushes(struct snap_log *log, struct list_head *from,
				  struct list_head *to)
	__must_hold(&log->lock)
{
	struct snap_log_flush *flush, *next;

	list_for_each_entry_safe(flush, next, from, node) {
		if (flush->until > log->ended)
			break;
		list_move_tail(&flush->node, to);
	}
}

static void snap_log_end_flushes(struct list_head *flushes, bool failed)
{
	struct snap_log_flush *flush, *next;

	list_for_each_entry_safe(flush, next, flushes, node) {
		if (failed)
			bio_io_error(flush->bio);
		else
			bio_endio(flush->bio);
	}
}

/* Those whose entries are durable, but perhaps not all else that was written before them. */
static void snap_log_pass_flushes(struct snap_log *log, struct list_head *flushes)
{
	struct snap_log_flush *flush, *next;

	list_for_each_entry_safe(flush, next, flushes, node) {
		bio_set_dev(flush->bio, log->store->cow);
		submit_bio_noacct(flush->bio);
	}
}

/*
 * The log has failed: nothing that waits is going to be durable. Returns the entries; those of the
 * write under way are its own.
 */
static struct llist_node *snap_log_give_up(struct snap_log *log, struct list_head *flushes)
	__must_hold(&log->lock)
{
	struct llist_node *failed = log->wanted;

	/* Whoever has written something that was deferred is told by a flush, if one waits. */
	if (log->ended < log->queued && list_empty(&log->covered) && list_empty(&log->flushes))
		log->lost = true;
	log->wanted = NULL;
	log->wanted_tail = &log->wanted;
	log->ended = log->queued;
	list_splice_tail_init(&log->covered, flushes);
	list_splice_tail_init(&log->flushes, flushes);
	return failed;
}

/* Gives entries back to the CPUs from which they came. */
static void snap_log_give_back(struct snap_log *log, struct llist_node *list, bool failed)
{
	struct snap_log_entry *entry, *next;
	struct snap_log_cpu *lc;

	llist_for_each_entry_safe(entry, next, list, node) {
		unsigned int cpu = entry->cpu;

		lc = per_cpu_ptr(log->cpus, cpu);
		entry->failed = failed;
		/* The first calls the worker, which may be done with the list before we are. */
		if (llist_add(&entry->node, &lc->done)) {
			dm_kcopyd_mq_hold(log->kcopyd);
			dm_kcopyd_mq_queue_item(log->kcopyd, &lc->finish, cpu);
		}
	}
}

/* Epochs that a write waits for: their copies are one group, or two that come together. */
static unsigned int snap_log_patience(const struct snap_log *log)
{
	return bdev_write_cache(log->store->cow) ? 2 : 1;
}

/*
 * Whether it is time to write: nothing is being written, and the copies that are waited for, see
 * snap_log_patience(), are over, or have taken too long.
 */
static bool snap_log_is_time(struct snap_log *log, bool late)
	__must_hold(&log->lock)
{
	if (log->writing || log->closed)
		return false;
	/* Pairs with that of snap_log_hurry(): what is wanted is seen here, or @writing there. */
	smp_mb();
	if (!READ_ONCE(log->wanting) && !log->wanted) {
		/* @late stays queued: perhaps by who hurries, since we have looked at @wanting. */
		log->timed = false;
		log->waits = 0;
		return false;
	}
	if (!log->waits) {
		log->waits = snap_log_patience(log);
		WRITE_ONCE(log->epoch, !log->epoch);
	}
	while (!late && !log->failed && !log->wanted) {
		/* Pairs with that of snap_log_over(): we see the count go down, or it sees us. */
		smp_mb();
		if (snap_log_copying(log, !log->epoch)) {
			queue_delayed_work(log->wq, &log->late, SNAP_LOG_PATIENCE);
			log->timed = true;
			return false;
		}
		if (!--log->waits)
			break;
		WRITE_ONCE(log->epoch, !log->epoch);
	}
	if (log->timed)
		cancel_delayed_work(&log->late);
	log->timed = false;
	log->waits = 0;
	return true;
}

/* Starts a write if there is something to write and it is time. */
static void snap_log_try(struct snap_log *log, bool late)
{
	struct llist_node *failed = NULL;
	struct dm_io_region region;
	bool write = false, zero = false;
	LIST_HEAD(flushes);

	spin_lock_irq(&log->lock);
	if (snap_log_is_time(log, late)) {
		snap_log_collect(log);
		if (log->wanted && !log->failed) {
			zero = !log->zeroed && !log->zeroing && snap_log_next_area(log, &region);
			log->zeroing |= zero;
			snap_log_fill(log);
			write = log->bytes;
			log->writing = write;
			if (write)
				list_splice_tail_init(&log->flushes, &log->covered);
			/* The store hands out no more chunks than there are slots. */
			if (unlikely(!write && !log->zeroing)) {
				DMERR_LIMIT("No room for an exception: has the COW device shrunk?");
				snap_log_fail(log);
			}
		}
		if (unlikely(log->failed))
			failed = snap_log_give_up(log, &flushes);
	}
	spin_unlock_irq(&log->lock);

	if (zero && dm_kcopyd_mq_reserve(log->kcopyd, &log->zero_ticket))
		snap_log_zero(log);
	dm_scaled_delay("snap-log:write");
	if (write)
		snap_log_write(log);
	snap_log_give_back(log, failed, true);
	snap_log_end_flushes(&flushes, true);
	if (unlikely(failed))
		wake_up(&log->synced);
}

/*
 *------------------------------------------------------------
 * After a write
 *------------------------------------------------------------
 */

/* What was written is on disk: the window moves on to the block of the next slot. */
static void snap_log_advance(struct snap_log *log)
	__must_hold(&log->lock)
{
	unsigned int entries = snap_log_block_entries(log);
	unsigned int filled = snap_log_in_block(log) + log->nr_taken;
	unsigned int keep = filled & (entries - 1);

	if (unlikely(log->scrub)) {
		log->scrub = false;
		return;
	}

	if (filled >= entries) {
		memcpy(log->window, log->window + filled - keep, keep * sizeof(*log->window));
		memset(log->window + keep, 0, (filled - keep) * sizeof(*log->window));
	}
	log->slots += log->nr_taken;
	log->undeferred += log->nr_undeferred;
	log->ended += log->nr_ended;
	if (!snap_log_in_area(log))
		log->zeroed = false;
}

static void snap_log_written(struct dm_kcopyd_mq_item *item)
{
	struct snap_log *log = container_of(item, struct snap_log, written);
	struct dm_kcopyd_mq_client *kcopyd = log->kcopyd;
	struct llist_node *taken, *lost = NULL;
	LIST_HEAD(ended);
	LIST_HEAD(passed);
	bool failed;

	spin_lock_irq(&log->lock);
	if (unlikely(log->bio.bi_status)) {
		DMERR("Cannot write exceptions: error %d",
		      blk_status_to_errno(log->bio.bi_status));
		snap_log_fail(log);
	} else {
		snap_log_advance(log);
	}
	bio_uninit(&log->bio);
	failed = log->failed;
	taken = log->taken;
	log->writing = false;
	if (likely(!failed)) {
		snap_log_take_flushes(log, &log->covered, &ended);
		snap_log_take_flushes(log, &log->flushes, &passed);
	} else {
		lost = snap_log_give_up(log, &ended);
	}
	spin_unlock_irq(&log->lock);

	dm_scaled_delay("snap-log:give-back");
	snap_log_try(log, false);
	snap_log_give_back(log, taken, failed);
	snap_log_give_back(log, lost, true);
	snap_log_end_flushes(&ended, failed);
	snap_log_pass_flushes(log, &passed);
	if (unlikely(wq_has_sleeper(&log->synced)))
		wake_up(&log->synced);
	dm_kcopyd_mq_release(kcopyd);
}

static void snap_log_finish(struct dm_kcopyd_mq_item *item)
{
	struct snap_log_cpu *lc = container_of(item, struct snap_log_cpu, finish);
	struct dm_kcopyd_mq_client *kcopyd = lc->log->kcopyd;
	snap_log_fn fn = lc->log->fn;
	struct snap_log_entry *entry, *next;
	struct llist_node *list;

	list = llist_reverse_order(llist_del_all(&lc->done));
	dm_scaled_delay("snap-log:finish");
	llist_for_each_entry_safe(entry, next, list, node) {
		if (entry->deferred)
			WRITE_ONCE(lc->finished, lc->finished + entry->nr);
		fn(entry, entry->failed);
	}
	dm_kcopyd_mq_release(kcopyd);
}

/*
 *------------------------------------------------------------
 * What the snapshot calls
 *------------------------------------------------------------
 */

static void snap_log_look(struct dm_kcopyd_mq_item *item)
{
	struct snap_log_cpu *lc = container_of(item, struct snap_log_cpu, look);
	struct dm_kcopyd_mq_client *kcopyd = lc->log->kcopyd;

	clear_bit(0, &lc->looking);
	/* Who finds the bit still set has added what we are going to see. */
	smp_mb__after_atomic();
	snap_log_try(lc->log, false);
	dm_kcopyd_mq_release(kcopyd);
}

static void snap_log_look_late(struct work_struct *work)
{
	struct snap_log *log = container_of(to_delayed_work(work), struct snap_log, late);

	snap_log_try(log, true);
}

void snap_log_begin(struct snap_log *log, struct snap_log_entry *entry, bool wanted)
{
	unsigned int epoch = READ_ONCE(log->epoch), cpu = raw_smp_processor_id();

	entry->epoch = epoch;
	entry->cpu = cpu;
	entry->filled = 0;
	entry->deferred = false;
	entry->counted = wanted;
	if (wanted && atomic_inc_return(&per_cpu_ptr(log->cpus, cpu)->copying[epoch]) == 1)
		atomic_inc(&log->copying[epoch]);
}

/* A copy that began on CPU @begun has ended; CPU @cpu looks what that means. */
static void snap_log_over(struct snap_log *log, unsigned int epoch, unsigned int begun,
			  unsigned int cpu)
{
	if (atomic_dec_and_test(&per_cpu_ptr(log->cpus, begun)->copying[epoch]))
		atomic_dec(&log->copying[epoch]);
	/* Pairs with that of snap_log_is_time(). */
	smp_mb();
	snap_log_want_look(log, cpu);
}

/*
 * Puts an entry where the next write takes it from. Then it may be over at any moment. Returns
 * whether many are deferred.
 */
static bool snap_log_make_ready(struct snap_log *log, struct snap_log_entry *entry)
{
	struct snap_log_cpu *lc;
	unsigned long flags;
	bool many = false;

	/*
	 * Where the CPU has an entry that nobody could take yet, an interrupt handler must not add
	 * another one: a flush would miss it.
	 */
	local_irq_save(flags);
	entry->cpu = raw_smp_processor_id();
	lc = per_cpu_ptr(log->cpus, entry->cpu);
	if (entry->deferred) {
		unsigned int nr = READ_ONCE(lc->many) + 1;

		WRITE_ONCE(lc->deferred, lc->deferred + entry->nr);
		many = nr >= log->many;
		WRITE_ONCE(lc->many, many ? 0 : nr);
	}
	if (llist_add(&entry->node, &lc->ready))
		llist_add(&lc->ready_node, &log->ready_cpus);
	local_irq_restore(flags);
	return many;
}

void snap_log_commit(struct snap_log *log, struct snap_log_entry *entry)
{
	unsigned int epoch = entry->epoch, begun = entry->cpu, cpu = raw_smp_processor_id();
	struct dm_kcopyd_mq_client *kcopyd = log->kcopyd;
	bool counted = entry->counted;

	/*
	 * Once the entry is in the list another CPU may write it and complete it. It may have been
	 * all that kept the snapshot, and the worker that we are may be another snapshot's: the
	 * client of the engine, held, keeps the log.
	 */
	dm_kcopyd_mq_hold(kcopyd);
	snap_log_make_ready(log, entry);
	snap_log_want(log);
	dm_scaled_delay("snap-log:look");
	if (likely(counted))
		snap_log_over(log, epoch, begun, cpu);
	else
		snap_log_want_look(log, cpu);
	dm_kcopyd_mq_release(kcopyd);
}

void snap_log_abort(struct snap_log *log, struct snap_log_entry *entry)
{
	if (entry->counted)
		snap_log_over(log, entry->epoch, entry->cpu, raw_smp_processor_id());
}

/* Has a write started without waiting for anything, by nobody's task. */
static void snap_log_write_now(struct snap_log *log)
{
	mod_delayed_work(log->wq, &log->late, 0);
}

void snap_log_hurry(struct snap_log *log)
{
	snap_log_want(log);
	/* Pairs with that of snap_log_is_time(). Who ends a write looks whether one is wanted. */
	smp_mb();
	if (!READ_ONCE(log->writing))
		snap_log_write_now(log);
}

void snap_log_defer(struct snap_log *log, struct snap_log_entry *entry)
{
	entry->deferred = true;
	if (unlikely(snap_log_make_ready(log, entry)))
		snap_log_hurry(log);
	else if (unlikely(!test_bit(0, &log->dated)) && !test_and_set_bit(0, &log->dated))
		mod_timer(&log->date, jiffies + SNAP_LOG_LONG);
}

static void snap_log_date(struct timer_list *timer)
{
	struct snap_log *log = container_of(timer, struct snap_log, date);

	/* What is deferred from now on has a second. What was is in a list: see snap_log_want(). */
	clear_bit(0, &log->dated);
	snap_log_hurry(log);
}

bool snap_log_may_defer(const struct snap_log *log)
{
	const struct snap_log_cpu *lc = raw_cpu_ptr(log->cpus);

	/* What this CPU has deferred may be over on another one that takes its place. */
	return READ_ONCE(lc->deferred) - READ_ONCE(lc->finished) < READ_ONCE(log->most);
}

bool snap_log_flush(struct snap_log *log, struct snap_log_flush *flush, struct bio *bio)
{
	bool lost, waits;

	flush->bio = bio;
	spin_lock_irq(&log->lock);
	snap_log_collect(log);
	flush->until = log->queued;
	waits = log->ended < log->queued;
	if (waits)
		list_add_tail(&flush->node, &log->flushes);
	/* Once, as for any device: who goes on is told by reads and writes that fail. */
	lost = !waits && log->lost;
	if (unlikely(lost))
		log->lost = false;
	spin_unlock_irq(&log->lock);

	dm_scaled_delay("snap-log:flush");
	if (unlikely(lost))
		bio_io_error(bio);
	else if (waits)
		snap_log_write_now(log);
	return lost || waits;
}

static bool snap_log_has_ended(struct snap_log *log, u64 until)
{
	bool ended;

	spin_lock_irq(&log->lock);
	ended = log->ended >= until;
	spin_unlock_irq(&log->lock);
	return ended;
}

bool snap_log_sync(struct snap_log *log, unsigned long ticks)
{
	u64 until;

	dm_kcopyd_mq_may_wait();
	spin_lock_irq(&log->lock);
	snap_log_collect(log);
	until = log->queued;
	spin_unlock_irq(&log->lock);

	snap_log_write_now(log);
	return wait_event_timeout(log->synced, snap_log_has_ended(log, until), ticks);
}

int snap_log_invalidate(struct snap_log *log)
{
	int r;

	dm_kcopyd_mq_may_wait();
	r = snap_disk_write_header(log->store->cow, log->store->chunk_size, false, log->header);
	log->unmarked = r;
	return r;
}

void snap_log_queue_work(struct snap_log *log, struct work_struct *work)
{
	queue_work(log->wq, work);
}

/* Exceptions that are deferred. What has been written is not more, as the lock is held. */
static unsigned long snap_log_deferred(struct snap_log *log)
	__must_hold(&log->lock)
{
	unsigned long deferred = -log->undeferred;
	int cpu;

	for_each_possible_cpu(cpu)
		deferred += READ_ONCE(per_cpu_ptr(log->cpus, cpu)->deferred);
	return deferred;
}

u64 snap_log_exceptions(struct snap_log *log)
{
	u64 nr;

	spin_lock_irq(&log->lock);
	nr = log->slots + snap_log_deferred(log);
	spin_unlock_irq(&log->lock);
	return nr;
}

u64 snap_log_slots(struct snap_log *log)
{
	u64 slots;

	spin_lock_irq(&log->lock);
	slots = log->slots;
	spin_unlock_irq(&log->lock);
	return slots;
}

/*
 *------------------------------------------------------------
 * Shortening the list
 *------------------------------------------------------------
 */

/* Overwrites what a torn write has left behind the end. */
static int snap_log_scrub(struct snap_log *log)
{
	unsigned int bytes = min_t(u64, snap_log_window_bytes(log), snap_log_rest_of_area(log));
	int r;

	r = snap_disk_io(log->store->cow, SNAP_DISK_WRITE, snap_log_sector(log), log->window,
			 bytes);
	if (!r)
		log->scrub = false;
	return r;
}

bool snap_log_may_span(const struct snap_log *log)
{
	return snap_log_block_entries(log) == 1U << log->store->area_shift;
}

int snap_log_tail(struct snap_log *log, u64 end, struct snap_disk_exception *table)
{
	unsigned int nr = end & (snap_log_block_entries(log) - 1);
	int r = 0;

	if (log->scrub)
		r = snap_log_scrub(log);
	if (r || !end)
		return r;
	if (nr && end == log->slots) {
		memcpy(table, log->window, log->block);
		return nr;
	}
	r = snap_disk_io(log->store->cow, REQ_OP_READ | REQ_META, snap_log_sector_of(log, end - 1),
			 table, log->block);
	return r ?: nr ?: snap_log_block_entries(log);
}

int snap_log_truncate(struct snap_log *log, struct snap_disk_exception *table, u64 slots)
{
	unsigned int keep = slots & (snap_log_block_entries(log) - 1);
	int r;

	/* Else entries would follow the end of the list in its area. */
	if (WARN_ON_ONCE(!snap_log_may_span(log) &&
			 snap_log_sector_of(log, slots) != snap_log_sector_of(log, log->slots - 1)))
		return -EINVAL;
	memset(table + keep, 0, log->block - keep * sizeof(*table));
	r = snap_disk_io(log->store->cow, SNAP_DISK_WRITE, snap_log_sector_of(log, slots), table,
			 log->block);
	if (r) {
		/* The list may end there. What was appended to another block would not be found. */
		spin_lock_irq(&log->lock);
		if (!log->failed && snap_log_sector_of(log, slots) != snap_log_sector(log)) {
			snap_log_fail(log);
			log->cut = true;
		}
		spin_unlock_irq(&log->lock);
		return r;
	}

	spin_lock_irq(&log->lock);
	snap_log_is_mended(log);
	log->slots = slots;
	/* Another area may have become the next one, with exceptions in it that are over. */
	log->zeroed = false;
	memcpy(log->window, table, log->block);
	spin_unlock_irq(&log->lock);
	return 0;
}

int snap_log_restore(struct snap_log *log, const struct snap_disk_exception *table, u64 slots)
{
	int r = snap_disk_io(log->store->cow, SNAP_DISK_WRITE, snap_log_sector_of(log, slots),
			     (void *)table, log->block);

	if (r)
		return r;
	spin_lock_irq(&log->lock);
	snap_log_is_mended(log);
	spin_unlock_irq(&log->lock);
	return 0;
}

/*
 *------------------------------------------------------------
 * Creating and destroying
 *------------------------------------------------------------
 */

/* Reads the block that is going to be written again with more in it. */
static int snap_log_read_block(struct snap_log *log)
{
	unsigned int keep = snap_log_in_block(log);
	int r;

	if (!keep)
		return 0;
	r = snap_disk_io(log->store->cow, REQ_OP_READ | REQ_META, snap_log_sector(log),
			 log->window, log->block);
	memset(log->window + keep, 0, log->block - keep * sizeof(*log->window));
	return r;
}

static void snap_log_init_cpus(struct snap_log *log)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct snap_log_cpu *lc = per_cpu_ptr(log->cpus, cpu);

		init_llist_head(&lc->ready);
		init_llist_head(&lc->done);
		lc->look.fn = snap_log_look;
		lc->finish.fn = snap_log_finish;
		lc->log = log;
	}
}

struct snap_log *snap_log_create(struct snap_store *store, struct dm_kcopyd_mq_client *kcopyd,
				 const struct snap_disk_end *end, snap_log_fn fn)
{
	struct snap_log *log;
	int r = -ENOMEM;

	log = kzalloc(sizeof(*log), GFP_KERNEL);
	if (!log)
		return ERR_PTR(-ENOMEM);
	log->store = store;
	log->kcopyd = kcopyd;
	log->wq = dm_kcopyd_mq_client_wq(kcopyd);
	log->fn = fn;
	log->block = snap_disk_block(store->chunk_size);
	log->many = clamp(snap_disk_window(store->chunk_size) / num_online_cpus(), SNAP_LOG_FEW,
			  SNAP_LOG_MANY);
	log->most = snap_log_most(log);
	log->slots = end->slots;
	log->scrub = end->stale;
	log->wanted_tail = &log->wanted;
	init_llist_head(&log->ready_cpus);
	log->written.fn = snap_log_written;
	log->zero_ticket.item.fn = snap_log_zero_late;
	spin_lock_init(&log->lock);
	INIT_DELAYED_WORK(&log->late, snap_log_look_late);
	INIT_LIST_HEAD(&log->flushes);
	INIT_LIST_HEAD(&log->covered);
	init_waitqueue_head(&log->synced);
	timer_setup(&log->date, snap_log_date, 0);

	log->header = kmalloc(snap_disk_header_bytes(store->cow), GFP_KERNEL);
	log->window = alloc_pages_exact(snap_log_window_bytes(log), GFP_KERNEL | __GFP_ZERO);
	log->cpus = alloc_percpu(struct snap_log_cpu);
	if (!log->header || !log->window || !log->cpus)
		goto bad;
	snap_log_init_cpus(log);

	r = snap_log_read_block(log);
	if (r)
		goto bad;
	return log;

bad:
	snap_log_destroy(log);
	return ERR_PTR(r);
}

void snap_log_close(struct snap_log *log)
{
	spin_lock_irq(&log->lock);
	log->closed = true;
	spin_unlock_irq(&log->lock);
	timer_delete_sync(&log->date);
	cancel_delayed_work_sync(&log->late);
}

void snap_log_destroy(struct snap_log *log)
{
	/* The device may work again; as a valid one it would show what was not copied. */
	if (log->unmarked && snap_log_invalidate(log))
		DMERR("A snapshot that is not marked as invalid on its COW device is gone");
	free_percpu(log->cpus);
	if (log->window)
		free_pages_exact(log->window, snap_log_window_bytes(log));
	kfree(log->header);
	kfree(log);
}
