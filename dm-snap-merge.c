// SPDX-License-Identifier: GPL-2.0-only
/*
 * Merging a persistent snapshot into its origin.
 *
 * The list of exceptions on disk is taken off from its end, a batch of chunks at a time:
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
 *
 * The merge gives way to users of its target. How much a batch has (@step) doubles as long as
 * nobody else does I/O and its copies do not take much longer than those of the smallest one. A bio
 * of anybody else makes it small, until a pause has lasted for SNAP_MERGE_CALM, and no batch begins
 * while such a bio is under way. If there is no pause, a small batch is merged now and then all the
 * same, so that a merge ends. Batches are copied by a client of the engine whose workers run when
 * no task wants the CPU, unless somebody waits for the batch, or it is one of those small ones.
 *
 * Nobody sleeps to wait for a pause: the work ends, and a timer queues it again.
 */
#define DM_MSG_PREFIX "merge-scaled"

#include <linux/completion.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/percpu.h>
#include <linux/seqlock.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/workqueue.h>

#include "dm-scaled-bios.h"
#include "dm-scaled-delay.h"
#include "dm-snap-bucket.h"
#include "dm-snap-disk.h"
#include "dm-snap-life.h"
#include "dm-snap-merge.h"
#include "dm-snap-scaled.h"

/* Chunks of a batch, and sectors, at most; one chunk at least. Writes to it wait. */
#define SNAP_MERGE_BATCH	2048
#define SNAP_MERGE_SECTORS	((sector_t)SZ_8M >> SECTOR_SHIFT)
/* Sectors of a batch when others have just done I/O. */
#define SNAP_MERGE_STEP		((sector_t)SZ_32K >> SECTOR_SHIFT)
/*
 * ns for which the copies of a batch, which a user's I/O may find in front of it, may take longer
 * than those of the smallest one; or as long as all else that a batch needs, if that is more.
 */
#define SNAP_MERGE_TAKES	(25 * NSEC_PER_MSEC)
/* ns for which nobody else must have done I/O before batches grow */
#define SNAP_MERGE_CALM		(20 * NSEC_PER_MSEC)
/* ns after which it is looked for a pause again */
#define SNAP_MERGE_POLL		(5 * NSEC_PER_MSEC)
/* So many times what a batch took the devices are left to others who have just used them. */
#define SNAP_MERGE_REST		32
/* Sectors a second that are merged while others do I/O all the time. */
#define SNAP_MERGE_TRICKLE	2560

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
 * @users:   bios of the merging target; written for each of them, and nothing else is, so that CPUs
 *           share no line that changes: what is behind @work changes with each batch
 * @kcopyd:  copies batches
 * @work:    merges batch after batch, as long as nobody else does I/O
 * @wq:      for @work
 * @snap:    the snapshot; set before @work is first queued
 * @table:   the block of the list on disk in which the list is going to end; while @unsure, as it
 *           was to be written
 * @ahead:   for the block before it; afterwards, and while @unsure, what @table was
 * @next:    the batch before it is @batch, at the end of the array
 * @spare:   memory that the removal of an exception may need
 * @unsure_slots: exceptions in the list when a batch became @unsure
 * @left:    copies of the batch that have not ended, and one for who waits
 * @error:   one of them has failed
 * @copied:  completed at the end of the last
 * @drained: woken up when a tracked write has ended
 *
 * Of @work alone, and of who starts it:
 * @due:     the next batch is merged although bios of others are under way
 * @refused: there were pending exceptions when it was started: it ends at once, and has failed
 * @step:    sectors that a batch may have now
 * @latency: ns that the copies of the smallest batches take at their quickest; 0: not known
 * @begun:   bios mapped when it was last looked
 * @others:  there were bios of others then
 * @calm_at: ns; @step does not grow before, as others have done I/O
 * @trickle_at: ns; when a batch is due although others do I/O
 * @rest_until: ns; no batch begins before in a gap between bios of others
 *
 * @lock:    protects the fields below; interrupts off, nests inside snap_bucket.lock
 * @wanted:  merging has been started, and has not been stopped, nor come to its end
 * @pauses:  number of pauses
 * @failed:  an error has ended the merge
 * @merging: @batch is being merged: writes to its chunks wait
 * @unsure:  the exceptions of @batch may or may not be on disk any more, until a batch has been
 *           merged: writes to its chunks fail while it is not @merging
 * @seq:     changes when @batch does: for readers that do not take @lock
 * @batch:   chunks that are being merged, or @unsure, by their number in the origin
 * @nr:      number of them
 * @bios:    writes that wait for the batch; while there are any its copies are urgent
 */
struct snap_merge {
	struct dm_scaled_bios __percpu *users;
	struct dm_kcopyd_mq_client *kcopyd;
	struct delayed_work work ____cacheline_aligned_in_smp;
	struct workqueue_struct *wq;
	struct dm_snapshot *snap;
	struct snap_disk_exception *table;
	struct snap_disk_exception *ahead;
	struct snap_merge_chunk next[SNAP_MERGE_BATCH];
	struct snap_group *spare;
	u64 unsure_slots;
	atomic_t left;
	int error;
	struct completion copied;
	wait_queue_head_t drained;

	bool due;
	bool refused;
	sector_t step;
	u64 latency;
	unsigned long begun;
	bool others;
	u64 calm_at;
	u64 trickle_at;
	u64 rest_until;

	spinlock_t lock;	/* protects the fields below */
	bool wanted;
	unsigned int pauses;
	bool failed;
	bool merging;
	bool unsure;
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
	if (!bio_list_empty(&merge->bios))
		dm_kcopyd_mq_client_urgent_put(merge->kcopyd);
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
			if (bio_list_empty(&merge->bios))
				dm_kcopyd_mq_client_urgent_get(merge->kcopyd);
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

static bool snap_merge_is_written(struct snap_merge *merge, u64 chunk, unsigned int nr)
{
	struct snap_bucket *bucket = snap_bucket_of(merge->snap, chunk);
	bool written;

	spin_lock_irq(&bucket->lock);
	written = snap_bucket_count(bucket, chunk, nr);
	spin_unlock_irq(&bucket->lock);
	return written;
}

/* Chunks of the batch from one on that follow each other on the origin, and are in one bucket. */
static unsigned int snap_merge_neighbours(const struct snap_merge *merge, unsigned int first)
{
	u64 old = merge->batch[first].old;
	unsigned int most = snap_bucket_chunks(merge->snap, old, merge->nr - first), nr = 1;

	while (nr < most && merge->batch[first + nr].old == old + nr)
		nr++;
	return nr;
}

/* Who takes a bucket's lock after this has looked at it finds its chunks in the batch. */
static void snap_merge_drain(struct snap_merge *merge)
{
	unsigned int i, nr;

	for (i = 0; i < merge->nr; i += nr) {
		nr = snap_merge_neighbours(merge, i);
		wait_event(merge->drained,
			   !snap_merge_is_written(merge, merge->batch[i].old, nr));
	}
}

/*
 *------------------------------------------------------------
 * Giving way
 *------------------------------------------------------------
 */

void snap_merge_bio_begins(struct snap_merge *merge)
{
	this_cpu_inc(merge->users->begun);
}

void snap_merge_bio_ends(struct snap_merge *merge)
{
	this_cpu_inc(merge->users->ended);
}

/*
 * Whether bios of others are under way. These, and any that have been since the last call, make
 * the next batches small.
 */
static bool snap_merge_others_are_busy(struct snap_merge *merge, u64 now)
{
	unsigned long begun;
	bool under_way, busy;

	begun = dm_scaled_bios_begun(merge->users, &under_way);
	busy = begun != merge->begun || under_way;
	if (busy) {
		merge->step = SNAP_MERGE_STEP;
		merge->calm_at = now + SNAP_MERGE_CALM;
	}
	/* The first bio after a pause does not wait for a trickle, too. */
	if (busy && !merge->others)
		merge->trickle_at = max(merge->trickle_at, merge->calm_at);
	merge->others = busy;
	merge->begun = begun;
	return under_way;
}

/* ns until it has to be looked whether a batch may begin; 0 if it may now. */
static u64 snap_merge_wait_ns(struct snap_merge *merge, u64 now)
{
	merge->due = snap_merge_others_are_busy(merge, now);
	if (merge->due && now < merge->trickle_at)
		return SNAP_MERGE_POLL;
	if (now < merge->calm_at && now < merge->rest_until)
		return merge->rest_until - now;
	return 0;
}

/* Chunks that the next batch may have. */
static unsigned int snap_merge_room(const struct snap_merge *merge)
{
	return clamp_t(sector_t, merge->step >> merge->snap->store.chunk_shift, 1,
		       SNAP_MERGE_BATCH);
}

/**
 * struct snap_merge_took - what a batch took
 * @sectors: of the batch
 * @begun:   ns; when it began
 * @copies:  ns that its copies took
 * @copied:  ns; when they had ended
 */
struct snap_merge_took {
	sector_t sectors;
	u64 begun;
	u64 copies;
	u64 copied;
};

/*
 * A batch has been merged. Only one that had all that it might have, and that nobody disturbed,
 * says something about the devices. Were the copies short beside the flushes that follow them,
 * these would be what a merge consists of.
 */
static void snap_merge_adapt(struct snap_merge *merge, const struct snap_merge_took *took)
{
	u64 now = ktime_get_ns(), limit, copies = took->copies, due;

	/* Chunks may be large: then it is the longer until the next one. Devices may be slow. */
	due = took->begun + div_u64(took->sectors * (u64)NSEC_PER_SEC, SNAP_MERGE_TRICKLE);
	due = max(due, now + (now - took->begun));
	if (merge->others)
		merge->trickle_at = due;
	merge->rest_until = min(due, now + SNAP_MERGE_REST * (now - took->begun));
	snap_merge_others_are_busy(merge, now);
	if (took->begun < merge->calm_at)
		return;
	/* A batch that is merged once more has what it had before. */
	if (merge->step == SNAP_MERGE_STEP &&
	    took->sectors <= max_t(sector_t, SNAP_MERGE_STEP, merge->snap->store.chunk_size))
		merge->latency = merge->latency ? min(merge->latency, copies) : copies;
	limit = merge->latency + max_t(u64, SNAP_MERGE_TAKES, now - took->copied);
	if (copies > limit)
		merge->step = max(merge->step / 2, SNAP_MERGE_STEP);
	/* What twice as many sectors take is not known better. */
	else if (2 * copies <= limit + merge->latency && 2 * took->sectors > merge->step)
		merge->step = min(2 * merge->step, SNAP_MERGE_SECTORS);
}

static void snap_merge_adapt_begin(struct snap_merge *merge)
{
	u64 now = ktime_get_ns();

	/* What was mapped before does not disturb the first batches. */
	snap_merge_others_are_busy(merge, now);
	merge->others = false;
	/* The devices may be others than before. */
	merge->latency = 0;
	merge->step = SNAP_MERGE_STEP;
	merge->calm_at = now;
	merge->trickle_at = now;
	merge->rest_until = now;
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
		dm_kcopyd_mq_copy(merge->kcopyd, &from, 1, &to, 0, snap_merge_copy_done, merge);
	}
	snap_merge_copy_done(0, 0, merge);
	wait_for_completion(&merge->copied);
	return merge->error;
}

/* Takes the batch's exceptions out of memory: from then on the origin is read and written. */
static int snap_merge_forget(struct snap_merge *merge)
{
	struct dm_snapshot *snap = merge->snap;
	unsigned int i = 0, nr;
	int r;

	while (i < merge->nr) {
		u64 old = merge->batch[i].old;
		struct snap_bucket *bucket = snap_bucket_of(snap, old);

		nr = snap_merge_neighbours(merge, i);
		spin_lock_irq(&bucket->lock);
		r = snap_exception_remove(&snap->exceptions, old, nr, &merge->spare);
		spin_unlock_irq(&bucket->lock);
		if (r == -ENOMEM) {
			merge->spare = snap_exception_spare();
			continue;
		}
		if (r < 0)
			return r;
		i += r;
	}
	return 0;
}

/* Whether exceptions on disk, of chunks in a row on both devices, are what we know. */
static bool snap_merge_is_right(const struct snap_merge *merge, const struct snap_merge_chunk *c,
				unsigned int nr)
{
	struct dm_snapshot *snap = merge->snap;
	u64 new, known, i;

	for (i = 0; i < nr; i += known) {
		if (!snap_lookup(snap, c->old + i, nr - i, &new, &known) || new != c->new + i) {
			DMERR("Exception of chunk %llu is not what was read before: merge ends",
			      c->old + i);
			return false;
		}
	}
	if (c->old + nr > (bdev_nr_sectors(snap->origin_bdev) + snap->store.chunk_size - 1) >>
			  snap->store.chunk_shift) {
		DMERR("Chunk %llu is beyond the end of the origin: merge ends", c->old + nr - 1);
		return false;
	}
	return true;
}

/*
 * The end of the list on disk, of @slots, is going to be the batch: of no more than @max chunks, at
 * the end of @next. Returns their number, or an error. The block in which the list then ends is in
 * @table.
 */
static int snap_merge_take(struct snap_merge *merge, u64 slots, unsigned int max)
{
	struct snap_merge_chunk *chunk = &merge->next[SNAP_MERGE_BATCH];
	bool sorted = true;
	unsigned int nr = 0, i, run;
	int size;

	while (nr < max && nr < slots) {
		/* Those of the last block are not given up if another one cannot be read. */
		size = snap_log_tail(merge->snap->log, slots - nr, merge->ahead);
		if (size <= 0) {
			if (nr)
				break;
			DMERR("Cannot read exceptions, error %d: merge ends", size);
			return size ?: -EUCLEAN;
		}
		swap(merge->table, merge->ahead);
		while (size && nr < max) {
			const struct snap_disk_exception *de = &merge->table[--size];

			chunk--;
			chunk->old = le64_to_cpu(de->old);
			chunk->new = le64_to_cpu(de->new);
			if (nr && chunk[0].old > chunk[1].old)
				sorted = false;
			nr++;
		}
		if (!snap_log_may_span(merge->snap->log))
			break;
		cond_resched();
	}
	if (!sorted)
		sort(chunk, nr, sizeof(*chunk), snap_merge_compare, NULL);
	for (i = 0; i < nr; i += run) {
		run = snap_merge_run(&chunk[i], nr - i);
		if (!snap_merge_is_right(merge, &chunk[i], run))
			return -EUCLEAN;
	}
	/* For snap_merge_restore(): the block is changed before it is written. */
	memcpy(merge->ahead, merge->table, SNAP_MAX_BLOCK);
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

/*
 * The batch that is unsure once more, all of it: its exceptions may be on disk no more, where some
 * that are on disk may follow them. Returns their number, 0 if there is none, or an error if the
 * list is shorter: then there are exceptions in memory that are not on disk.
 */
static int snap_merge_take_unsure(struct snap_merge *merge, u64 slots)
{
	if (!merge->unsure)
		return 0;
	if (slots != merge->unsure_slots) {
		DMERR("Exceptions that are merged are still in memory: cannot merge");
		return -EUCLEAN;
	}
	memcpy(&merge->next[SNAP_MERGE_BATCH - merge->nr], merge->batch,
	       merge->nr * sizeof(*merge->batch));
	return merge->nr;
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
	struct snap_merge_took took = { .begun = ktime_get_ns() };
	u64 slots;
	struct snap_merge_chunk *chunks;
	struct bio_list bios;
	struct bio *bio;
	int nr, r;

	if (!READ_ONCE(snap->valid) || !snap->log) {
		DMERR("Snapshot is invalid: cannot merge");
		return 0;
	}
	if (merge->refused) {
		DMERR("Chunks of the snapshot are still being copied: cannot merge");
		return -EBUSY;
	}
	slots = snap_log_slots(snap->log);
	if (!slots)
		return 0;
	nr = snap_merge_take_unsure(merge, slots) ?:
	     snap_merge_take(merge, slots, snap_merge_room(merge));
	if (nr < 0)
		return nr;
	chunks = &merge->next[SNAP_MERGE_BATCH - nr];

	if (!snap_merge_copy_out(merge, chunks, nr))
		return nr;
	dm_scaled_delay("snap-merge:publish");
	snap_merge_publish(merge, chunks, nr);
	dm_scaled_delay("snap-merge:drain");
	snap_merge_drain(merge);

	took.copies = ktime_get_ns();
	r = snap_merge_copy(merge);
	took.copied = ktime_get_ns();
	took.copies = took.copied - took.copies;
	if (!r)
		r = blkdev_issue_flush(snap->origin_bdev);
	if (r) {
		DMERR("Cannot copy to the origin, error %d: merge ends", r);
		/* A batch whose exceptions could not be cleared before is no surer now. */
		snap_merge_give_up(merge, merge->unsure);
		return r;
	}
	dm_scaled_delay("snap-merge:truncate");
	r = snap_log_truncate(snap->log, merge->table, slots - nr);
	dm_scaled_delay("snap-merge:forget");
	if (!r)
		r = snap_merge_forget(merge);
	if (r) {
		DMERR("Cannot clear exceptions, error %d: merge ends", r);
		merge->unsure_slots = slots;
		snap_merge_give_up(merge, true);
		return r;
	}

	dm_scaled_delay("snap-merge:unpublish");
	snap_merge_unpublish(merge, &bios, false);
	while ((bio = bio_list_pop(&bios)))
		if (snap_origin_write(snap->origin, bio, true) == DM_MAPIO_REMAPPED)
			submit_bio_noacct(bio);
	took.sectors = (sector_t)nr << snap->store.chunk_shift;
	snap_merge_adapt(merge, &took);
	return nr;
}

/* The work comes back after so many ns, unless it has been interrupted. */
static void snap_merge_come_back(struct snap_merge *merge, u64 ns)
{
	spin_lock_irq(&merge->lock);
	if (merge->wanted && !merge->pauses)
		queue_delayed_work(merge->wq, &merge->work, max(nsecs_to_jiffies(ns), 1UL));
	spin_unlock_irq(&merge->lock);
}

/* The merge has come to an end by itself, which its status tells from now on. */
static void snap_merge_ends(struct snap_merge *merge, bool failed)
{
	struct dm_snapshot *snap = merge->snap;

	spin_lock_irq(&merge->lock);
	merge->failed = failed;
	merge->wanted = false;
	spin_unlock_irq(&merge->lock);

	dm_scaled_delay("snap-merge:event");
	/* Who holds the lock does not wait for us. */
	mutex_lock(&snap->lock);
	dm_table_event(snap->ti->table);
	mutex_unlock(&snap->lock);
}

static void snap_merge_work(struct work_struct *work)
{
	struct snap_merge *merge = container_of(to_delayed_work(work), struct snap_merge, work);
	u64 wait_ns;
	int r;

	while (snap_merge_may_run(merge)) {
		wait_ns = snap_merge_wait_ns(merge, ktime_get_ns());
		if (wait_ns) {
			snap_merge_come_back(merge, wait_ns);
			return;
		}
		/* Who always does I/O may leave no CPU idle, either. */
		if (merge->due)
			dm_kcopyd_mq_client_urgent_get(merge->kcopyd);
		r = snap_merge_next(merge);
		if (merge->due)
			dm_kcopyd_mq_client_urgent_put(merge->kcopyd);
		if (r <= 0) {
			snap_merge_ends(merge, r);
			return;
		}
		cond_resched();
	}
}

/*
 *------------------------------------------------------------
 * Starting and stopping
 *------------------------------------------------------------
 */

static void snap_merge_run_if_wanted(struct snap_merge *merge)
	__must_hold(&merge->lock)
{
	if (merge->wanted && !merge->pauses)
		mod_delayed_work(merge->wq, &merge->work, 0);
}

void snap_merge_start(struct snap_merge *merge, struct dm_snapshot *snap)
{
	/*
	 * The work does not run: it has been stopped, or its merge has ended. Of a pending
	 * exception neither our look-ups nor the list on disk know.
	 */
	merge->refused = WARN_ON_ONCE(!snap_pending_none(snap));
	snap_merge_adapt_begin(merge);
	spin_lock_irq(&merge->lock);
	WRITE_ONCE(merge->snap, snap);
	merge->wanted = true;
	merge->failed = false;
	snap_merge_run_if_wanted(merge);
	spin_unlock_irq(&merge->lock);
}

/* Waits until the work neither runs nor is queued; it has been told not to go on. */
static void snap_merge_wait(struct snap_merge *merge)
{
	/* A merge that has been started once has a snapshot, as long as its target has. */
	struct dm_snapshot *snap = READ_ONCE(merge->snap);

	/* Who waits for copies of other snapshots does not wait any longer. */
	if (snap)
		snap_origin_wake(snap->origin);
	dm_kcopyd_mq_client_urgent_get(merge->kcopyd);
	cancel_delayed_work_sync(&merge->work);
	dm_kcopyd_mq_client_urgent_put(merge->kcopyd);
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

int snap_merge_restore(struct snap_merge *merge)
{
	struct dm_snapshot *snap = merge->snap;
	struct bio_list bios;
	int r = 0;

	/* Its target may be resumed meanwhile, and lose the race for the snapshot later. */
	snap_merge_pause(merge);
	if (!merge->unsure || !READ_ONCE(snap->valid))
		goto out;
	/* The list is shorter, and it is memory that has too much: "cannot happen". */
	r = -EUCLEAN;
	if (snap_log_slots(snap->log) != merge->unsure_slots)
		goto out;
	dm_scaled_delay("snap-merge:restore");
	r = snap_log_restore(snap->log, merge->ahead, merge->unsure_slots - merge->nr);
	if (!r) {
		snap_merge_unpublish(merge, &bios, false);
		WARN_ON_ONCE(!bio_list_empty(&bios));
	}
out:
	snap_merge_unpause(merge);
	return r;
}

bool snap_merge_unsure(const struct snap_merge *merge)
{
	return READ_ONCE(merge->unsure);
}

struct snap_merge *snap_merge_create(struct block_device *from, struct block_device *to)
{
	struct snap_merge *merge;

	merge = kvzalloc(sizeof(*merge), GFP_KERNEL);
	if (!merge)
		return NULL;
	INIT_DELAYED_WORK(&merge->work, snap_merge_work);
	init_completion(&merge->copied);
	init_waitqueue_head(&merge->drained);
	spin_lock_init(&merge->lock);
	seqcount_spinlock_init(&merge->seq, &merge->lock);
	bio_list_init(&merge->bios);

	merge->kcopyd = snap_create_client(from, to, true);
	if (IS_ERR(merge->kcopyd))
		goto bad_kcopyd;
	merge->users = alloc_percpu(struct dm_scaled_bios);
	merge->table = kmalloc(SNAP_MAX_BLOCK, GFP_KERNEL);
	merge->ahead = kmalloc(SNAP_MAX_BLOCK, GFP_KERNEL);
	merge->wq = alloc_workqueue("dm_snap_merge", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!merge->users || !merge->table || !merge->ahead || !merge->wq) {
		snap_merge_destroy(merge);
		return NULL;
	}
	return merge;

bad_kcopyd:
	kvfree(merge);
	return NULL;
}

void snap_merge_destroy(struct snap_merge *merge)
{
	if (merge->wq)
		destroy_workqueue(merge->wq);
	dm_kcopyd_mq_client_destroy(merge->kcopyd);
	free_percpu(merge->users);
	kfree(merge->spare);
	kfree(merge->ahead);
	kfree(merge->table);
	kvfree(merge);
}
