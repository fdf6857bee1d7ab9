/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the snapshot targets share.
 *
 * An origin is a block device of which snapshots are taken. A snapshot is what it has copied, and
 * how it copies; a target is a line of a device-mapper table that gives access to a snapshot. When
 * a table is reloaded, the snapshot passes from the old target to the new one.
 */
#ifndef DM_SNAP_SCALED_H
#define DM_SNAP_SCALED_H

#include <linux/completion.h>
#include <linux/device-mapper.h>
#include <linux/list.h>
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/percpu_counter.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/wait.h>

#include "compat.h"
#include "dm-kcopyd-mq.h"
#include "dm-scaled-devices.h"
#include "dm-scaled-refs.h"
#include "dm-snap-exception.h"
#include "dm-snap-log.h"
#include "dm-snap-store.h"

struct snap_bucket;
struct snap_merge;
struct snap_origin;
struct snap_pending;

/**
 * struct dm_snapshot - the state of a snapshot
 * @store:         hands out chunks of the COW device, knows the chunk size
 * @exceptions:    chunks that have been copied
 * @buckets:       chunks that are being copied, and reads of chunks that have not been
 * @bucket_mask:   number of @buckets less one
 * @bucket_shift:  log2 of the neighbouring chunks that a bucket has
 * @log:           makes exceptions durable; NULL if the snapshot is transient, or was invalid
 *                 already
 * @valid:         cleared, under @lock, when the snapshot has become unusable; never set again
 * @overflowed:    set, under @lock, when a write to the snapshot found no room: no more are taken
 * @defers:        what is written to the snapshot is durable when it is flushed; changes while its
 *                 target maps no bio
 * @attached:      origin writes are seen: it is in snap_origin.snapshots; changes under
 *                 snap_registry_lock
 * @end:           sector of the origin after the last one that the snapshot covers: the end of its
 *                 target, as sectors of a target's table are those of its origin; changes while the
 *                 origin is quiet
 * @origin:        the origin
 * @origin_bdev:   device of the origin; held by the target that has the snapshot
 * @list:          in snap_origin.snapshots
 * @kcopyd:        copies, and runs what has to be done after a completion
 * @pending_pool:  pending exceptions, with a reserve
 * @pending_refs:  one for each pending exception
 * @park_lock:     protects @parked; interrupts off
 * @parked:        origin writes that a worker cannot go on with now, see snap_park(); each holds
 *                 one of @pending_refs
 * @park_timer:    queues @unpark; pending while there are @parked
 * @unpark:        tries again
 * @park_cpu:      CPU on which @unpark runs
 * @invalidate:    of a persistent snapshot: makes it invalid, on the COW device first
 * @invalidated:   tickets whose items run when that is done
 * @invalid_reason: why, for the kernel log; the first reason is kept
 * @merge:         state of its merge, a batch whose exceptions may or may not be on disk included;
 *                 NULL until the first merging target gets the snapshot, then as long as @store.
 *                 Set under snap_registry_lock
 * @users:         references: one of the target that has it, one for each user that has found it
 *                 through a target which may lose it meanwhile, or in the origin's list
 * @unused:        completed when @users is gone
 * @copies_wait:   writers held back because there are too many copies
 * @copies:        chunks being copied, approximately; see snap_copy_begin(). Written by a CPU now
 *                 and then, read by all, so in a line of its own
 * @lock:          protects the change of @valid and @overflowed, and what follows; never held
 *                 across I/O
 * @ti:            target that has the snapshot; changes under @lock and snap_registry_lock, so that
 *                 holding either is enough to use it
 * @overflow:      a write to the snapshot that finds no room does not make it invalid
 *
 * A write to the origin reads the first fields and writes none; what it changes is in a bucket, in
 * a per-CPU counter or on the CPU's own part of the store.
 */
struct dm_snapshot {
	struct snap_store store;
	struct snap_exceptions exceptions;
	struct snap_bucket *buckets;
	unsigned int bucket_mask;
	unsigned int bucket_shift;
	struct snap_log *log;
	bool valid;
	bool overflowed;
	bool defers;
	bool attached;
	sector_t end;
	struct snap_origin *origin;
	struct block_device *origin_bdev;
	struct list_head list;
	struct dm_kcopyd_mq_client *kcopyd;
	mempool_t pending_pool;
	struct dm_scaled_refs pending_refs;

	spinlock_t park_lock;	/* protects @parked */
	struct bio_list parked;
	struct timer_list park_timer;
	struct dm_kcopyd_mq_item unpark;
	unsigned int park_cpu;
	struct work_struct invalidate;
	struct llist_head invalidated;
	const char *invalid_reason;

	wait_queue_head_t copies_wait;
	struct snap_merge *merge;
	refcount_t users;
	struct completion unused;

	struct percpu_counter copies ____cacheline_aligned_in_smp;

	/* protects changes of @valid and @overflowed, what follows */
	struct mutex lock ____cacheline_aligned_in_smp;
	struct dm_target *ti;
	bool overflow;
};

/**
 * struct snap_origin - a device of which snapshots are taken
 * @bdev:       the device
 * @snapshots:  active snapshots, largest chunks first; RCU list, read under @srcu
 * @split:      smallest chunk size of @snapshots in sectors: what lies between two multiples of it
 *              is one chunk of each of them, or a part of one. Shrinks only while the origin is
 *              quiet
 * @srcu:       a snapshot that was taken off @snapshots is unused after a grace period. A reader
 *              waits for no I/O, nor for memory that I/O gives back: removing one snapshot would
 *              wait for another one's COW device. Who has to wait for a snapshot gets a
 *              reference to it and ends the read section first
 * @hash:       in the registry
 * @refs:       targets that use it
 * @targets:    snapshot targets, in any state
 * @origins:    origin targets that are not suspended
 * @merging:    snapshot whose target merges it, from the target's resumption to its end, or NULL
 * @copies:     chunks that were copied while there was one
 * @copied:     woken up when @copies changes, or who waits for that has to look again
 * @reads:      reads by snapshots that are in no bucket; stopped for good, and none is left, before
 *              anybody writes to the origin
 * @track_lock: serializes who stops @reads; held while the last of them end
 *
 * All but @snapshots, @split, @copies, @copied and the last two is protected by
 * snap_registry_lock.
 */
struct snap_origin {
	struct block_device *bdev;
	struct list_head snapshots;
	unsigned int split;
	struct srcu_struct srcu;

	struct hlist_node hash;
	unsigned int refs;
	struct list_head targets;
	struct list_head origins;
	struct dm_snapshot *merging;
	atomic_t copies;
	wait_queue_head_t copied;
	struct dm_scaled_refs reads;
	struct mutex track_lock;	/* serializes who stops @reads */
};

/**
 * enum snap_target_state - the states of a snapshot target, or of one that merges a snapshot
 * @SNAP_TARGET_LOADING:     the constructor creates or loads the snapshot
 * @SNAP_TARGET_READY:       has the snapshot, was never resumed
 * @SNAP_TARGET_WAITING:     was never resumed, and takes over the snapshot of the active or
 *                           suspended target of the same COW device when it is
 * @SNAP_TARGET_ACTIVE:      has the snapshot, and maps bios
 * @SNAP_TARGET_SUSPENDED:   has the snapshot, and maps nothing
 * @SNAP_TARGET_HANDED_OVER: another target has the snapshot now, and keeps it
 * @SNAP_TARGET_ORPHANED:    there is no snapshot any more that it could take over
 *
 *	loading ---> ready ----> active <---> suspended ---> handed over
 *	                           ^
 *	waiting -------------------+
 *	   |
 *	   +-------------------> orphaned
 *
 * A target has a snapshot in the states ready, active and suspended, and in no other. The last two
 * states are final: such a target can be resumed, fails all I/O but flushes, and is "Invalid".
 * There is at most one target of a COW device in the states loading, ready and waiting together,
 * and at most one in the states active and suspended.
 */
enum snap_target_state {
	SNAP_TARGET_LOADING,
	SNAP_TARGET_READY,
	SNAP_TARGET_WAITING,
	SNAP_TARGET_ACTIVE,
	SNAP_TARGET_SUSPENDED,
	SNAP_TARGET_HANDED_OVER,
	SNAP_TARGET_ORPHANED,
};

/**
 * struct snap_target - a snapshot target, or one that merges a snapshot
 * @ti:         the target
 * @origin_dev: origin device
 * @cow_dev:    COW device
 * @uses:       of both devices
 * @state:      which snapshot it has, and why
 * @snap:       the snapshot, or NULL
 * @origin:     the origin
 * @merges:     it merges the snapshot
 * @new_merge:  of a target that merges: for a snapshot without dm_snapshot.merge, else NULL
 * @list:       in snap_origin.targets
 * @chunk_size: sectors of a chunk, as given in the table, or as the snapshot has it; 0 if neither
 * @persistent: exceptions are kept on the COW device
 * @overflow:   of a persistent snapshot: see dm_snapshot.overflow
 * @commits_writes: of a persistent snapshot: the opposite of dm_snapshot.defers
 * @discard_zeroes_cow:      a discard zeroes the chunk in the COW device
 * @discard_passdown_origin: a discard is passed to the origin, too
 *
 * @state, @snap and what a snapshot brings with it (@chunk_size, @persistent, @overflow) change
 * under snap_registry_lock, and only while the target maps no bio.
 */
struct snap_target {
	struct dm_target *ti;
	struct dm_dev *origin_dev;
	struct dm_dev *cow_dev;
	struct dm_scaled_use uses[2];
	enum snap_target_state state;
	struct dm_snapshot *snap;
	struct snap_origin *origin;
	bool merges;
	struct snap_merge *new_merge;
	struct list_head list;
	unsigned int chunk_size;
	bool persistent;
	bool overflow;
	bool commits_writes;
	bool discard_zeroes_cow;
	bool discard_passdown_origin;
};

/**
 * struct snap_bio - what a snapshot target remembers of a bio
 * @nr:    number of chunks; 0 if the bio is not in a bucket
 * @is_counted: it has one of snap_origin.reads, and is in no bucket
 * @node:  in snap_bucket.reads
 * @chunk: first chunk that is read from the origin, or written on the COW device during a merge
 * @flush: of a flush, which is in no bucket
 */
struct snap_bio {
	unsigned int nr;
	bool is_counted;
	union {
		struct {
			struct hlist_node node;
			u64 chunk;
		};
		struct snap_log_flush flush;
	};
};

/* Sector of the origin, and of the table, at which a target ends. */
static inline sector_t snap_target_end(const struct dm_target *ti)
{
	return ti->begin + ti->len;
}

/*
 * Where a snapshot ends, and how many chunks its persistent store needs for that. Changes while
 * the origin is quiet.
 */
static inline void snap_set_end(struct dm_snapshot *snap, sector_t end)
{
	WRITE_ONCE(snap->end, end);
	WRITE_ONCE(snap->store.needed,
		   (end + snap->store.chunk_size - 1) >> snap->store.chunk_shift);
}

static inline u64 snap_chunk(const struct dm_snapshot *snap, sector_t sector)
{
	return sector >> snap->store.chunk_shift;
}

/* As snap_exception_lookup_run(), which is not as fast for the one chunk of a small bio. */
static inline bool snap_lookup(struct dm_snapshot *snap, u64 chunk, u64 max, u64 *new, u64 *nr)
{
	if (likely(max == 1)) {
		*nr = 1;
		return snap_exception_lookup(&snap->exceptions, chunk, new);
	}
	return snap_exception_lookup_run(&snap->exceptions, chunk, max, new, nr);
}

/* Chunks that a bio has any sector of. */
static inline u64 snap_bio_chunks(const struct dm_snapshot *snap, const struct bio *bio)
{
	unsigned int before = bio->bi_iter.bi_sector & (snap->store.chunk_size - 1);

	return (before + bio_sectors(bio) - 1ULL + snap->store.chunk_size) >>
	       snap->store.chunk_shift;
}

/* Chunks that a bio has all of, from its beginning on; 0 if it begins within one. */
static inline u64 snap_full_chunks(const struct dm_snapshot *snap, const struct bio *bio)
{
	if (bio->bi_iter.bi_sector & (snap->store.chunk_size - 1))
		return 0;
	return bio_sectors(bio) >> snap->store.chunk_shift;
}

/* Sectors from where a bio begins to the end of @nr chunks from @chunk, its first, on. */
static inline sector_t snap_room(const struct dm_snapshot *snap, const struct bio *bio, u64 chunk,
				 u64 nr)
{
	return ((chunk + nr) << snap->store.chunk_shift) - bio->bi_iter.bi_sector;
}

/* Maps no more of a bio, in a map function, than is in @nr chunks from @chunk, its first, on. */
static inline void snap_cut(const struct dm_snapshot *snap, struct bio *bio, u64 chunk, u64 nr)
{
	sector_t room = snap_room(snap, bio, chunk, nr);

	if (unlikely(bio_sectors(bio) > room))
		dm_accept_partial_bio(bio, room);
}

/* Moves a bio, of the COW device already, to the copy of the chunk it begins in. */
static inline void snap_remap_sector(const struct dm_snapshot *snap, struct bio *bio, u64 new)
{
	sector_t offset = bio->bi_iter.bi_sector & (snap->store.chunk_size - 1);

	bio->bi_iter.bi_sector = (new << snap->store.chunk_shift) + offset;
}

/* Points a bio at the COW device's copy of the chunk it begins in. */
static inline void snap_remap(const struct dm_snapshot *snap, struct bio *bio, u64 new)
{
	bio_set_dev(bio, snap->store.cow);
	snap_remap_sector(snap, bio, new);
}

/* dm-snap-pending.c */

int snap_buckets_init(struct dm_snapshot *snap);
void snap_buckets_exit(struct dm_snapshot *snap);

/* After so many ticks is tried again what finds SNAP_COPY_PARK and cannot wait. */
#define SNAP_PARK	max(1, HZ / 100)

/**
 * enum snap_copy - what a write to the origin has to do about a chunk; the worse, the larger
 * @SNAP_COPY_NOT_NEEDED: nothing: it has been copied, or need not be
 * @SNAP_COPY_PENDING:    wait: it is being, or is going to be copied
 * @SNAP_COPY_PARK:       try again later: there is no memory, or the snapshot is becoming invalid
 */
enum snap_copy {
	SNAP_COPY_NOT_NEEDED,
	SNAP_COPY_PENDING,
	SNAP_COPY_PARK,
};

/**
 * struct snap_pending_list - new pending exceptions for an origin write
 * @first: the first, or NULL
 * @last:  the last, or NULL
 */
struct snap_pending_list {
	struct snap_pending *first;
	struct snap_pending *last;
};

/**
 * snap_pending_find() - find or make the pending exception of chunks
 * @snap:     snapshot
 * @chunk:    first chunk of the origin that has to be copied before it is written
 * @nr:       how many chunks are going to be written; set to the number of those, from @chunk on,
 *            that the answer is for
 * @bio:      bio that has to wait, or NULL; it is attached if the exception is new
 * @spare:    memory from snap_pending_wait(), set to NULL if it was used; may point at NULL, or be
 *            NULL
 * @pe:       set to a new pending exception, which the caller starts with snap_pending_start(), or
 *            NULL
 *
 * Context: process context, in a read section of the origin's SRCU; waits for nothing.
 * Return: what the write has to do.
 */
enum snap_copy snap_pending_find(struct dm_snapshot *snap, u64 chunk, u64 *nr, struct bio *bio,
				 struct snap_pending **spare, struct snap_pending **pe);

/**
 * snap_pending_wait() - wait until snap_pending_find() can do better than SNAP_COPY_PARK
 * @snap: snapshot; the caller's reference to it is the spare's afterwards, or released
 *
 * Does not touch @pending_refs of the snapshot, which may be draining.
 *
 * Context: process context, but not a worker, and in no read section of the origin's SRCU; the
 * caller holds no pending exception that is not started.
 * Return: memory for a pending exception, to be given to snap_pending_find() or to
 * snap_pending_spare_free(); NULL if the snapshot is invalid.
 */
struct snap_pending *snap_pending_wait(struct dm_snapshot *snap);

/**
 * snap_pending_spare_free() - give up memory that snap_pending_wait() has got, and its reference
 * @spare: the memory
 *
 * Context: any but NMI, does not sleep.
 */
void snap_pending_spare_free(struct snap_pending *spare);

/**
 * snap_park() - have a write to the origin mapped again after a while
 * @snap: snapshot that has returned SNAP_COPY_PARK for it
 * @bio:  the write
 *
 * For what a worker would else wait for. That is rare: most pending exceptions of a write are made
 * when it is mapped first, in a task that waits for the memory of the first one.
 *
 * Context: process context, in a read section of the origin's SRCU.
 */
void snap_park(struct dm_snapshot *snap, struct bio *bio);

/**
 * snap_pending_chain() - put a new pending exception at the end of a list of such
 * @list: list of pending exceptions for the same origin write
 * @pe:   one more; those of the same sectors, which are read once, follow each other
 */
void snap_pending_chain(struct snap_pending_list *list, struct snap_pending *pe);

/**
 * snap_pending_attach() - make a bio wait for the last of a list of pending exceptions
 * @list: not empty, and not started yet, so that none of it has ended
 * @bio:  write to the origin
 */
void snap_pending_attach(struct snap_pending_list *list, struct bio *bio);

/**
 * snap_pending_start() - copy chunks of one origin for several snapshots
 * @list: the first of a list that snap_pending_chain() has made, or NULL
 *
 * Context: process context, any thread; may be called in a map function. Waits for nothing: without
 * memory for a job the rest of the list is started by a worker, as soon as there is some.
 */
void snap_pending_start(struct snap_pending *list);

/**
 * snap_pending_join() - make a bio wait for the copying of some chunk
 * @snap:  snapshot
 * @chunk: first chunk of the origin that the bio is going to write
 * @nr:    number of chunks
 * @bio:   write to the origin
 *
 * Return: true if @bio will be mapped again when one of the chunks has been copied, false if none
 * is being copied.
 */
bool snap_pending_join(struct dm_snapshot *snap, u64 chunk, u64 nr, struct bio *bio);

/**
 * snap_pending_write() - write to chunks of the snapshot the first of which has not been copied
 * @snap:  snapshot
 * @chunk: chunk of the origin in which @bio begins
 * @bio:   write to the snapshot; cut where other chunks follow
 *
 * Context: a map function, may wait for other pending exceptions to end.
 * Return: what a map function returns.
 */
int snap_pending_write(struct dm_snapshot *snap, u64 chunk, struct bio *bio);

/**
 * snap_pending_lookup() - find chunks of which snap_lookup() knows nothing
 * @snap:  snapshot
 * @chunk: first chunk of the origin
 * @nr:    how many chunks are of interest; set to the number of those, from @chunk on, that the
 *         answer is for
 * @new:   set to the first chunk of the COW device if they have been copied
 *
 * Return: whether they have been copied.
 */
bool snap_pending_lookup(struct dm_snapshot *snap, u64 chunk, u64 *nr, u64 *new);

/**
 * snap_buckets_are_empty() - whether nothing is pending for any of some chunks
 * @snap:  snapshot
 * @chunk: first chunk of the origin
 * @nr:    number of chunks
 *
 * If it is so, snap_lookup() finds, afterwards, all exceptions that any write has made which ended
 * before this was asked.
 *
 * Context: any, without a lock.
 */
bool snap_buckets_are_empty(struct dm_snapshot *snap, u64 chunk, u64 nr);

/**
 * snap_read_track() - remember that chunks are read from the origin
 * @snap:  snapshot
 * @chunk: first chunk of the origin
 * @nr:    how many chunks are to be read; set to the number of those, from @chunk on, that the
 *         answer is for
 * @sb:    what is known about the bio
 * @new:   set to the first chunk of the COW device if they have been copied
 *
 * Return: true if the origin's chunks may be read until snap_read_done() is called; false if there
 * are exceptions, and @nr chunks from @new on are to be read.
 */
bool snap_read_track(struct dm_snapshot *snap, u64 chunk, u64 *nr, struct snap_bio *sb, u64 *new);

/**
 * snap_read_done() - a tracked read has ended
 * @snap: snapshot
 * @sb:   what is known about the bio
 *
 * Context: any.
 */
void snap_read_done(struct dm_snapshot *snap, struct snap_bio *sb);

/**
 * snap_copies_wait() - wait while too many chunks are being copied
 * @snap: snapshot
 *
 * Called once when snap_copies_exceeded() says so, which may be wrong by a little; this is not.
 *
 * Context: process context, but not a worker of the snapshot's; the caller holds no pending
 * exception that is not started, has a reference to @snap or is a bio of its target, and is in no
 * read section of the origin's SRCU.
 */
void snap_copies_wait(struct dm_snapshot *snap);

/**
 * snap_copies_are_enough() - whether so many copies are as many as there may be at a time
 * @chunks: chunks of a snapshot
 */
bool snap_copies_are_enough(u64 chunks);

/**
 * snap_copies_exceeded() - whether a write should wait before it starts a copy
 * @snap: snapshot
 */
bool snap_copies_exceeded(struct dm_snapshot *snap);

/**
 * snap_pending_logged() - an exception is in the log, or never will be
 * @entry:  of a pending exception
 * @failed: it never will be
 *
 * Context: process context, a worker of the engine's client.
 */
void snap_pending_logged(struct snap_log_entry *entry, bool failed);

/**
 * snap_pending_hurry() - retire soon those pending exceptions that nobody waits for
 * @snap: the snapshot, as for snap_pending_drain()
 *
 * Context: any.
 */
void snap_pending_hurry(struct dm_snapshot *snap);

/**
 * snap_pending_drain() - wait until all pending exceptions of a snapshot have been retired
 * @snap: the snapshot; nobody writes to it, and no write to its origin sees it: a grace period has
 *        passed, so that nobody gets a reference to @pending_refs meanwhile
 *
 * Context: process context; must hold nothing that a copy or a worker of the engine waits for.
 */
void snap_pending_drain(struct dm_snapshot *snap);

/**
 * snap_pending_none() - whether a snapshot has no pending exception
 * @snap: the snapshot, as for snap_pending_drain()
 *
 * Context: any.
 */
bool snap_pending_none(const struct dm_snapshot *snap);

int snap_pending_init(void);
void snap_pending_exit(void);

/* dm-snap-origin.c */

/*
 * Protects the registry of origins, and which target has which snapshot. It is a spinlock because
 * all snapshots of the host share it: nothing that does I/O, suspends a device, waits for a grace
 * period or allocates memory may be done under it. Nests inside dm_snapshot.lock.
 */
extern spinlock_t snap_registry_lock;

/**
 * snap_origin_get() - find or make the origin that stands for a device
 * @bdev: the device
 *
 * Context: process context, may sleep; must not hold snap_registry_lock.
 * Return: the origin, to be released with snap_origin_put(), or NULL without memory.
 */
struct snap_origin *snap_origin_get(struct block_device *bdev);

/**
 * snap_origin_put() - release an origin
 * @origin: the origin
 *
 * Context: process context, may sleep; must not hold snap_registry_lock.
 */
void snap_origin_put(struct snap_origin *origin);

/**
 * snap_origin_track_reads() - get ready for writes to an origin
 * @origin: origin, which a target is going to write to when this has returned 0
 *
 * Reads by snapshots were only counted before. Those that are under way end first, and from now on
 * all are tracked. Nothing is to be done the next time.
 *
 * Context: process context, waits for reads of the origin's device.
 * Return: 0, or -EINTR if the task was killed meanwhile.
 */
int snap_origin_track_reads(struct snap_origin *origin);

/**
 * snap_origin_attach() - let an origin's writes be seen by a snapshot
 * @origin: the origin, quiet
 * @snap:   the snapshot
 *
 * Context: holds snap_registry_lock.
 */
void snap_origin_attach(struct snap_origin *origin, struct dm_snapshot *snap);

/**
 * snap_origin_detach() - no longer let an origin's writes be seen by a snapshot
 * @origin: the origin
 * @snap:   the snapshot; unused by writes after a grace period of @origin->srcu
 *
 * Context: holds snap_registry_lock.
 */
void snap_origin_detach(struct snap_origin *origin, struct dm_snapshot *snap);

/**
 * snap_origin_quiesce() - stop writes to an origin
 * @origin: the origin
 * @except: a device that is not to be stopped: the caller's own
 *
 * Context: process context; must not hold snap_registry_lock.
 * Return: what is to be given to snap_origin_resume().
 */
struct mapped_device *snap_origin_quiesce(struct snap_origin *origin,
					  struct mapped_device *except);

/**
 * snap_origin_is_quiet() - whether what snap_origin_quiesce() has stopped is still all there is
 * @origin: the origin
 * @md:     from snap_origin_quiesce()
 * @except: as given to snap_origin_quiesce()
 *
 * Context: holds snap_registry_lock.
 * Return: true, and it stays so while the lock is held; or false: a target has been resumed since.
 */
bool snap_origin_is_quiet(struct snap_origin *origin, const struct mapped_device *md,
			  const struct mapped_device *except);

/**
 * snap_origin_resume() - let writes to an origin go on
 * @md: from snap_origin_quiesce()
 */
void snap_origin_resume(struct mapped_device *md);

/**
 * snap_origin_has_only() - whether an origin's writes are seen by no other snapshot
 * @origin: the origin
 * @snap:   a snapshot, which the caller keeps from being freed
 *
 * Nobody is added while a write to the origin is under way, so that for it a yes stays true.
 *
 * Context: any.
 */
static inline bool snap_origin_has_only(const struct snap_origin *origin,
					const struct dm_snapshot *snap)
{
	return READ_ONCE(origin->snapshots.next) == &snap->list &&
	       READ_ONCE(snap->list.next) == &origin->snapshots;
}

/**
 * snap_origin_write() - see to it that what a write is going to overwrite has been copied
 * @origin: the origin
 * @bio:    write to @origin->bdev, of any length; in a map function, cut where a part of it is best
 *          mapped by itself
 * @retry:  the bio has been waiting already, and is mapped again by a worker, which does not wait
 *
 * Context: a map function, may sleep; or, with @retry, process context, waits for nothing.
 * Return: what a map function returns; DM_MAPIO_SUBMITTED if the bio waits for a copy, and is going
 * to be submitted after it.
 */
int snap_origin_write(struct snap_origin *origin, struct bio *bio, bool retry);

/**
 * snap_origin_copied() - a chunk of an origin has been copied, for those who wait for that
 * @origin: the origin
 *
 * Context: any.
 */
void snap_origin_copied(struct snap_origin *origin);

/**
 * snap_origin_copy_out() - see to it that a part of an origin has been copied for all snapshots
 * @origin:    the origin; to which no snapshot is attached meanwhile
 * @sector:    first sector
 * @count:     number of sectors
 * @may_go_on: whether to wait for copies, asked while waiting
 * @arg:       its argument
 *
 * Context: process context, not in a map function; waits for the copies, in no read section.
 * Return: false if @may_go_on did; copies may still be under way then.
 */
bool snap_origin_copy_out(struct snap_origin *origin, sector_t sector, sector_t count,
			  bool (*may_go_on)(void *arg), void *arg);

/**
 * snap_origin_wake() - have @may_go_on of snap_origin_copy_out() asked again
 * @origin: the origin
 *
 * Context: any.
 */
void snap_origin_wake(struct snap_origin *origin);

extern struct target_type snap_origin_target_type;

/* dm-snap-life.c */

/**
 * snap_get() - get a reference to a snapshot
 * @snap: a snapshot that a target or an origin's list has, or NULL
 *
 * Context: holds snap_registry_lock, so that the target does not lose it meanwhile, or is in the
 * read section of the origin's SRCU in which it has found the snapshot.
 * Return: @snap, which stays allocated until snap_put() is called.
 */
struct dm_snapshot *snap_get(struct dm_snapshot *snap);

/**
 * snap_put() - release a reference to a snapshot
 * @snap: from snap_get(), may be NULL
 *
 * Context: any.
 */
void snap_put(struct dm_snapshot *snap);

/**
 * snap_may_wait() - assert that the caller may wait for a snapshot: see @srcu of struct snap_origin
 * @snap: the snapshot
 *
 * Context: any; complains where the caller may not wait, on a kernel with lockdep.
 */
void snap_may_wait(struct dm_snapshot *snap);

/**
 * snap_invalidate() - give a snapshot up
 * @snap:   the snapshot
 * @reason: for the log: what happened
 *
 * Returns when that is durable.
 *
 * Context: process context, but not a worker; may be a map function.
 */
void snap_invalidate(struct dm_snapshot *snap, const char *reason);

/**
 * snap_invalidate_then() - give a snapshot up, without waiting
 * @snap:   the snapshot
 * @reason: for the log: what happened
 * @then:   @item.fn is run when that is durable, by a worker on this CPU, and calls
 *          dm_kcopyd_mq_release() for @snap->kcopyd as the last thing; or NULL
 *
 * Context: process context, does not sleep for long.
 * Return: true if the snapshot is invalid now, and @then is not used.
 */
bool snap_invalidate_then(struct dm_snapshot *snap, const char *reason,
			  struct dm_kcopyd_mq_ticket *then);

/**
 * snap_overflow() - a write to a snapshot finds no room on the COW device
 * @snap: the snapshot: takes no more writes, or becomes invalid
 *
 * Context: as for snap_invalidate().
 */
void snap_overflow(struct dm_snapshot *snap);

/* dm-snap-scaled.c */

/**
 * dm_snap_scaled_init() - what all snapshots share; dm_snap_scaled_exit() undoes this and the rest
 *
 * Return: 0 or a negative error, which has been logged.
 */
int dm_snap_scaled_init(void);

/**
 * dm_snap_scaled_register() - register the targets, all or none; once, after dm_snap_scaled_init()
 *
 * Return: 0 or a negative error, which has been logged.
 */
int dm_snap_scaled_register(void);

/**
 * dm_snap_scaled_take_over() - register the targets under the names of stock's, too
 *
 * All of these names, or none. Once, after dm_snap_scaled_register(); dm_snap_scaled_exit() gives
 * them back.
 *
 * Return: 0 or a negative error, which has been logged: -EEXIST, or -EBUSY in later kernels,
 * if dm-snapshot is loaded.
 */
int dm_snap_scaled_take_over(void);
void dm_snap_scaled_exit(void);

#endif /* DM_SNAP_SCALED_H */
