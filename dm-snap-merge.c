// SPDX-License-Identifier: GPL-2.0-only
/*
 * Merging a persistent snapshot into its origin.
 *
 * The list of exceptions on disk is taken off from its end, a batch of up to 256 chunks at a time:
 *
 *	other snapshots copy what is going to be overwritten
 *	writes to the batch's chunks begin to wait; those that are under way end
 *	the chunks are copied to the origin, all at the same time
 *	the origin is flushed
 *	the exceptions are cleared on disk, by one write
 *	they are removed from memory; the writes that wait go to the origin
 *
 * Until they are cleared the chunks are the same in both places, or will be merged once more after
 * a crash. Reads use the COW device as long as there is an exception.
 */
#define DM_MSG_PREFIX "merge-scaled"

#include <linux/completion.h>
#include <linux/seqlock.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/workqueue.h>

#include "dm-scaled-delay.h"
#include "dm-snap-bucket.h"
#include "dm-snap-disk.h"
#include "dm-snap-merge.h"
#include "dm-snap-scaled.h"

#define SNAP_MERGE_BATCH	(SNAP_MAX_BLOCK / sizeof(struct snap_disk_exception))
/* Writes to a batch wait until it is merged: of large chunks it has fewer. */
#define SNAP_MERGE_SECTORS	(SZ_8M >> SECTOR_SHIFT)

/**
 * struct snap_merge_chunk - a chunk that is being merged
 * @old: chunk of the origin
 * @new: chunk of the COW device
 */
struct snap_merge_chunk {
	u64 old;
	u64 new;
};

/**
 * struct snap_merge - the merge of a snapshot
 * @work:    merges batch after batch
 * @wq:      for @work
 * @snap:    the snapshot; set before @work is first queued
 * @table:   last block of the list on disk
 * @next:    the batch before it is @batch
 * @spare:   memory that the removal of an exception may need
 * @left:    copies of the batch that have not ended, and one for who waits
 * @error:   one of them has failed
 * @copied:  completed at the end of the last
 * @drained: woken up when a tracked write has ended
 *
 * @lock:    protects the fields below; interrupts off, nests inside snap_bucket.lock
 * @wanted:  merging has been started, and not stopped
 * @pauses:  number of pauses
 * @running: @work is queued or running
 * @failed:  an error has ended the merge
 * @merging: @batch is being merged: writes to its chunks wait
 * @unsure:  the exceptions of @batch may or may not be on disk any more, until a batch has been
 *           merged: writes to its chunks fail while it is not @merging
 * @stopped: woken up when @running is cleared
 * @seq:     changes when @batch does: for readers that do not take @lock
 * @batch:   chunks that are being merged, or @unsure, by their number in the origin
 * @nr:      number of them
 * @bios:    writes that wait for the batch
 */
struct snap_merge {
	struct work_struct work;
	struct workqueue_struct *wq;
	struct dm_snapshot *snap;
	struct snap_disk_exception *table;
	struct snap_merge_chunk next[SNAP_MERGE_BATCH];
	struct snap_group *spare;
	atomic_t left;
	int error;
	struct completion copied;
	wait_queue_head_t drained;

	spinlock_t lock;	/* protects the fields below */
	bool wanted;
	unsigned int pauses;
	bool running;
	bool failed;
	bool merging;
	bool unsure;
	wait_queue_head_t stopped;
	seqcount_spinlock_t seq;
	struct snap_merge_chunk batch[SNAP_MERGE_BATCH];
	unsigned int nr;
	struct bio_list bios;
};

/*
 *------------------------------------------------------------
 * The batch
 *------------------------------------------------------------
 */

/* Number of chunks of the batch, which may change, that come before a chunk. */
static unsigned int snap_merge_search(const struct snap_merge *merge, u64 old)
{
	unsigned int low = 0, high = READ_ONCE(merge->nr);

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (READ_ONCE(merge->batch[mid].old) < old)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Chunks from @old on that may be written on the COW device, none if the first is in the batch. */
static u64 snap_merge_before_batch(struct snap_merge *merge, u64 old, u64 nr)
{
	unsigned int seq, i;
	u64 before;

	do {
		seq = read_seqcount_begin(&merge->seq);
		i = snap_merge_search(merge, old);
		before = i < READ_ONCE(merge->nr) ? READ_ONCE(merge->batch[i].old) - old : nr;
	} while (read_seqcount_retry(&merge->seq, seq));
	return min(before, nr);
}

static void snap_merge_publish(struct snap_merge *merge, const struct snap_merge_chunk *chunks,
			       unsigned int nr)
{
	unsigned int i;

	spin_lock_irq(&merge->lock);
	write_seqcount_begin(&merge->seq);
	for (i = 0; i < nr; i++) {
		WRITE_ONCE(merge->batch[i].old, chunks[i].old);
		merge->batch[i].new = chunks[i].new;
	}
	WRITE_ONCE(merge->nr, nr);
	write_seqcount_end(&merge->seq);
	merge->merging = true;
	spin_unlock_irq(&merge->lock);
}

/* Ends the batch; @bios gets the writes that have waited. */
static void snap_merge_unpublish(struct snap_merge *merge, struct bio_list *bios, bool unsure)
{
	spin_lock_irq(&merge->lock);
	*bios = merge->bios;
	bio_list_init(&merge->bios);
	merge->merging = false;
	merge->unsure = unsure;
	if (!unsure) {
		write_seqcount_begin(&merge->seq);
		WRITE_ONCE(merge->nr, 0);
		write_seqcount_end(&merge->seq);
	}
	spin_unlock_irq(&merge->lock);
}

/* A write that begins in the batch: as much of it as is there. What follows is another one. */
static enum snap_merge_way snap_merge_hold(struct snap_merge *merge, struct dm_snapshot *snap,
					   u64 chunk, u64 nr, struct bio *bio)
{
	enum snap_merge_way way = SNAP_MERGE_TO_COW;
	unsigned int i, first;

	spin_lock(&merge->lock);
	first = snap_merge_search(merge, chunk);
	for (i = first; i < merge->nr && i - first < nr; i++)
		if (merge->batch[i].old != chunk + i - first)
			break;
	/* If none is: the batch has been given up meanwhile, with its exceptions in place. */
	if (i > first) {
		snap_cut(snap, bio, chunk, i - first);
		way = SNAP_MERGE_FAILS;
		if (merge->merging) {
			bio_set_dev(bio, snap->origin_bdev);
			bio_list_add(&merge->bios, bio);
			way = SNAP_MERGE_WAITS;
		}
	}
	spin_unlock(&merge->lock);
	return way;
}

enum snap_merge_way snap_merge_write(struct snap_merge *merge, struct dm_snapshot *snap, u64 chunk,
				     struct bio *bio, struct snap_bio *sb)
{
	struct snap_bucket *bucket = snap_bucket_of(snap, chunk);
	enum snap_merge_way way = SNAP_MERGE_TO_COW;
	u64 new, before, nr = snap_bucket_chunks(snap, chunk, snap_bio_chunks(snap, bio));

	spin_lock_irq(&bucket->lock);
	if (!snap_lookup(snap, chunk, nr, &new, &nr)) {
		way = SNAP_MERGE_TO_ORIGIN;
		snap_cut(snap, bio, chunk, nr);
	} else {
		before = snap_merge_before_batch(merge, chunk, nr);
		if (unlikely(!before))
			way = snap_merge_hold(merge, snap, chunk, nr, bio);
		nr = before ?: 1;
	}
	if (way == SNAP_MERGE_TO_COW) {
		snap_cut(snap, bio, chunk, nr);
		snap_bucket_track(bucket, chunk, nr, sb);
		snap_remap(snap, bio, new);
	}
	spin_unlock_irq(&bucket->lock);
	return way;
}

void snap_merge_write_done(struct snap_merge *merge)
{
	/* Pairs with the barrier of wait_event() in snap_merge_drain(). */
	if (wq_has_sleeper(&merge->drained))
		wake_up(&merge->drained);
}

static bool snap_merge_is_written(struct snap_merge *merge, u64 chunk)
{
	struct snap_bucket *bucket = snap_bucket_of(merge->snap, chunk);
	bool written;

	spin_lock_irq(&bucket->lock);
	written = snap_bucket_count(bucket, chunk, 1);
	spin_unlock_irq(&bucket->lock);
	return written;
}

/* Who takes a bucket's lock after this has looked at it finds the chunk in the batch. */
static void snap_merge_drain(struct snap_merge *merge)
{
	unsigned int i;

	for (i = 0; i < merge->nr; i++)
		wait_event(merge->drained, !snap_merge_is_written(merge, merge->batch[i].old));
}

/*
 *------------------------------------------------------------
 * Merging a batch
 *------------------------------------------------------------
 */

static int snap_merge_compare(const void *a, const void *b)
{
	const struct snap_merge_chunk *one = a, *other = b;

	return one->old < other->old ? -1 : one->old > other->old;
}

/* Chunks from the first of @nr on that follow each other on both devices. */
static unsigned int snap_merge_run(const struct snap_merge_chunk *chunks, unsigned int nr)
{
	unsigned int run = 1;

	while (run < nr && chunks[run].old == chunks->old + run &&
	       chunks[run].new == chunks->new + run)
		run++;
	return run;
}

/* Where chunks are on the origin, which may end within the last. */
static void snap_merge_region(const struct dm_snapshot *snap, u64 old, unsigned int nr,
			      struct dm_io_region *region)
{
	region->bdev = snap->origin_bdev;
	region->sector = old << snap->store.chunk_shift;
	region->count = min_t(sector_t, (sector_t)nr << snap->store.chunk_shift,
			      bdev_nr_sectors(region->bdev) - region->sector);
}

static void snap_merge_copy_done(int read_err, unsigned long write_err, void *context)
{
	struct snap_merge *merge = context;

	if (read_err || write_err)
		WRITE_ONCE(merge->error, -EIO);
	if (atomic_dec_and_test(&merge->left))
		complete(&merge->copied);
}

static int snap_merge_copy(struct snap_merge *merge)
{
	struct dm_snapshot *snap = merge->snap;
	struct dm_io_region from, to;
	unsigned int i, nr;

	merge->error = 0;
	atomic_set(&merge->left, 1);
	reinit_completion(&merge->copied);
	for (i = 0; i < merge->nr; i += nr) {
		nr = snap_merge_run(&merge->batch[i], merge->nr - i);
		snap_merge_region(snap, merge->batch[i].old, nr, &to);
		from.bdev = snap->store.cow;
		from.sector = merge->batch[i].new << snap->store.chunk_shift;
		from.count = to.count;
		atomic_inc(&merge->left);
		dm_kcopyd_mq_copy(snap->kcopyd, &from, 1, &to, 0, snap_merge_copy_done, merge);
	}
	snap_merge_copy_done(0, 0, merge);
	wait_for_completion(&merge->copied);

	return merge->error ?: blkdev_issue_flush(snap->origin_bdev);
}

/* Takes the batch's exceptions out of memory: from then on the origin is read and written. */
static int snap_merge_forget(struct snap_merge *merge)
{
	struct dm_snapshot *snap = merge->snap;
	unsigned int i;
	int r;

	for (i = 0; i < merge->nr; i++) {
		struct snap_bucket *bucket = snap_bucket_of(snap, merge->batch[i].old);

		do {
			spin_lock_irq(&bucket->lock);
			r = snap_exception_remove(&snap->exceptions, merge->batch[i].old,
						  &merge->spare);
			spin_unlock_irq(&bucket->lock);
			if (r == -ENOMEM)
				merge->spare = snap_exception_spare();
		} while (r == -ENOMEM);
		if (r)
			return r;
	}
	return 0;
}

/* The end of the list on disk becomes the batch, if it is what we know. */
static int snap_merge_take(struct snap_merge *merge, struct snap_merge_chunk *chunks,
			   unsigned int size)
{
	struct dm_snapshot *snap = merge->snap;
	unsigned int nr = min(size, max(1U, SNAP_MERGE_SECTORS >> snap->store.chunk_shift)), i;
	u64 new;

	for (i = 0; i < nr; i++) {
		const struct snap_disk_exception *de = &merge->table[size - nr + i];

		chunks[i].old = le64_to_cpu(de->old);
		chunks[i].new = le64_to_cpu(de->new);
		if (!snap_exception_lookup(&snap->exceptions, chunks[i].old, &new) ||
		    new != chunks[i].new) {
			DMERR("Exception of chunk %llu is not what was read before: merge ends",
			      chunks[i].old);
			return -EUCLEAN;
		}
		if (chunks[i].old >= (bdev_nr_sectors(snap->origin_bdev) +
				      snap->store.chunk_size - 1) >> snap->store.chunk_shift) {
			DMERR("Chunk %llu is beyond the end of the origin: merge ends",
			      chunks[i].old);
			return -EUCLEAN;
		}
	}
	sort(chunks, nr, sizeof(*chunks), snap_merge_compare, NULL);
	return nr;
}

static bool snap_merge_may_run(void *arg)
{
	struct snap_merge *merge = arg;
	bool may;

	spin_lock_irq(&merge->lock);
	may = merge->wanted && !merge->pauses;
	spin_unlock_irq(&merge->lock);
	return may;
}

/*
 * Other snapshots get what is going to be overwritten. Returns false if the merge has been
 * interrupted: their COW devices may be suspended, and who interrupts it is a stranger to them.
 */
static bool snap_merge_copy_out(struct snap_merge *merge, const struct snap_merge_chunk *chunks,
				unsigned int nr)
{
	struct dm_snapshot *snap = merge->snap;
	struct dm_io_region region;
	unsigned int i, run;

	for (i = 0; i < nr; i += run) {
		run = snap_merge_run(&chunks[i], nr - i);
		snap_merge_region(snap, chunks[i].old, run, &region);
		if (!snap_origin_copy_out(snap->origin, region.sector, region.count,
					  snap_merge_may_run, merge))
			return false;
	}
	return true;
}

/* The batch has failed, and so do the writes that wait for it. */
static void snap_merge_give_up(struct snap_merge *merge, bool unsure)
{
	struct bio_list bios;
	struct bio *bio;

	snap_merge_unpublish(merge, &bios, unsure);
	while ((bio = bio_list_pop(&bios)))
		bio_io_error(bio);
}

/*
 * Merges a batch, unless that is interrupted before it has begun. Returns 0 if there is nothing
 * left to merge, else a positive number or an error.
 */
static int snap_merge_next(struct snap_merge *merge)
{
	struct dm_snapshot *snap = merge->snap;
	struct snap_merge_chunk *chunks = merge->next;
	struct bio_list bios;
	struct bio *bio;
	int size, nr, r;

	if (!READ_ONCE(snap->valid) || !snap->log) {
		DMERR("Snapshot is invalid: cannot merge");
		return 0;
	}
	size = snap_log_tail(snap->log, merge->table);
	if (size <= 0) {
		if (size)
			DMERR("Cannot read exceptions, error %d: merge ends", size);
		return size;
	}
	nr = snap_merge_take(merge, chunks, size);
	if (nr < 0)
		return nr;

	if (!snap_merge_copy_out(merge, chunks, nr))
		return nr;
	dm_scaled_delay("snap-merge:publish");
	snap_merge_publish(merge, chunks, nr);
	dm_scaled_delay("snap-merge:drain");
	snap_merge_drain(merge);

	r = snap_merge_copy(merge);
	if (r) {
		DMERR("Cannot copy to the origin, error %d: merge ends", r);
		/* A batch whose exceptions could not be cleared before is no surer now. */
		snap_merge_give_up(merge, merge->unsure);
		return r;
	}
	dm_scaled_delay("snap-merge:truncate");
	r = snap_log_truncate(snap->log, merge->table, size, nr);
	dm_scaled_delay("snap-merge:forget");
	if (!r)
		r = snap_merge_forget(merge);
	if (r) {
		DMERR("Cannot clear exceptions, error %d: merge ends", r);
		snap_merge_give_up(merge, true);
		return r;
	}

	dm_scaled_delay("snap-merge:unpublish");
	snap_merge_unpublish(merge, &bios, false);
	while ((bio = bio_list_pop(&bios)))
		if (snap_origin_write(snap->origin, bio, true) == DM_MAPIO_REMAPPED)
			submit_bio_noacct(bio);
	return nr;
}

static void snap_merge_work(struct work_struct *work)
{
	struct snap_merge *merge = container_of(work, struct snap_merge, work);
	int r = 1;

	while (r > 0 && snap_merge_may_run(merge)) {
		r = snap_merge_next(merge);
		cond_resched();
	}

	spin_lock_irq(&merge->lock);
	if (r < 0)
		merge->failed = true;
	if (r <= 0)
		merge->wanted = false;
	merge->running = false;
	/* Who waits may free the merge when he has got the lock. */
	wake_up_all(&merge->stopped);
	spin_unlock_irq(&merge->lock);
}

/*
 *------------------------------------------------------------
 * Starting and stopping
 *------------------------------------------------------------
 */

static void snap_merge_run_if_wanted(struct snap_merge *merge)
	__must_hold(&merge->lock)
{
	if (merge->wanted && !merge->pauses && !merge->running) {
		merge->running = true;
		queue_work(merge->wq, &merge->work);
	}
}

void snap_merge_start(struct snap_merge *merge, struct dm_snapshot *snap)
{
	/* Of a pending exception neither our look-ups nor the list on disk know. */
	bool ready = !WARN_ON_ONCE(!snap_pending_none(snap));

	if (!ready)
		DMERR("Chunks of the snapshot are still being copied: cannot merge");
	spin_lock_irq(&merge->lock);
	WRITE_ONCE(merge->snap, snap);
	merge->wanted = ready;
	merge->failed = !ready;
	snap_merge_run_if_wanted(merge);
	spin_unlock_irq(&merge->lock);
}

/* Who waits for copies of other snapshots does not wait any longer. */
static void snap_merge_wait(struct snap_merge *merge)
{
	/* A merge that has been started once has a snapshot, as long as its target has. */
	struct dm_snapshot *snap = READ_ONCE(merge->snap);

	if (snap)
		snap_origin_wake(snap->origin);
	/* That it is not running is seen under the lock, which its last owner then has released. */
	spin_lock_irq(&merge->lock);
	wait_event_lock_irq(merge->stopped, !merge->running, merge->lock);
	spin_unlock_irq(&merge->lock);
}

void snap_merge_stop(struct snap_merge *merge)
{
	spin_lock_irq(&merge->lock);
	merge->wanted = false;
	spin_unlock_irq(&merge->lock);
	snap_merge_wait(merge);
}

void snap_merge_pause(struct snap_merge *merge)
{
	spin_lock_irq(&merge->lock);
	merge->pauses++;
	spin_unlock_irq(&merge->lock);
	snap_merge_wait(merge);
}

void snap_merge_unpause(struct snap_merge *merge)
{
	spin_lock_irq(&merge->lock);
	merge->pauses--;
	snap_merge_run_if_wanted(merge);
	spin_unlock_irq(&merge->lock);
}

bool snap_merge_failed(const struct snap_merge *merge)
{
	return READ_ONCE(merge->failed);
}

bool snap_merge_unsure(const struct snap_merge *merge)
{
	return READ_ONCE(merge->unsure);
}

struct snap_merge *snap_merge_create(void)
{
	struct snap_merge *merge;

	merge = kvzalloc(sizeof(*merge), GFP_KERNEL);
	if (!merge)
		return NULL;
	INIT_WORK(&merge->work, snap_merge_work);
	init_completion(&merge->copied);
	init_waitqueue_head(&merge->drained);
	spin_lock_init(&merge->lock);
	init_waitqueue_head(&merge->stopped);
	seqcount_spinlock_init(&merge->seq, &merge->lock);
	bio_list_init(&merge->bios);

	merge->table = kmalloc(SNAP_MAX_BLOCK, GFP_KERNEL);
	merge->wq = alloc_workqueue("dm_snap_merge", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!merge->table || !merge->wq) {
		snap_merge_destroy(merge);
		return NULL;
	}
	return merge;
}

void snap_merge_destroy(struct snap_merge *merge)
{
	if (merge->wq)
		destroy_workqueue(merge->wq);
	kfree(merge->spare);
	kfree(merge->table);
	kvfree(merge);
}
