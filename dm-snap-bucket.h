/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Buckets: what is under way to the chunks of a snapshot.
 */
#ifndef DM_SNAP_BUCKET_H
#define DM_SNAP_BUCKET_H

#include "dm-snap-scaled.h"

/**
 * struct snap_bucket - some of the chunks of a snapshot
 * @lock:    protects all fields and the pending exceptions; taken with interrupts off, as reads end
 *           in interrupt handlers
 * @pending: pending exceptions
 * @reads:   reads of the origin by the snapshot; or, while it is being merged, writes to the COW
 *           device
 *
 * In a cache line of its own: neighbouring chunks are written by different CPUs.
 */
struct snap_bucket {
	spinlock_t lock;	/* protects all fields */
	struct hlist_head pending;
	struct hlist_head reads;
} ____cacheline_aligned_in_smp;

static inline struct snap_bucket *snap_bucket_of(struct dm_snapshot *snap, u64 chunk)
{
	return &snap->buckets[chunk & snap->bucket_mask];
}

/* Number of tracked bios of a chunk. */
static inline unsigned int snap_bucket_count(struct snap_bucket *bucket, u64 chunk)
	__must_hold(&bucket->lock)
{
	struct snap_bio *sb;
	unsigned int nr = 0;

	lockdep_assert_held(&bucket->lock);

	hlist_for_each_entry(sb, &bucket->reads, node)
		if (sb->chunk == chunk)
			nr++;
	return nr;
}

/* Tracks a bio until snap_read_done() is called. */
static inline void snap_bucket_track(struct snap_bucket *bucket, u64 chunk, struct snap_bio *sb)
	__must_hold(&bucket->lock)
{
	lockdep_assert_held(&bucket->lock);

	sb->chunk = chunk;
	sb->tracked = true;
	hlist_add_head(&sb->node, &bucket->reads);
}

#endif /* DM_SNAP_BUCKET_H */
