// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chunks on their way from the origin to the COW device.
 *
 * The first write to some chunks makes a pending exception of them all, which is in a bucket from
 * then until they have been copied and no snapshot read of them on the origin is under way any
 * more. Then completed exceptions take its place, in one step under the bucket's lock:
 *
 *   new ----> copying ----> (logged) ----> copied -------------> replaced ----> retired
 *    |                         |            |  ^                     ^
 *    +-----> full write -------+            |  |                     |
 *    |                         |            +--|-> waiting for readers
 *    |                         |               |
 *    |                         +-> deferred ---+
 *
 * Of a persistent snapshot it is copied only when that is durable: see dm-snap-log.c. Nobody waits
 * for that where a write to the snapshot made it, which may be lost until the snapshot is flushed:
 * then it is deferred. For the snapshot it has been copied; a write to the origin waits.
 *
 * So a completed exception tells a writer to the origin all that he needs to know, and is looked up
 * without the lock. Whoever finds none takes the lock and looks at both again: a chunk that is in
 * neither has not been copied, and stays so while the lock is held.
 *
 * A pending exception is a range: chunks that follow each other on the origin and on the COW
 * device. It is never cut or extended. Who writes more than it has makes others beside it.
 */
#define DM_MSG_PREFIX "snapshot-scaled"

#include <linux/log2.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "dm-scaled-cache.h"
#include "dm-scaled-delay.h"
#include "dm-snap-bucket.h"
#include "dm-snap-scaled.h"

/* Without memory one is enough to go on. */
#define SNAP_MIN_PENDING	16
#define SNAP_MIN_BUCKETS	64
#define SNAP_MAX_BUCKETS	4096
/* Of the COW device's chunks, 2^4 buckets' worth share one: CPUs seldom meet there all the same. */
#define SNAP_BUCKET_SHARE_BITS	4
#define SNAP_DEFAULT_COPIES	2048
#define SNAP_MIN_COPIES_BATCH	16U
#define SNAP_MAX_COPIES_BATCH	32U
/*
 * Sectors that a bucket covers, and so the most that is written to a snapshot, or read from its
 * origin, with one bio; those that one job copies: a small write may have to wait for one.
 */
#define SNAP_BUCKET_SECTORS	(SZ_1M >> SECTOR_SHIFT)
#define SNAP_COPY_SECTORS	(SZ_512K >> SECTOR_SHIFT)

static unsigned int snapshot_cow_threshold = SNAP_DEFAULT_COPIES;
module_param(snapshot_cow_threshold, uint, 0644);
MODULE_PARM_DESC(snapshot_cow_threshold, "Chunks of a snapshot that may be copied at a time");

/**
 * struct snap_pending - chunks that are being copied
 * @node:       in snap_bucket.pending
 * @log:        the exceptions; if the snapshot is persistent, on their way to the log
 * @snap:       snapshot; @snap->pending_refs is held from when it is in a bucket on, for a spare
 *              @snap->users
 * @next:       next pending exception for the same origin write, often of another snapshot; later,
 *              next one whose last reader has gone
 * @origin_bios:   origin writes that wait
 * @snapshot_bios: snapshot writes that wait, already pointing at the COW device
 * @readers:    reads of the origin's chunks that have to end before they may be written
 * @copied:     the snapshot finds the chunks in the COW device
 * @urgent:     somebody waits until that is durable, or is going to
 * @deferred:   nobody did: the log has it, and makes it durable some time
 * @room:       memory for the completed exceptions; kept for the next one if it was not used
 * @ticket:     starts the copy; later, if there must be, goes on when the snapshot is invalid
 * @cpu:        where to go on after a completion
 * @full_bio:   snapshot write that fills the chunks, so that no copying is needed
 * @full_end_io:  its own
 * @full_private: its own
 * @item:       runs what comes after @full_bio or after the last reader
 *
 * @node, @origin_bios, @snapshot_bios, @readers, @copied, @urgent and @deferred are protected by
 * the bucket's lock as long as @node is in the bucket. The other fields belong to whoever drives
 * the exception on.
 */
struct snap_pending {
	struct rb_node node;
	struct snap_log_entry log;
	struct dm_snapshot *snap;
	struct snap_pending *next;
	struct bio_list origin_bios;
	struct bio_list snapshot_bios;
	unsigned int readers;
	struct snap_group *room;
	struct dm_kcopyd_mq_ticket ticket;
	bool copied;
	bool urgent;
	bool deferred;
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

bool snap_copies_are_enough(u64 chunks)
{
	return chunks >= READ_ONCE(snapshot_cow_threshold);
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

static void snap_copy_begin(const struct snap_pending *pe)
{
	snap_copies_add(pe->snap, pe->log.nr);
}

static void snap_copies_ended(struct dm_snapshot *snap, unsigned int nr)
{
	snap_copies_add(snap, -(int)nr);
	snap_copies_wake(snap);
}

static void snap_copy_end(const struct snap_pending *pe)
{
	snap_copies_ended(pe->snap, pe->log.nr);
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

/* Chunk of the origin after the last one of a pending exception. */
static u64 snap_pending_end_chunk(const struct snap_pending *pe)
{
	return pe->log.old + pe->log.nr;
}

/*
 * Under the bucket's lock: somebody waits until a pending exception is durable. Returns true if it
 * has been deferred: then the log has to be told, without the lock.
 */
static bool snap_pending_hasten(struct snap_pending *pe)
	__must_hold(&snap_bucket_of(pe->snap, pe->log.old)->lock)
{
	WRITE_ONCE(pe->urgent, true);
	return pe->deferred;
}

/* How many of a pending exception's chunks follow from @chunk on, which is one of them. */
static u64 snap_pending_chunks_from(const struct snap_pending *pe, u64 chunk)
{
	return snap_pending_end_chunk(pe) - chunk;
}

/* Where a pending exception puts @chunk, which is one of its chunks. */
static u64 snap_pending_new(const struct snap_pending *pe, u64 chunk)
{
	return pe->log.new + (chunk - pe->log.old);
}

static struct snap_pending *snap_pending_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct snap_pending, node);
}

/* The first pending exception that has any of @nr chunks from @chunk on, or NULL. */
static struct snap_pending *snap_bucket_first(struct snap_bucket *bucket, u64 chunk, u64 nr)
	__must_hold(&bucket->lock)
{
	struct rb_node *node = bucket->pending.rb_node;
	struct snap_pending *first = NULL, *pe;

	lockdep_assert_held(&bucket->lock);

	while (node) {
		pe = snap_pending_of(node);
		if (snap_pending_end_chunk(pe) <= chunk) {
			node = node->rb_right;
		} else {
			first = pe;
			node = node->rb_left;
		}
	}
	return first && first->log.old < chunk + nr ? first : NULL;
}

/* The one after @pe that has any of the chunks before @end, or NULL. */
static struct snap_pending *snap_bucket_next(struct snap_pending *pe, u64 end)
{
	struct snap_pending *next = snap_pending_of(rb_next(&pe->node));

	return next && next->log.old < end ? next : NULL;
}

static void snap_bucket_add(struct snap_bucket *bucket, struct snap_pending *pe)
	__must_hold(&bucket->lock)
{
	struct rb_node **link = &bucket->pending.rb_node, *parent = NULL;

	lockdep_assert_held(&bucket->lock);

	while (*link) {
		parent = *link;
		link = pe->log.old < snap_pending_of(parent)->log.old ? &parent->rb_left :
									&parent->rb_right;
	}
	rb_link_node(&pe->node, parent, link);
	rb_insert_color(&pe->node, &bucket->pending);
}

static void snap_park_timer(struct timer_list *timer);
static void snap_unpark(struct dm_kcopyd_mq_item *item);

int snap_buckets_init(struct dm_snapshot *snap)
{
	u64 chunks = snap_store_chunks(&snap->store);
	unsigned int i, nr;
	int r;

	snap->bucket_shift = 0;
	while (snap->store.chunk_size << snap->bucket_shift < SNAP_BUCKET_SECTORS &&
	       snap->bucket_shift < SNAP_GROUP_BITS)
		snap->bucket_shift++;
	chunks >>= snap->bucket_shift + SNAP_BUCKET_SHARE_BITS;
	nr = roundup_pow_of_two(clamp_t(u64, chunks, SNAP_MIN_BUCKETS, SNAP_MAX_BUCKETS));
	snap->bucket_mask = nr - 1;
	snap->buckets = kvmalloc_array(nr, sizeof(*snap->buckets), GFP_KERNEL);
	if (!snap->buckets)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		spin_lock_init(&snap->buckets[i].lock);
		snap->buckets[i].pending = RB_ROOT;
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
	dm_scaled_refs_put(&snap->pending_refs);
}

/* One that is in no bucket. Who may not wait gets NULL if there is no memory. */
static struct snap_pending *snap_pending_alloc(struct dm_snapshot *snap, bool may_wait)
{
	struct snap_pending *pe = dm_scaled_cache_try_alloc(&snap_pending_cache);
	struct snap_group *room = NULL;

	if (may_wait)
		snap_may_wait(snap);
	if (likely(pe)) {
		pe->urgent = false;
	} else {
		/* It may be of the reserve, which others wait for. Who has the rest of it? */
		snap_pending_hurry(snap);
		/* Before: who has one of the reserve must not wait for memory. */
		if (may_wait)
			room = snap_exception_room(true);
		pe = mempool_alloc(&snap->pending_pool,
				   may_wait ? GFP_NOIO : GFP_NOWAIT | __GFP_NOWARN);
		if (!pe)
			return NULL;
		pe->urgent = true;
		/* What comes from a pool or a slab has none. */
		pe->room = room;
	}
	pe->snap = snap;
	/* One that was at hand may still have some. */
	if (!pe->room)
		pe->room = snap_exception_room(may_wait && !pe->urgent);
	if (unlikely(!pe->room)) {
		if (!may_wait) {
			snap_pending_free_memory(pe);
			return NULL;
		}
		/* The snapshot becomes invalid by it, before anybody is told that all is well. */
		pe->urgent = true;
	}
	pe->next = NULL;
	bio_list_init(&pe->origin_bios);
	bio_list_init(&pe->snapshot_bios);
	pe->readers = 0;
	pe->copied = false;
	pe->deferred = false;
	pe->full_bio = NULL;
	return pe;
}

struct snap_pending *snap_pending_wait(struct dm_snapshot *snap)
{
	snap_may_wait(snap);
	flush_work(&snap->invalidate);
	if (READ_ONCE(snap->valid))
		return snap_pending_alloc(snap, true);
	snap_put(snap);
	return NULL;
}

void snap_pending_spare_free(struct snap_pending *spare)
{
	struct dm_snapshot *snap = spare->snap;

	snap_pending_free_memory(spare);
	snap_put(snap);
}

/* If there is one for the snapshot. It stays the caller's until it is in a bucket. */
static struct snap_pending *snap_pending_spare(struct dm_snapshot *snap,
					       struct snap_pending **spare)
{
	return unlikely(spare && *spare && (*spare)->snap == snap) ? *spare : NULL;
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

/*
 * Takes the snapshot write that fills the chunk, if there is one, and gives it its own completion
 * back.
 */
static struct bio *snap_full_bio(struct snap_pending *pe)
{
	struct bio *bio = pe->full_bio;

	if (bio) {
		bio->bi_end_io = pe->full_end_io;
		bio->bi_private = pe->full_private;
		pe->full_bio = NULL;
	}
	return bio;
}

/*
 * Under the bucket's lock completed exceptions take the place of the pending one. From then on
 * writes to the origin go ahead without looking into the bucket.
 * Returns false if that is impossible: then the snapshot must not be valid any more.
 */
static bool snap_pending_replace(struct snap_pending *pe)
	__must_hold(&snap_bucket_of(pe->snap, pe->log.old)->lock)
{
	struct dm_snapshot *snap = pe->snap;
	bool right;

	lockdep_assert_held(&snap_bucket_of(snap, pe->log.old)->lock);
	/* Nobody would submit them any more. */
	WARN_ON_ONCE(!bio_list_empty(&pe->snapshot_bios));

	right = !pe->copied || !snap_exception_add(&snap->exceptions, pe->log.old, pe->log.new,
						   pe->log.nr, &pe->room);
	dm_scaled_delay("snap-pending:erase");
	/* Pairs with the barrier in snap_buckets_are_empty(): it sees one or the other. */
	smp_wmb();
	rb_erase(&pe->node, &snap_bucket_of(snap, pe->log.old)->pending);
	if (likely(right))
		return true;
	DMERR_LIMIT("Chunk %llu, or one of %u from it on, was copied twice",
		    (unsigned long long)pe->log.old, pe->log.nr);
	return false;
}

/* Whether a bio writes to no other chunks than those of a pending exception. */
static bool snap_pending_has_all(const struct snap_pending *pe, const struct bio *bio)
{
	return snap_chunk(pe->snap, bio->bi_iter.bi_sector) >= pe->log.old &&
	       snap_chunk(pe->snap, bio_end_sector(bio) - 1) < snap_pending_end_chunk(pe);
}

/*
 * Those who waited to write the origin look whether there is another copy to wait for. No snapshot
 * is added while they are under way.
 */
static void snap_release_origin_bios(struct snap_pending *pe)
{
	struct snap_origin *origin = pe->snap->origin;
	bool alone = snap_origin_has_only(origin, pe->snap);
	struct bio *bio;

	while ((bio = bio_list_pop(&pe->origin_bios)))
		if ((alone && snap_pending_has_all(pe, bio)) ||
		    snap_origin_write(origin, bio, true) == DM_MAPIO_REMAPPED)
			submit_bio_noacct(bio);
}

/*
 * Retires a pending exception that snap_pending_replace() has taken out of its bucket. Each one
 * that has been in a bucket ends here and nowhere else: a merge that waits for a chunk is told,
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

/* The snapshot is invalid, durably. */
static void snap_pending_was_wrong(struct dm_kcopyd_mq_item *item)
{
	struct snap_pending *pe = container_of(item, struct snap_pending, ticket.item);
	struct dm_kcopyd_mq_client *kcopyd = pe->snap->kcopyd;

	snap_pending_retire(pe);
	dm_kcopyd_mq_release(kcopyd);
}

/* Instead of retiring it, if snap_pending_replace() has found what is impossible. */
static void snap_pending_is_wrong(struct snap_pending *pe)
{
	pe->ticket.item.fn = snap_pending_was_wrong;
	if (snap_invalidate_then(pe->snap, "its exceptions are wrong", &pe->ticket))
		snap_pending_retire(pe);
}

static void snap_readers_gone(struct dm_kcopyd_mq_item *item)
{
	struct snap_pending *pe = container_of(item, struct snap_pending, item);
	struct snap_bucket *bucket = snap_bucket_of(pe->snap, pe->log.old);
	struct dm_kcopyd_mq_client *kcopyd = pe->snap->kcopyd;
	bool right;

	dm_scaled_delay("snap-pending:replace");
	spin_lock_irq(&bucket->lock);
	right = snap_pending_replace(pe);
	spin_unlock_irq(&bucket->lock);

	if (likely(right))
		snap_pending_retire(pe);
	else
		snap_pending_is_wrong(pe);
	dm_kcopyd_mq_release(kcopyd);
}

/*
 * From here on the snapshot, if it is valid, finds the chunks in the COW device. The origin may be
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
	bool failed = !READ_ONCE(snap->valid), right = true;

	dm_scaled_delay("snap-pending:complete");
	spin_lock_irq(&bucket->lock);
	snapshot_bios = pe->snapshot_bios;
	bio_list_init(&pe->snapshot_bios);
	pe->copied = !failed;
	/* It is durable: what comes now waits for nothing, whether there are readers or not. */
	pe->deferred = false;
	if (likely(!failed))
		readers = snap_bucket_count(bucket, pe->log.old, pe->log.nr);
	if (unlikely(readers)) {
		pe->readers = readers;
		pe->item.fn = snap_readers_gone;
		pe->cpu = dm_kcopyd_mq_hold(snap->kcopyd);
	} else {
		right = snap_pending_replace(pe);
	}
	spin_unlock_irq(&bucket->lock);

	dm_scaled_delay("snap-pending:release");
	/* If it waits for readers, the pending exception is no longer ours. */
	snap_release_snapshot_bios(&snapshot_bios, full, failed || !right);
	if (unlikely(!right))
		snap_pending_is_wrong(pe);
	else if (likely(!readers))
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

/*
 * Under the lock: where the snapshot finds a chunk, if it has been copied. @nr, the number of
 * chunks that are of interest, becomes the number of those that are like the first: copied to
 * chunks that follow each other, or not copied, perhaps being copied.
 */
static bool snap_bucket_lookup(struct dm_snapshot *snap, struct snap_bucket *bucket, u64 chunk,
			       u64 *nr, u64 *new)
	__must_hold(&bucket->lock)
{
	struct snap_pending *pe;

	for (pe = snap_bucket_first(bucket, chunk, *nr); pe;
	     pe = snap_bucket_next(pe, chunk + *nr)) {
		if (!pe->copied)
			continue;
		if (pe->log.old > chunk) {
			*nr = pe->log.old - chunk;
			break;
		}
		*new = snap_pending_new(pe, chunk);
		*nr = min(*nr, snap_pending_chunks_from(pe, chunk));
		return true;
	}
	return snap_lookup(snap, chunk, *nr, new, nr);
}

bool snap_pending_lookup(struct dm_snapshot *snap, u64 chunk, u64 *nr, u64 *new)
{
	struct snap_bucket *bucket;
	u64 max = *nr, some;
	bool copied = false;

	for (*nr = 0; *nr < max && !copied; *nr += some) {
		some = snap_bucket_chunks(snap, chunk + *nr, max - *nr);
		bucket = snap_bucket_of(snap, chunk + *nr);
		spin_lock_irq(&bucket->lock);
		copied = snap_bucket_lookup(snap, bucket, chunk + *nr, &some, new);
		spin_unlock_irq(&bucket->lock);
		/* Others follow those that have not been copied. */
		if (copied && *nr)
			return false;
	}
	return copied;
}

/*
 * An exception that has been completed is put in the table before it leaves the bucket: see
 * snap_pending_replace().
 */
bool snap_buckets_are_empty(struct dm_snapshot *snap, u64 chunk, u64 nr)
{
	u64 some, end = chunk + nr;

	for (; chunk < end; chunk += some) {
		some = snap_bucket_chunks(snap, chunk, end - chunk);
		/* One that is being linked does not matter: its write has not ended. */
		if (data_race(READ_ONCE(snap_bucket_of(snap, chunk)->pending.rb_node)))
			return false;
	}
	/* Pairs with the barrier in snap_pending_replace(). */
	smp_rmb();
	return true;
}

bool snap_read_track(struct dm_snapshot *snap, u64 chunk, u64 *nr, struct snap_bio *sb, u64 *new)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	bool copied;

	*nr = snap_bucket_chunks(snap, chunk, *nr);
	spin_lock_irq(&bucket->lock);
	copied = snap_bucket_lookup(snap, bucket, chunk, nr, new);
	if (!copied)
		snap_bucket_track(bucket, chunk, *nr, sb);
	spin_unlock_irq(&bucket->lock);

	return !copied;
}

/* Counts a read down that has ended. Returns those that have waited for this one only. */
static struct snap_pending *snap_bucket_reader_gone(struct snap_bucket *bucket,
						    const struct snap_bio *sb)
	__must_hold(&bucket->lock)
{
	struct snap_pending *pe, *last = NULL;

	for (pe = snap_bucket_first(bucket, sb->chunk, sb->nr); unlikely(pe);
	     pe = snap_bucket_next(pe, sb->chunk + sb->nr)) {
		if (pe->readers && !--pe->readers) {
			pe->next = last;
			last = pe;
		}
	}
	return last;
}

void snap_read_done(struct dm_snapshot *snap, struct snap_bio *sb)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, sb->chunk);
	struct snap_pending *pe, *next;
	unsigned long flags;

	spin_lock_irqsave(&bucket->lock, flags);
	hlist_del(&sb->node);
	pe = snap_bucket_reader_gone(bucket, sb);
	spin_unlock_irqrestore(&bucket->lock, flags);

	for (; unlikely(pe); pe = next) {
		next = pe->next;
		dm_kcopyd_mq_queue_item(snap->kcopyd, &pe->item, pe->cpu);
	}
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

/*
 * Under the bucket's lock: nobody waits until the exception is durable, so the log gets it to be
 * written some time. From then on it may be over as soon as the lock is dropped.
 */
static void snap_pending_defer(struct snap_pending *pe)
	__must_hold(&snap_bucket_of(pe->snap, pe->log.old)->lock)
{
	lockdep_assert_held(&snap_bucket_of(pe->snap, pe->log.old)->lock);

	pe->copied = true;
	pe->deferred = true;
	snap_log_defer(pe->snap->log, &pe->log);
}

/* Defers the exception unless somebody waits for it; then returns false. */
static bool snap_pending_try_defer(struct snap_pending *pe)
{
	struct dm_snapshot *snap = pe->snap;
	struct snap_bucket *bucket = snap_bucket_of(snap, pe->log.old);
	struct dm_kcopyd_mq_client *kcopyd = snap->kcopyd;
	struct bio_list snapshot_bios;
	struct bio *full = NULL;
	bool urgent;

	/* It stays so. */
	if (READ_ONCE(pe->urgent))
		return false;
	/* It may be all that keeps the snapshot, and be over before the lock is ours no more. */
	dm_kcopyd_mq_hold(kcopyd);
	spin_lock_irq(&bucket->lock);
	urgent = pe->urgent;
	if (!urgent) {
		full = snap_full_bio(pe);
		snapshot_bios = pe->snapshot_bios;
		bio_list_init(&pe->snapshot_bios);
		snap_pending_defer(pe);
	}
	spin_unlock_irq(&bucket->lock);

	dm_scaled_delay("snap-pending:defer");
	if (!urgent)
		snap_release_snapshot_bios(&snapshot_bios, full, false);
	dm_kcopyd_mq_release(kcopyd);
	return !urgent;
}

/* The chunks are in the COW device, or could not be copied: what comes next? */
static void snap_pending_copied(struct snap_pending *pe, bool failed)
{
	struct dm_snapshot *snap = pe->snap;

	if (snap->log) {
		if (likely(!failed && READ_ONCE(snap->valid))) {
			if (!snap_pending_try_defer(pe))
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
		snap_copy_end(pe);
		snap_pending_copied(pe, read_err || write_err & BIT(dest));
	}
}

void snap_pending_chain(struct snap_pending_list *list, struct snap_pending *pe)
{
	if (list->last)
		list->last->next = pe;
	else
		list->first = pe;
	list->last = pe;
}

void snap_pending_attach(struct snap_pending_list *list, struct bio *bio)
{
	struct snap_pending *pe = list->last;
	struct snap_bucket *bucket = snap_bucket_of(pe->snap, pe->log.old);

	spin_lock_irq(&bucket->lock);
	bio_list_add(&pe->origin_bios, bio);
	spin_unlock_irq(&bucket->lock);
}

/* A client has a reserve for the blocks of its own snapshot's devices, of 16 KiB at least. */
static unsigned int snap_pending_block(const struct snap_pending *pe)
{
	return max_t(unsigned int, bdev_logical_block_size(pe->snap->store.cow), SZ_16K);
}

/* Whether two pending exceptions are of the same sectors of the origin, and one job may do. */
static bool snap_pending_matches(const struct snap_pending *a, const struct snap_pending *b)
{
	return a->snap->store.chunk_shift == b->snap->store.chunk_shift &&
	       a->log.old == b->log.old && a->log.nr == b->log.nr &&
	       snap_pending_block(a) == snap_pending_block(b);
}

/*
 * Reads chunks once for all those at the head of the list that are of the same. The ticket of the
 * first has a job. Returns the rest of the list.
 */
static struct snap_pending *snap_pending_start_some(struct snap_pending *first)
{
	struct dm_io_region from, to[DM_KCOPYD_MAX_REGIONS];
	struct snap_pending *pe = first, *last;
	struct dm_snapshot *snap = first->snap;
	unsigned int shift = snap->store.chunk_shift, nr = 0;

	from.bdev = snap->origin_bdev;
	from.sector = first->log.old << shift;
	from.count = min_t(sector_t, (sector_t)first->log.nr << shift,
			   bdev_nr_sectors(from.bdev) - from.sector);

	do {
		to[nr].bdev = pe->snap->store.cow;
		to[nr].sector = pe->log.new << shift;
		to[nr].count = from.count;
		nr++;
		snap_copy_begin(pe);
		last = pe;
		pe = pe->next;
	} while (unlikely(pe) && nr < ARRAY_SIZE(to) && snap_pending_matches(pe, first));
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

	dm_scaled_refs_get(&snap->pending_refs);
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
		dm_scaled_refs_put(&snap->pending_refs);
	}
	dm_kcopyd_mq_release(snap->kcopyd);
}

/*
 *------------------------------------------------------------
 * Finding a chunk's pending exception
 *------------------------------------------------------------
 */

/**
 * enum snap_entry - what there is of some chunks
 * @SNAP_ENTRY_FRESH:     the pending exception that was to be entered
 * @SNAP_ENTRY_PENDING:   another one
 * @SNAP_ENTRY_COPIED:    exceptions
 * @SNAP_ENTRY_NO_MEMORY: nothing, and no memory for a pending exception
 * @SNAP_ENTRY_FULL:      nothing, and no room on the COW device
 */
enum snap_entry {
	SNAP_ENTRY_FRESH,
	SNAP_ENTRY_PENDING,
	SNAP_ENTRY_COPIED,
	SNAP_ENTRY_NO_MEMORY,
	SNAP_ENTRY_FULL,
};

/*
 * Looks, under the lock, for exceptions; enters @fresh, which may be NULL, if there are none. @nr,
 * the number of chunks that are of interest, becomes the number of those that the answer is for.
 * @pe is set to the pending exception that there is, @new to where the first chunk is if it has
 * been copied.
 */
static enum snap_entry snap_bucket_enter(struct dm_snapshot *snap, struct snap_bucket *bucket,
					 u64 chunk, u64 *nr, struct snap_pending *fresh,
					 struct snap_pending **pe, u64 *new)
	__must_hold(&bucket->lock)
{
	struct snap_pending *next = snap_bucket_first(bucket, chunk, *nr);

	*pe = NULL;
	if (next && next->log.old <= chunk) {
		*pe = next;
		*nr = min(*nr, snap_pending_chunks_from(next, chunk));
		return SNAP_ENTRY_PENDING;
	}
	if (unlikely(next))
		*nr = next->log.old - chunk;

	if (snap_lookup(snap, chunk, *nr, new, nr))
		return SNAP_ENTRY_COPIED;
	if (unlikely(!fresh))
		return SNAP_ENTRY_NO_MEMORY;
	fresh->log.nr = snap_store_alloc(&snap->store, *nr, &fresh->log.new);
	if (unlikely(!fresh->log.nr))
		return SNAP_ENTRY_FULL;

	/*
	 * Only readers of the origin's list and the snapshot's own bios come here: see
	 * snap_pending_drain().
	 */
	dm_scaled_refs_get(&snap->pending_refs);
	fresh->log.old = chunk;
	*nr = fresh->log.nr;
	if (snap->log)
		snap_log_begin(snap->log, &fresh->log, fresh->urgent);
	snap_bucket_add(bucket, fresh);
	*pe = fresh;
	return SNAP_ENTRY_FRESH;
}

/*
 * How many of @nr chunks from @chunk on may be one pending exception, of no more than so many
 * sectors: no more than the threshold allows at a time, either.
 */
static u64 snap_range_chunks(const struct dm_snapshot *snap, u64 chunk, u64 nr,
			     unsigned int sectors)
{
	unsigned int most = min(sectors >> snap->store.chunk_shift,
				READ_ONCE(snapshot_cow_threshold));

	return snap_bucket_chunks(snap, chunk, min_t(u64, nr, max(most, 1U)));
}

enum snap_copy snap_pending_find(struct dm_snapshot *snap, u64 chunk, u64 *nr, struct bio *bio,
				 struct snap_pending **spare, struct snap_pending **new_pe)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	struct snap_pending *fresh = snap_pending_spare(snap, spare), *pe;
	bool is_spare = fresh, hurry = false;
	enum snap_entry entry;
	u64 new;

	if (*nr > 1)
		*nr = snap_range_chunks(snap, chunk, *nr, SNAP_COPY_SECTORS);
	if (likely(!fresh))
		fresh = snap_pending_alloc(snap, false);
	if (likely(fresh))
		fresh->urgent = true;
	spin_lock_irq(&bucket->lock);
	entry = snap_bucket_enter(snap, bucket, chunk, nr, fresh, &pe, &new);
	if (entry == SNAP_ENTRY_FRESH && bio)
		bio_list_add(&pe->origin_bios, bio);
	else if (entry == SNAP_ENTRY_PENDING)
		hurry = snap_pending_hasten(pe);
	spin_unlock_irq(&bucket->lock);

	if (unlikely(hurry))
		snap_log_hurry(snap->log);
	*new_pe = NULL;
	if (likely(entry == SNAP_ENTRY_FRESH)) {
		*new_pe = pe;
		if (unlikely(is_spare)) {
			*spare = NULL;
			snap_put(snap);
		}
		return SNAP_COPY_PENDING;
	}
	if (fresh && !is_spare)
		snap_pending_free_memory(fresh);
	switch (entry) {
	case SNAP_ENTRY_PENDING:
		return SNAP_COPY_PENDING;
	case SNAP_ENTRY_NO_MEMORY:
		return SNAP_COPY_PARK;
	case SNAP_ENTRY_FULL:
		if (!snap_invalidate_then(snap, "the COW device is full", NULL))
			return SNAP_COPY_PARK;
		return SNAP_COPY_NOT_NEEDED;
	default:
		return SNAP_COPY_NOT_NEEDED;
	}
}

/* Whether the bio waits for a pending exception that has any of @nr chunks of one bucket. */
static bool snap_bucket_join(struct dm_snapshot *snap, u64 chunk, u64 nr, struct bio *bio)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	struct snap_pending *pe, *next;
	bool hurry = false;

	spin_lock_irq(&bucket->lock);
	pe = snap_bucket_first(bucket, chunk, nr);
	/* The last one: when it has ended those before it may have, too. */
	while (pe && (next = snap_bucket_next(pe, chunk + nr)))
		pe = next;
	if (pe) {
		bio_list_add(&pe->origin_bios, bio);
		hurry = snap_pending_hasten(pe);
	}
	spin_unlock_irq(&bucket->lock);

	if (unlikely(hurry))
		snap_log_hurry(snap->log);
	return pe;
}

bool snap_pending_join(struct dm_snapshot *snap, u64 chunk, u64 nr, struct bio *bio)
{
	u64 end = chunk + nr, some;

	for (; chunk < end; chunk += some) {
		some = snap_bucket_chunks(snap, chunk, end - chunk);
		if (snap_bucket_join(snap, chunk, some, bio))
			return true;
	}
	return false;
}

static void snap_full_write_done(struct dm_kcopyd_mq_item *item)
{
	struct snap_pending *pe = container_of(item, struct snap_pending, item);
	struct dm_snapshot *snap = pe->snap;
	struct dm_kcopyd_mq_client *kcopyd = snap->kcopyd;

	snap_copy_end(pe);
	snap_pending_copied(pe, pe->full_bio->bi_status);
	dm_kcopyd_mq_release(kcopyd);
}

/* What is impossible was found in an interrupt handler. */
static void snap_full_write_wrong(struct dm_kcopyd_mq_item *item)
{
	struct snap_pending *pe = container_of(item, struct snap_pending, item);
	struct dm_kcopyd_mq_client *kcopyd = pe->snap->kcopyd;
	struct bio *bio = snap_full_bio(pe);

	snap_copy_end(pe);
	snap_pending_is_wrong(pe);
	bio_io_error(bio);
	dm_kcopyd_mq_release(kcopyd);
}

/*
 * Whether nobody waits for the chunks of a full write: no bio, and no worker on behalf of one. The
 * exception of a persistent snapshot stays in its bucket; so reads of the origin go on.
 */
static bool snap_full_write_is_alone(const struct snap_pending *pe, struct snap_bucket *bucket)
	__must_hold(&bucket->lock)
{
	if (!bio_list_empty(&pe->snapshot_bios))
		return false;
	if (pe->snap->log)
		return !pe->urgent;
	return bio_list_empty(&pe->origin_bios) &&
	       !snap_bucket_count(bucket, pe->log.old, pe->log.nr);
}

/*
 * Where nobody waits for the chunks, the exception is completed, or deferred, without a worker, and
 * so at once. Returns false if there is something to be done that only a worker can do.
 */
static bool snap_full_write_complete(struct snap_pending *pe)
{
	struct dm_snapshot *snap = pe->snap;
	struct snap_bucket *bucket = snap_bucket_of(snap, pe->log.old);
	struct dm_kcopyd_mq_client *kcopyd = snap->kcopyd;
	bool alone, right = true, defers = snap->log;
	unsigned int nr = pe->log.nr;
	struct bio *bio = NULL;
	unsigned long flags;

	if (unlikely(pe->full_bio->bi_status || !pe->room || !READ_ONCE(snap->valid)))
		return false;

	spin_lock_irqsave(&bucket->lock, flags);
	alone = snap_full_write_is_alone(pe, bucket);
	if (likely(alone)) {
		if (defers) {
			bio = snap_full_bio(pe);
			snap_pending_defer(pe);
		} else {
			pe->copied = true;
			right = snap_pending_replace(pe);
		}
	}
	spin_unlock_irqrestore(&bucket->lock, flags);
	if (unlikely(!right))
		pe->item.fn = snap_full_write_wrong;
	if (unlikely(!alone || !right))
		return false;

	/* One that was deferred is no longer ours. */
	if (!defers) {
		bio = snap_full_bio(pe);
		snap_pending_retire(pe);
	}
	snap_copies_ended(snap, nr);
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

static void snap_full_zero_done(int read_err, unsigned long write_err, void *context)
{
	struct snap_pending *pe = context;

	snap_copy_end(pe);
	snap_pending_copied(pe, write_err);
}

static void snap_full_zero_start(struct dm_kcopyd_mq_item *item)
{
	struct snap_pending *pe = container_of(item, struct snap_pending, ticket.item);
	struct dm_snapshot *snap = pe->snap;
	struct dm_io_region to = {
		.bdev = snap->store.cow,
		.sector = pe->log.new << snap->store.chunk_shift,
		.count = (sector_t)pe->log.nr << snap->store.chunk_shift,
	};

	dm_kcopyd_mq_zero_with(snap->kcopyd, &pe->ticket, 1, &to,
			       pe->full_bio->bi_opf & REQ_NOUNMAP ? BIT(DM_KCOPYD_MQ_NOUNMAP) : 0,
			       snap_full_zero_done, pe);
}

/*
 * Writes zeroes to whole chunks. A COW device that offers the command may refuse it, and the chunks
 * on it are taken: so it is a job of the engine's, which then writes pages of zeroes.
 */
static void snap_full_zero(struct snap_pending *pe)
{
	pe->ticket.item.fn = snap_full_zero_start;
	if (dm_kcopyd_mq_reserve(pe->snap->kcopyd, &pe->ticket))
		snap_full_zero_start(&pe->ticket.item);
}

/* Writes whole chunks of the snapshot: there is nothing to copy. */
static void snap_full_write(struct snap_pending *pe, struct bio *bio)
{
	struct dm_snapshot *snap = pe->snap;

	pe->full_end_io = bio->bi_end_io;
	pe->full_private = bio->bi_private;
	snap_copy_begin(pe);
	if (unlikely(bio_op(bio) == REQ_OP_WRITE_ZEROES)) {
		snap_full_zero(pe);
		return;
	}

	pe->cpu = dm_kcopyd_mq_hold(snap->kcopyd);
	pe->item.fn = snap_full_write_done;
	bio->bi_end_io = snap_full_write_endio;
	bio->bi_private = pe;
	submit_bio_noacct(bio);
}

int snap_pending_write(struct dm_snapshot *snap, u64 chunk, struct bio *bio)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	u64 full = snap_full_chunks(snap, bio), nr = 1, new;
	bool durable = bio->bi_opf & REQ_FUA || !snap->defers || !snap_log_may_defer(snap->log);
	bool hurry = false;
	struct snap_pending *fresh, *pe;
	enum snap_entry entry;

	if (full > 1)
		nr = snap_range_chunks(snap, chunk, full, SNAP_BUCKET_SECTORS);
	fresh = snap_pending_alloc(snap, true);
	if (durable)
		fresh->urgent = true;
	bio_set_dev(bio, snap->store.cow);

	spin_lock_irq(&bucket->lock);
	entry = snap_bucket_enter(snap, bucket, chunk, &nr, fresh, &pe, &new);
	/* What is to be durable is written when its exception is. */
	if (unlikely(entry == SNAP_ENTRY_PENDING && pe->copied && !(durable && pe->deferred))) {
		new = snap_pending_new(pe, chunk);
		entry = SNAP_ENTRY_COPIED;
	}
	if (entry == SNAP_ENTRY_FRESH || entry == SNAP_ENTRY_PENDING) {
		snap_cut(snap, bio, chunk, nr);
		snap_remap_sector(snap, bio, snap_pending_new(pe, chunk));
		if (entry == SNAP_ENTRY_FRESH && full)
			pe->full_bio = bio;
		else
			bio_list_add(&pe->snapshot_bios, bio);
		if (unlikely(durable && entry == SNAP_ENTRY_PENDING))
			hurry = snap_pending_hasten(pe);
	}
	spin_unlock_irq(&bucket->lock);
	if (unlikely(hurry))
		snap_log_hurry(snap->log);

	if (likely(entry == SNAP_ENTRY_FRESH)) {
		if (full)
			snap_full_write(pe, bio);
		else
			snap_pending_start(pe);
		return DM_MAPIO_SUBMITTED;
	}

	snap_pending_free_memory(fresh);
	switch (entry) {
	case SNAP_ENTRY_PENDING:
		return DM_MAPIO_SUBMITTED;
	case SNAP_ENTRY_COPIED:
		snap_cut(snap, bio, chunk, nr);
		snap_remap_sector(snap, bio, new);
		return DM_MAPIO_REMAPPED;
	default:
		snap_overflow(snap);
		return DM_MAPIO_KILL;
	}
}

void snap_pending_hurry(struct dm_snapshot *snap)
{
	if (snap->log)
		snap_log_hurry(snap->log);
}

void snap_pending_drain(struct dm_snapshot *snap)
{
	snap_pending_hurry(snap);
	dm_scaled_refs_drain(&snap->pending_refs);
	dm_scaled_refs_reinit(&snap->pending_refs);
}

bool snap_pending_none(const struct dm_snapshot *snap)
{
	unsigned int i;

	for (i = 0; i <= snap->bucket_mask; i++)
		if (!RB_EMPTY_ROOT(&snap->buckets[i].pending))
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
