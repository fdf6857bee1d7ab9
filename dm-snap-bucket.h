/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Buckets: what is under way to the chunks of a snapshot.
 *
 * Neighbouring chunks are in the same bucket, so that a range of them needs one lock. A range that
 * is pending, or that is read from the origin, never lies in two buckets.
 */
#ifndef DM_SNAP_BUCKET_H
#define DM_SNAP_BUCKET_H

#include <linux/rbtree.h>

#include "dm-snap-scaled.h"

/**
 * struct snap_bucket - some of the chunks of a snapshot
 * @lock:    protects all fields and the pending exceptions; taken with interrupts off, as reads end
 *           in interrupt handlers
 * @pending: pending exceptions by their chunks; no two of them have the same
 * @reads:   reads of the origin by the snapshot; or, while it is being merged, writes to the COW
 *           device
 *
 * In a cache line of its own: chunks that lie near each other are written by different CPUs.
 */
struct snap_bucket {
	spinlock_t lock;	/* protects all fields */
	struct rb_root pending;
	struct hlist_head reads;
} ____cacheline_aligned_in_smp;

static inline struct snap_bucket *snap_bucket_of(struct dm_snapshot *snap, u64 chunk)
{
	return &snap->buckets[(chunk >> snap->bucket_shift) & snap->bucket_mask];
}

/* How many of @nr chunks from @chunk on are in its bucket, before chunks of the next one come. */
static inline u64 snap_bucket_chunks(const struct dm_snapshot *snap, u64 chunk, u64 nr)
{
	u64 chunks = 1ULL << snap->bucket_shift;

	return min(nr, chunks - (chunk & (chunks - 1)));
}

static inline bool snap_bio_overlaps(const struct snap_bio *sb, u64 chunk, u64 nr)
{
	return sb->chunk < chunk + nr && chunk < sb->chunk + sb->nr;
}

/* Number of tracked bios that have any of @nr chunks from @chunk on. */
static inline unsigned int snap_bucket_count(struct snap_bucket *bucket, u64 chunk, u64 nr)
	__must_hold(&bucket->lock)
{
	struct snap_bio *sb;
	unsigned int bios = 0;

	lockdep_assert_held(&bucket->lock);

	hlist_for_each_entry(sb, &bucket->reads, node)
		if (snap_bio_overlaps(sb, chunk, nr))
			bios++;
	return bios;
}

/* Tracks a bio for @nr chunks until snap_read_done() is called. */
static inline void snap_bucket_track(struct snap_bucket *bucket, u64 chunk, unsigned int nr,
				     struct snap_bio *sb)
	__must_hold(&bucket->lock)
{
	lockdep_assert_held(&bucket->lock);

	sb->chunk = chunk;
	sb->nr = nr;
	hlist_add_head(&sb->node, &bucket->reads);
}

#endif /* DM_SNAP_BUCKET_H */
