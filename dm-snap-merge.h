/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Merging: what a snapshot has is copied back to its origin.
 */
#ifndef DM_SNAP_MERGE_H
#define DM_SNAP_MERGE_H

#include <linux/types.h>

struct bio;
struct block_device;
struct dm_snapshot;
struct snap_bio;
struct snap_merge;

/**
 * snap_merge_create() - make what the merge of a snapshot needs
 * @from: COW device, held until snap_merge_destroy()
 * @to:   origin device, likewise
 *
 * Context: process context, may sleep.
 * Return: to be given to snap_merge_destroy(), or NULL without memory.
 */
struct snap_merge *snap_merge_create(struct block_device *from, struct block_device *to);

/**
 * snap_merge_destroy() - free it
 * @merge: from snap_merge_create(); not running
 */
void snap_merge_destroy(struct snap_merge *merge);

/**
 * snap_merge_start() - begin to merge, or go on
 * @merge: the merge
 * @snap:  the snapshot, whose origin no longer sees it, and which has no pending exception: see
 *         snap_pending_drain(). If it has one the merge fails
 *
 * The merge is not running: it was not started yet, was stopped, or has come to its end. Each time
 * that it does by itself, also if there is nothing to merge, the target raises an event, and its
 * status tells before.
 *
 * Context: process context.
 */
void snap_merge_start(struct snap_merge *merge, struct dm_snapshot *snap);

/**
 * snap_merge_stop() - interrupt until snap_merge_start(), and wait until no chunk is being merged
 * @merge: the merge
 *
 * Context: process context; must not hold what a write to the origin may wait for.
 */
void snap_merge_stop(struct snap_merge *merge);

/**
 * snap_merge_pause() - interrupt for a while, and wait until no chunk is being merged
 * @merge: the merge
 *
 * Context: as for snap_merge_stop(). Pauses may overlap.
 */
void snap_merge_pause(struct snap_merge *merge);

/**
 * snap_merge_unpause() - end a pause
 * @merge: the merge
 */
void snap_merge_unpause(struct snap_merge *merge);

/**
 * snap_merge_restore() - make the disk's list sure again, as long as it was before the last batch
 * @merge: the merge, which is paused meanwhile
 *
 * A snapshot that is not merged any more needs that: of a chunk whose exception may be gone on disk
 * no write to the origin would make another copy.
 *
 * Context: process context, sleeps for I/O to the COW device.
 * Return: 0, or a negative error; then it is as unsure as before.
 */
int snap_merge_restore(struct snap_merge *merge);

/**
 * snap_merge_unsure() - whether nobody knows which of the last chunks the disk's list still has
 * @merge: the merge
 */
bool snap_merge_unsure(const struct snap_merge *merge);

/**
 * snap_merge_failed() - whether an error has ended the merge
 * @merge: the merge
 */
bool snap_merge_failed(const struct snap_merge *merge);

/**
 * snap_merge_bio_begins() - the merging target maps a bio: the merge gives way to it
 * @merge: the merge
 *
 * Context: a map function.
 */
void snap_merge_bio_begins(struct snap_merge *merge);

/**
 * snap_merge_bio_ends() - a bio for which snap_merge_bio_begins() was called has ended
 * @merge: the merge
 *
 * Context: any.
 */
void snap_merge_bio_ends(struct snap_merge *merge);

/* Where a write goes. */
enum snap_merge_way {
	SNAP_MERGE_TO_ORIGIN,	/* there is no exception */
	SNAP_MERGE_TO_COW,	/* it has been pointed there, and is tracked */
	SNAP_MERGE_WAITS,	/* it will be submitted to the origin */
	SNAP_MERGE_FAILS,
};

/**
 * snap_merge_write() - find out where a write goes
 * @merge: the merge
 * @snap:  the snapshot
 * @chunk: chunk of the origin in which the write begins
 * @bio:   the write; cut where its chunks go on elsewhere
 * @sb:    what is known about it
 *
 * Context: a map function.
 * Return: where it goes.
 */
enum snap_merge_way snap_merge_write(struct snap_merge *merge, struct dm_snapshot *snap, u64 chunk,
				     struct bio *bio, struct snap_bio *sb);

/**
 * snap_merge_write_done() - a write to the COW device has ended
 * @merge: the merge
 *
 * Context: any.
 */
void snap_merge_write_done(struct snap_merge *merge);

#endif /* DM_SNAP_MERGE_H */
