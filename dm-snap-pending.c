// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chunks on their way from the origin to the COW device.
 *
 * The first write to a chunk makes a pending exception, which is in a bucket from then until the
 * chunk has been copied and no snapshot read of the origin's chunk is under way any more. Then a
 * completed exception takes its place, in one step under the bucket's lock:
 *
 *   new ----> copying ----> (logged) ----> copied -------------> replaced ----> retired
 *    |                         |            |                        ^
 *    +-----> full write -------+            +-> waiting for readers -+
 *
 * Of a persistent snapshot it is copied only when that is durable: see dm-snap-log.c.
 *
 * So a completed exception tells a writer to the origin all that he needs to know, and is looked up
 * without the lock. Whoever finds none takes the lock and looks at both again: a chunk that is in
 * neither has not been copied, and stays so while the lock is held.
 */
#define DM_MSG_PREFIX "snapshot-scaled"

#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "dm-scaled-cache.h"
#include "dm-scaled-delay.h"
#include "dm-snap-bucket.h"
#include "dm-snap-scaled.h"

#define SNAP_MIN_PENDING	256
#define SNAP_MIN_BUCKETS	64
#define SNAP_MAX_BUCKETS	4096
#define SNAP_DEFAULT_COPIES	2048
#define SNAP_MIN_COPIES_BATCH	16U
#define SNAP_MAX_COPIES_BATCH	32U

static unsigned int snapshot_cow_threshold = SNAP_DEFAULT_COPIES;
module_param(snapshot_cow_threshold, uint, 0644);
MODULE_PARM_DESC(snapshot_cow_threshold, "Chunks of a snapshot that may be copied at a time");

/**
 * struct snap_pending - a chunk that is being copied
 * @node:       in snap_bucket.pending
 * @log:        the exception; if the snapshot is persistent, on its way to the log
 * @snap:       snapshot; @snap->pending_refs is held, or for a spare @snap->users
 * @next:       pending exception of another snapshot for the same origin write
 * @origin_bios:   origin writes that wait
 * @snapshot_bios: snapshot writes that wait, already pointing at the COW device
 * @readers:    reads of the origin's chunk that have to end before it may be written
 * @copied:     the snapshot finds the chunk in the COW device
 * @room:       memory for the completed exception; kept for the next one if it was not used
 * @ticket:     starts the copy; later, if there must be, goes on when the snapshot is invalid
 * @cpu:        where to go on after a completion
 * @full_bio:   snapshot write that fills the chunk, so that no copying is needed
 * @full_end_io:  its own
 * @full_private: its own
 * @item:       runs what comes after @full_bio or after the last reader
 *
 * @node, @origin_bios, @snapshot_bios, @readers and @copied are protected by the bucket's lock as
 * long as
 * @node is in the bucket. The other fields belong to whoever drives the exception on.
 */
struct snap_pending {
	struct hlist_node node;
	struct snap_log_entry log;
	struct dm_snapshot *snap;
	struct snap_pending *next;
	struct bio_list origin_bios;
	struct bio_list snapshot_bios;
	unsigned int readers;
	struct snap_exception_group *room;
	struct dm_kcopyd_mq_ticket ticket;
	bool copied;
	unsigned int cpu;
	struct bio *full_bio;
	bio_end_io_t *full_end_io;
	void *full_private;
	struct dm_kcopyd_mq_item item;
};

static struct dm_scaled_cache snap_pending_cache;

/*
 *------------------------------------------------------------
 * How many chunks are being copied
 *------------------------------------------------------------
 */

/*
 * The counter is exact to a quarter of the threshold without anybody looking at other CPUs' parts;
 * a small threshold makes it exact. With the default or more each CPU may have
 * SNAP_MIN_COPIES_BATCH copies under way in any case: on a machine with hundreds of CPUs all of
 * them would else write to the counter for each copy.
 */
static unsigned int snap_copies_batch(unsigned int threshold, unsigned int cpus)
{
	unsigned int batch = clamp(threshold / (4 * cpus), 1U, SNAP_MAX_COPIES_BATCH);

	return threshold < SNAP_DEFAULT_COPIES ? batch : max(batch, SNAP_MIN_COPIES_BATCH);
}

static void snap_copies_add(struct dm_snapshot *snap, int n)
{
	percpu_counter_add_batch(&snap->copies, n,
				 snap_copies_batch(READ_ONCE(snapshot_cow_threshold),
						   num_online_cpus()));
}

bool snap_copies_exceeded(struct dm_snapshot *snap)
{
	/* A hint: whoever is told to wait counts exactly before it does. */
	return data_race(percpu_counter_read(&snap->copies)) > READ_ONCE(snapshot_cow_threshold);
}

static bool snap_copies_exceeded_exactly(struct dm_snapshot *snap)
{
	return percpu_counter_sum(&snap->copies) > READ_ONCE(snapshot_cow_threshold);
}

static void snap_copies_wake(struct dm_snapshot *snap)
{
	/* Pairs with the barrier of prepare_to_wait_exclusive() in snap_copies_wait(). */
	smp_mb();
	/* Nobody waits: the usual case. */
	if (unlikely(waitqueue_active(&snap->copies_wait)) && !snap_copies_exceeded_exactly(snap))
		wake_up(&snap->copies_wait);
}

static void snap_copy_begin(struct dm_snapshot *snap)
{
	snap_copies_add(snap, 1);
}

static void snap_copy_end(struct dm_snapshot *snap)
{
	snap_copies_add(snap, -1);
	snap_copies_wake(snap);
}

void snap_copies_wait(struct dm_snapshot *snap)
{
	DEFINE_WAIT(wait);

	snap_may_wait(snap);
	for (;;) {
		prepare_to_wait_exclusive(&snap->copies_wait, &wait, TASK_UNINTERRUPTIBLE);
		if (!snap_copies_exceeded_exactly(snap))
			break;
		io_schedule();
	}
	finish_wait(&snap->copies_wait, &wait);

	/* The next one's turn, in case that we do not start a copy whose end would wake it. */
	snap_copies_wake(snap);
}

/*
 *------------------------------------------------------------
 * Buckets
 *------------------------------------------------------------
 */

static struct snap_pending *snap_bucket_find(struct snap_bucket *bucket, u64 chunk)
	__must_hold(&bucket->lock)
{
	struct snap_pending *pe;

	lockdep_assert_held(&bucket->lock);

	hlist_for_each_entry(pe, &bucket->pending, node)
		if (pe->log.old == chunk)
			return pe;
	return NULL;
}

static void snap_park_timer(struct timer_list *timer);
static void snap_unpark(struct dm_kcopyd_mq_item *item);

int snap_buckets_init(struct dm_snapshot *snap)
{
	u64 chunks = snap_store_chunks(&snap->store);
	unsigned int i, nr;
	int r;

	nr = roundup_pow_of_two(clamp_t(u64, chunks, SNAP_MIN_BUCKETS, SNAP_MAX_BUCKETS));
	snap->bucket_mask = nr - 1;
	snap->buckets = kvmalloc_array(nr, sizeof(*snap->buckets), GFP_KERNEL);
	if (!snap->buckets)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		spin_lock_init(&snap->buckets[i].lock);
		INIT_HLIST_HEAD(&snap->buckets[i].pending);
		INIT_HLIST_HEAD(&snap->buckets[i].reads);
	}

	spin_lock_init(&snap->park_lock);
	bio_list_init(&snap->parked);
	timer_setup(&snap->park_timer, snap_park_timer, 0);
	snap->unpark.fn = snap_unpark;

	r = dm_scaled_pool_init(&snap->pending_pool, SNAP_MIN_PENDING, &snap_pending_cache);
	if (r)
		kvfree(snap->buckets);
	return r;
}

void snap_buckets_exit(struct dm_snapshot *snap)
{
	timer_delete_sync(&snap->park_timer);
	mempool_exit(&snap->pending_pool);
	kvfree(snap->buckets);
}

static void snap_pending_ctor(void *object)
{
	struct snap_pending *pe = object;

	pe->room = NULL;
}

static void snap_pending_clean(void *object)
{
	struct snap_pending *pe = object;

	kfree(pe->room);
	pe->room = NULL;
}

static void snap_pending_free_memory(struct snap_pending *pe)
{
	dm_scaled_cache_free(&snap_pending_cache, &pe->snap->pending_pool, pe);
}

static void snap_pending_free(struct snap_pending *pe)
{
	struct dm_snapshot *snap = pe->snap;

	snap_pending_free_memory(pe);
	percpu_ref_put(&snap->pending_refs);
}

/* Who may not wait gets NULL if there is none. */
static struct snap_pending *snap_pending_memory(struct dm_snapshot *snap, bool may_wait)
{
	struct snap_pending *pe = dm_scaled_cache_try_alloc(&snap_pending_cache);

	if (may_wait)
		snap_may_wait(snap);
	if (unlikely(!pe)) {
		pe = mempool_alloc(&snap->pending_pool,
				   may_wait ? GFP_NOIO : GFP_NOWAIT | __GFP_NOWARN);
		if (!pe)
			return NULL;
	}
	pe->snap = snap;
	/* One that was at hand may still have some. */
	if (!pe->room)
		pe->room = snap_exception_room(may_wait);
	if (unlikely(!pe->room && !may_wait)) {
		snap_pending_free_memory(pe);
		return NULL;
	}
	return pe;
}

/* Only for readers of the origin's list and the snapshot's own bios: see snap_pending_drain(). */
static struct snap_pending *snap_pending_reset(struct snap_pending *pe)
{
	percpu_ref_get(&pe->snap->pending_refs);
	pe->next = NULL;
	bio_list_init(&pe->origin_bios);
	bio_list_init(&pe->snapshot_bios);
	pe->readers = 0;
	pe->copied = false;
	pe->full_bio = NULL;
	return pe;
}

static struct snap_pending *snap_pending_alloc(struct dm_snapshot *snap, bool may_wait)
{
	struct snap_pending *pe = snap_pending_memory(snap, may_wait);

	return likely(pe) ? snap_pending_reset(pe) : NULL;
}

struct snap_pending *snap_pending_wait(struct dm_snapshot *snap)
{
	snap_may_wait(snap);
	flush_work(&snap->invalidate);
	if (READ_ONCE(snap->valid))
		return snap_pending_memory(snap, true);
	snap_put(snap);
	return NULL;
}

void snap_pending_spare_free(struct snap_pending *spare)
{
	struct dm_snapshot *snap = spare->snap;

	snap_pending_free_memory(spare);
	snap_put(snap);
}

/* If there is one for the snapshot. */
static struct snap_pending *snap_pending_use_spare(struct dm_snapshot *snap,
						   struct snap_pending **spare)
{
	struct snap_pending *pe = spare ? *spare : NULL;

	if (likely(!pe) || pe->snap != snap)
		return NULL;
	*spare = NULL;
	snap_pending_reset(pe);
	snap_put(snap);
	return pe;
}

/*
 *------------------------------------------------------------
 * The end of a pending exception
 *------------------------------------------------------------
 */

/* Ends or submits snapshot writes that waited for the copy. */
static void snap_release_snapshot_bios(struct bio_list *bios, struct bio *full, bool failed)
{
	struct bio *bio;

	if (full) {
		if (failed)
			bio_io_error(full);
		else
			bio_endio(full);
	}
	while ((bio = bio_list_pop(bios))) {
		if (failed)
			bio_io_error(bio);
		else
			submit_bio_noacct(bio);
	}
}

/* Gives the snapshot write that fills the chunk, if there is one, its own completion back. */
static struct bio *snap_full_bio(struct snap_pending *pe)
{
	struct bio *bio = pe->full_bio;

	if (bio) {
		bio->bi_end_io = pe->full_end_io;
		bio->bi_private = pe->full_private;
	}
	return bio;
}

/*
 * Under the bucket's lock the completed exception takes the place of the pending one. From then on
 * writes to the origin go ahead without looking into the bucket.
 */
static void snap_pending_replace(struct snap_pending *pe)
	__must_hold(&snap_bucket_of(pe->snap, pe->log.old)->lock)
{
	struct dm_snapshot *snap = pe->snap;

	lockdep_assert_held(&snap_bucket_of(snap, pe->log.old)->lock);

	hlist_del(&pe->node);
	if (pe->copied &&
	    snap_exception_add(&snap->exceptions, pe->log.old, pe->log.new, &pe->room))
		DMERR_LIMIT("Chunk %llu was copied twice", (unsigned long long)pe->log.old);
}

/*
 * Those who waited to write the origin look whether there is another snapshot to wait for. None is
 * added while they are under way.
 */
static void snap_release_origin_bios(struct snap_pending *pe)
{
	struct snap_origin *origin = pe->snap->origin;
	bool alone = snap_origin_has_only(origin, pe->snap);
	struct bio *bio;

	while ((bio = bio_list_pop(&pe->origin_bios)))
		if (alone || snap_origin_write(origin, bio, true) == DM_MAPIO_REMAPPED)
			submit_bio_noacct(bio);
}

/*
 * Retires a pending exception that snap_pending_replace() has taken out of its bucket. Each one
 * that has been in a bucket ends here and nowhere else: a merge that waits for the chunk is told,
 * then the writes to the origin, and then the snapshot has one less.
 *
 * May be called in an interrupt handler if no write to the origin waits.
 */
static void snap_pending_retire(struct snap_pending *pe)
{
	struct snap_origin *origin = pe->snap->origin;

	dm_scaled_delay("snap-pending:retire");
	if (unlikely(READ_ONCE(origin->merging)))
		snap_origin_copied(origin);
	if (!bio_list_empty(&pe->origin_bios))
		snap_release_origin_bios(pe);
	snap_pending_free(pe);
}

static void snap_readers_gone(struct dm_kcopyd_mq_item *item)
{
	struct snap_pending *pe = container_of(item, struct snap_pending, item);
	struct snap_bucket *bucket = snap_bucket_of(pe->snap, pe->log.old);
	struct dm_kcopyd_mq_client *kcopyd = pe->snap->kcopyd;

	dm_scaled_delay("snap-pending:replace");
	spin_lock_irq(&bucket->lock);
	snap_pending_replace(pe);
	spin_unlock_irq(&bucket->lock);

	snap_pending_retire(pe);
	dm_kcopyd_mq_release(kcopyd);
}

/*
 * From here on the snapshot, if it is valid, finds the chunk in the COW device. The origin may be
 * written as soon as those who read it for the snapshot are done; if there are any, the last of
 * them goes on.
 */
static void snap_pending_end(struct snap_pending *pe)
{
	struct dm_snapshot *snap = pe->snap;
	struct snap_bucket *bucket = snap_bucket_of(snap, pe->log.old);
	struct bio_list snapshot_bios;
	struct bio *full = snap_full_bio(pe);
	unsigned int readers = 0;
	/* Reads of an invalid snapshot fail when they end: no need to wait for them. */
	bool failed = !READ_ONCE(snap->valid);

	dm_scaled_delay("snap-pending:complete");
	spin_lock_irq(&bucket->lock);
	snapshot_bios = pe->snapshot_bios;
	bio_list_init(&pe->snapshot_bios);
	if (likely(!failed)) {
		pe->copied = true;
		readers = snap_bucket_count(bucket, pe->log.old);
	}
	if (unlikely(readers)) {
		pe->readers = readers;
		pe->item.fn = snap_readers_gone;
		pe->cpu = dm_kcopyd_mq_hold(snap->kcopyd);
	} else {
		snap_pending_replace(pe);
	}
	spin_unlock_irq(&bucket->lock);

	dm_scaled_delay("snap-pending:release");
	/* If it waits for readers, the pending exception is no longer ours. */
	snap_release_snapshot_bios(&snapshot_bios, full, failed);
	if (likely(!readers))
		snap_pending_retire(pe);
}

/* The snapshot is invalid, durably: the origin may be written. */
static void snap_pending_invalidated(struct dm_kcopyd_mq_item *item)
{
	struct snap_pending *pe = container_of(item, struct snap_pending, ticket.item);
	struct dm_kcopyd_mq_client *kcopyd = pe->snap->kcopyd;

	snap_pending_end(pe);
	dm_kcopyd_mq_release(kcopyd);
}

static void snap_pending_complete(struct snap_pending *pe, bool failed)
{
	if (unlikely(failed || !pe->room)) {
		pe->ticket.item.fn = snap_pending_invalidated;
		if (!snap_invalidate_then(pe->snap, failed ? "a chunk could not be copied" :
							     "no memory for an exception",
					  &pe->ticket))
			return;
	}
	snap_pending_end(pe);
}

/* Under the lock: where the snapshot finds a chunk, if it has been copied. */
static bool snap_bucket_lookup(struct dm_snapshot *snap, struct snap_bucket *bucket, u64 chunk,
			       u64 *new)
	__must_hold(&bucket->lock)
{
	struct snap_pending *pe = snap_bucket_find(bucket, chunk);

	if (pe && pe->copied) {
		*new = pe->log.new;
		return true;
	}
	return snap_exception_lookup(&snap->exceptions, chunk, new);
}

bool snap_read_track(struct dm_snapshot *snap, u64 chunk, struct snap_bio *sb, u64 *new)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	bool copied;

	spin_lock_irq(&bucket->lock);
	copied = snap_bucket_lookup(snap, bucket, chunk, new);
	if (!copied)
		snap_bucket_track(bucket, chunk, sb);
	spin_unlock_irq(&bucket->lock);

	return !copied;
}

void snap_read_done(struct dm_snapshot *snap, struct snap_bio *sb)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, sb->chunk);
	struct snap_pending *pe;
	unsigned long flags;
	bool last;

	spin_lock_irqsave(&bucket->lock, flags);
	hlist_del(&sb->node);
	pe = snap_bucket_find(bucket, sb->chunk);
	last = unlikely(pe) && pe->readers && !--pe->readers;
	spin_unlock_irqrestore(&bucket->lock, flags);

	if (last)
		dm_kcopyd_mq_queue_item(snap->kcopyd, &pe->item, pe->cpu);
}

/*
 *------------------------------------------------------------
 * Copying
 *------------------------------------------------------------
 */

void snap_pending_logged(struct snap_log_entry *entry, bool failed)
{
	snap_pending_complete(container_of(entry, struct snap_pending, log), failed);
}

/* The chunk is in the COW device, or could not be copied: what comes next? */
static void snap_pending_copied(struct snap_pending *pe, bool failed)
{
	struct dm_snapshot *snap = pe->snap;

	if (snap->log) {
		if (likely(!failed && READ_ONCE(snap->valid))) {
			snap_log_commit(snap->log, &pe->log);
			return;
		}
		snap_log_abort(snap->log, &pe->log);
	}
	snap_pending_complete(pe, failed);
}

static void snap_copy_done(int read_err, unsigned long write_err, void *context)
{
	struct snap_pending *pe = context, *next;
	unsigned int dest;

	for (dest = 0; pe; dest++, pe = next) {
		next = pe->next;
		snap_copy_end(pe->snap);
		snap_pending_copied(pe, read_err || write_err & BIT(dest));
	}
}

void snap_pending_chain(struct snap_pending **list, struct snap_pending *pe)
{
	while (*list)
		list = &(*list)->next;
	*list = pe;
}

/*
 * Reads a chunk once for all those at the head of the list that have the same chunk size. The
 * ticket of the first has a job. Returns the rest of the list.
 */
static struct snap_pending *snap_pending_start_some(struct snap_pending *first)
{
	struct dm_io_region from, to[DM_KCOPYD_MAX_REGIONS];
	struct snap_pending *pe = first, *last = NULL;
	struct dm_snapshot *snap = first->snap;
	unsigned int shift = snap->store.chunk_shift, nr = 0;

	from.bdev = snap->origin_bdev;
	from.sector = first->log.old << shift;
	from.count = min_t(sector_t, snap->store.chunk_size,
			   bdev_nr_sectors(from.bdev) - from.sector);

	while (pe && nr < ARRAY_SIZE(to) && pe->snap->store.chunk_shift == shift) {
		to[nr].bdev = pe->snap->store.cow;
		to[nr].sector = pe->log.new << shift;
		to[nr].count = from.count;
		nr++;
		snap_copy_begin(pe->snap);
		last = pe;
		pe = pe->next;
	}
	last->next = NULL;

	/* A snapshot whose COW device fails does not take the others with it; the origin does. */
	dm_kcopyd_mq_copy_with(snap->kcopyd, &first->ticket, &from, nr, to,
			       nr > 1 ? BIT(DM_KCOPYD_MQ_IGNORE_WRITE_ERROR) : 0,
			       snap_copy_done, first);
	return pe;
}

/* The first of a list has waited for a job, and has got it. */
static void snap_pending_go_on(struct dm_kcopyd_mq_item *item)
{
	struct snap_pending *pe = container_of(item, struct snap_pending, ticket.item);

	snap_pending_start(snap_pending_start_some(pe));
}

void snap_pending_start(struct snap_pending *list)
{
	while (list) {
		list->ticket.item.fn = snap_pending_go_on;
		if (!dm_kcopyd_mq_reserve(list->snap->kcopyd, &list->ticket))
			break;
		list = snap_pending_start_some(list);
	}
}

/*
 *------------------------------------------------------------
 * Writes to the origin that a worker cannot go on with
 *------------------------------------------------------------
 */

void snap_park(struct dm_snapshot *snap, struct bio *bio)
{
	bool first;

	percpu_ref_get(&snap->pending_refs);
	spin_lock_irq(&snap->park_lock);
	first = bio_list_empty(&snap->parked);
	bio_list_add(&snap->parked, bio);
	spin_unlock_irq(&snap->park_lock);
	if (first) {
		snap->park_cpu = dm_kcopyd_mq_hold(snap->kcopyd);
		mod_timer(&snap->park_timer, jiffies + SNAP_PARK);
	}
}

static void snap_park_timer(struct timer_list *timer)
{
	struct dm_snapshot *snap = container_of(timer, struct dm_snapshot, park_timer);

	dm_kcopyd_mq_queue_item(snap->kcopyd, &snap->unpark, snap->park_cpu);
}

static void snap_unpark(struct dm_kcopyd_mq_item *item)
{
	struct dm_snapshot *snap = container_of(item, struct dm_snapshot, unpark);
	struct snap_origin *origin = snap->origin;
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&snap->park_lock);
	bios = snap->parked;
	bio_list_init(&snap->parked);
	spin_unlock_irq(&snap->park_lock);

	while ((bio = bio_list_pop(&bios))) {
		if (snap_origin_write(origin, bio, true) == DM_MAPIO_REMAPPED)
			submit_bio_noacct(bio);
		percpu_ref_put(&snap->pending_refs);
	}
	dm_kcopyd_mq_release(snap->kcopyd);
}

/*
 *------------------------------------------------------------
 * Finding a chunk's pending exception
 *------------------------------------------------------------
 */

/*
 * Looks, under the lock, for an exception; makes a pending one, @fresh, if there is none.
 * Returns the pending exception, or NULL with @copied telling why there is none.
 */
static struct snap_pending *snap_bucket_enter(struct dm_snapshot *snap, struct snap_bucket *bucket,
					      u64 chunk, struct snap_pending *fresh,
					      u64 *new, bool *copied)
	__must_hold(&bucket->lock)
{
	struct snap_pending *pe;

	*copied = false;
	pe = snap_bucket_find(bucket, chunk);
	if (pe)
		return pe;

	*copied = snap_exception_lookup(&snap->exceptions, chunk, new);
	if (*copied)
		return NULL;

	if (unlikely(!fresh) || !snap_store_alloc(&snap->store, &fresh->log.new))
		return NULL;
	fresh->log.old = chunk;
	if (snap->log)
		snap_log_begin(snap->log, &fresh->log);
	hlist_add_head(&fresh->node, &bucket->pending);
	return fresh;
}

enum snap_copy snap_pending_find(struct dm_snapshot *snap, u64 chunk, struct bio *bio,
				 struct snap_pending **spare, struct snap_pending **new_pe)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	struct snap_pending *fresh = snap_pending_use_spare(snap, spare), *pe;
	bool copied;
	u64 new;

	if (likely(!fresh))
		fresh = snap_pending_alloc(snap, false);
	spin_lock_irq(&bucket->lock);
	pe = snap_bucket_enter(snap, bucket, chunk, fresh, &new, &copied);
	if (pe && pe == fresh && bio)
		bio_list_add(&pe->origin_bios, bio);
	spin_unlock_irq(&bucket->lock);

	*new_pe = NULL;
	if (likely(pe && pe == fresh)) {
		*new_pe = pe;
		return SNAP_COPY_PENDING;
	}
	if (!pe && !copied && !fresh)
		return SNAP_COPY_PARK;

	if (fresh)
		snap_pending_free(fresh);
	if (pe)
		return SNAP_COPY_PENDING;
	if (copied)
		return SNAP_COPY_NOT_NEEDED;
	if (!snap_invalidate_then(snap, "the COW device is full", NULL))
		return SNAP_COPY_PARK;
	return SNAP_COPY_NOT_NEEDED;
}

bool snap_pending_join(struct dm_snapshot *snap, u64 chunk, struct bio *bio)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	struct snap_pending *pe;

	spin_lock_irq(&bucket->lock);
	pe = snap_bucket_find(bucket, chunk);
	if (pe)
		bio_list_add(&pe->origin_bios, bio);
	spin_unlock_irq(&bucket->lock);

	return pe;
}

static void snap_full_write_done(struct dm_kcopyd_mq_item *item)
{
	struct snap_pending *pe = container_of(item, struct snap_pending, item);
	struct dm_snapshot *snap = pe->snap;
	struct dm_kcopyd_mq_client *kcopyd = snap->kcopyd;

	snap_copy_end(snap);
	snap_pending_copied(pe, pe->full_bio->bi_status);
	dm_kcopyd_mq_release(kcopyd);
}

/*
 * Where nobody waits for the chunk, its exception is completed without a worker, and so at once.
 * Returns false if there is something to be done that only a worker can do.
 */
static bool snap_full_write_complete(struct snap_pending *pe)
{
	struct dm_snapshot *snap = pe->snap;
	struct snap_bucket *bucket = snap_bucket_of(snap, pe->log.old);
	struct dm_kcopyd_mq_client *kcopyd = snap->kcopyd;
	struct bio *bio;
	unsigned long flags;
	bool alone;

	if (unlikely(pe->full_bio->bi_status || !pe->room || snap->log || !READ_ONCE(snap->valid)))
		return false;

	spin_lock_irqsave(&bucket->lock, flags);
	alone = bio_list_empty(&pe->origin_bios) && bio_list_empty(&pe->snapshot_bios) &&
		!snap_bucket_count(bucket, pe->log.old);
	if (likely(alone)) {
		pe->copied = true;
		snap_pending_replace(pe);
	}
	spin_unlock_irqrestore(&bucket->lock, flags);
	if (unlikely(!alone))
		return false;

	bio = snap_full_bio(pe);
	snap_copy_end(snap);
	snap_pending_retire(pe);
	dm_kcopyd_mq_release(kcopyd);
	/* All that bio_endio() does has been done, but for this. */
	bio->bi_end_io(bio);
	return true;
}

static void snap_full_write_endio(struct bio *bio)
{
	struct snap_pending *pe = bio->bi_private;

	if (unlikely(!snap_full_write_complete(pe)))
		dm_kcopyd_mq_queue_item(pe->snap->kcopyd, &pe->item, pe->cpu);
}

/* Writes a whole chunk of the snapshot: there is nothing to copy. */
static void snap_full_write(struct snap_pending *pe, struct bio *bio)
{
	struct dm_snapshot *snap = pe->snap;

	pe->cpu = dm_kcopyd_mq_hold(snap->kcopyd);
	pe->item.fn = snap_full_write_done;
	pe->full_end_io = bio->bi_end_io;
	pe->full_private = bio->bi_private;
	bio->bi_end_io = snap_full_write_endio;
	bio->bi_private = pe;

	snap_copy_begin(snap);
	submit_bio_noacct(bio);
}

int snap_pending_write(struct dm_snapshot *snap, u64 chunk, struct bio *bio)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	bool full = bio->bi_iter.bi_size == snap->store.chunk_size << SECTOR_SHIFT;
	struct snap_pending *fresh, *pe;
	bool copied;
	u64 new;

	fresh = snap_pending_alloc(snap, true);
	bio_set_dev(bio, snap->store.cow);

	spin_lock_irq(&bucket->lock);
	pe = snap_bucket_enter(snap, bucket, chunk, fresh, &new, &copied);
	if (unlikely(pe && pe->copied)) {
		new = pe->log.new;
		copied = true;
		pe = NULL;
	}
	if (pe) {
		snap_remap_sector(snap, bio, pe->log.new);
		if (pe == fresh && full)
			pe->full_bio = bio;
		else
			bio_list_add(&pe->snapshot_bios, bio);
	}
	spin_unlock_irq(&bucket->lock);

	if (likely(pe && pe == fresh)) {
		if (full)
			snap_full_write(pe, bio);
		else
			snap_pending_start(pe);
		return DM_MAPIO_SUBMITTED;
	}

	snap_pending_free(fresh);
	if (pe)
		return DM_MAPIO_SUBMITTED;
	if (copied) {
		snap_remap_sector(snap, bio, new);
		return DM_MAPIO_REMAPPED;
	}
	snap_overflow(snap);
	return DM_MAPIO_KILL;
}

void snap_pending_drain(struct dm_snapshot *snap)
{
	percpu_ref_kill(&snap->pending_refs);
	wait_for_completion(&snap->pending_gone);
	reinit_completion(&snap->pending_gone);
	percpu_ref_reinit(&snap->pending_refs);
}

bool snap_pending_none(const struct dm_snapshot *snap)
{
	unsigned int i;

	for (i = 0; i <= snap->bucket_mask; i++)
		if (!hlist_empty(&snap->buckets[i].pending))
			return false;
	return true;
}

int snap_pending_init(void)
{
	return dm_scaled_cache_init(&snap_pending_cache,
				    DM_SCALED_UNIQUE_NAME("dm_snap_scaled_pending"),
				    sizeof(struct snap_pending), 0, snap_pending_ctor,
				    snap_pending_clean);
}

void snap_pending_exit(void)
{
	dm_scaled_cache_exit(&snap_pending_cache);
}
