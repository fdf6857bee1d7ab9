/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a snapshot keeps copied chunks: hands out the chunks of the COW device.
 */
#ifndef DM_SNAP_STORE_H
#define DM_SNAP_STORE_H

#include <linux/blkdev.h>

#include "dm-snap-exception.h"

struct snap_batch;
struct snap_holes;

/**
 * struct snap_range - consecutive chunks of data
 * @start: index of the first
 * @end:   index after the last
 */
struct snap_range {
	u64 start;
	u64 end;
};

/**
 * struct snap_store - hands out chunks of a COW device
 * @cow:         the device; its size may grow
 * @chunk_size:  sectors of a chunk, a power of two
 * @chunk_shift: log2 of @chunk_size
 * @area_shift:  log2 of the exceptions in a chunk of metadata; 0 if there is no metadata
 * @batch_size:  chunks that a CPU takes at a time, at most
 * @needed:      of a persistent snapshot: chunks of the origin that it covers, for which stock must
 *               find room; 0 if that does not matter. May change at any time
 * @batches:     per CPU: chunks it has taken and not yet handed out
 * @lock:        protects the fields below; interrupts off, nests inside snap_batch.lock
 * @next:        first chunk that no CPU has taken, but for @holes
 * @holes:       chunks before @next that are free, to be taken first, from the last to the first
 * @free:        chunks in @holes
 * @granted:     chunks that a CPU could take last
 * @swept:       no batch has anything left that is older than the last decrease of @granted
 *
 * Chunks are counted by the index that they have among those of data, see dm-snap-disk.h; without
 * metadata that is their number. Each CPU hands out consecutive chunks, so that the block layer can
 * merge what it writes to them.
 */
struct snap_store {
	struct block_device *cow;
	unsigned int chunk_size;
	unsigned int chunk_shift;
	unsigned int area_shift;
	unsigned int batch_size;
	u64 needed;
	struct snap_batch __percpu *batches;

	spinlock_t lock ____cacheline_aligned_in_smp;	/* protects the fields below */
	u64 next;
	struct snap_holes *holes;
	u64 free;
	unsigned int granted;
	bool swept;
};

/**
 * snap_store_init() - set up an empty store
 * @store:      the store
 * @cow:        COW device, open for as long as the store exists
 * @chunk_size: sectors of a chunk, a power of two
 * @persistent: some chunks hold metadata, and are not handed out
 *
 * Return: 0 or -ENOMEM.
 */
int snap_store_init(struct snap_store *store, struct block_device *cow, unsigned int chunk_size,
		    bool persistent);

/* Chunks that fit into the device now, those of metadata among them. */
static inline u64 snap_store_chunks(const struct snap_store *store)
{
	return bdev_nr_sectors(store->cow) >> store->chunk_shift;
}

/**
 * snap_store_add_hole() - tell of free chunks between chunks in use
 * @store: the store, nothing of which has been handed out
 * @start: index of the first, after those told of before
 * @end:   index after the last
 *
 * Context: process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int snap_store_add_hole(struct snap_store *store, u64 start, u64 end);

/**
 * snap_store_set_next() - tell where chunks in use end
 * @store: the store, nothing of which has been handed out
 * @next:  index after the last chunk in use
 */
void snap_store_set_next(struct snap_store *store, u64 next);

/**
 * snap_store_exit() - free the store
 * @store: the store
 */
void snap_store_exit(struct snap_store *store);

/**
 * snap_store_alloc() - get unused chunks that follow each other
 * @store: the store
 * @want:  how many, at least one
 * @chunk: set to the number of the first
 *
 * Fails only if each chunk of data that fits into the device has been handed out.
 *
 * Context: interrupts are off.
 * Return: how many there are, at most @want; 0 if there is none.
 */
unsigned int snap_store_alloc(struct snap_store *store, unsigned int want, u64 *chunk);

/**
 * snap_store_usage() - tell how full the store is
 * @store:     the store
 * @allocated: set to the sectors of the chunks handed out, and of the metadata that goes with them
 * @total:     set to the sectors of the device
 *
 * Context: process context.
 */
void snap_store_usage(struct snap_store *store, sector_t *allocated, sector_t *total);

#endif /* DM_SNAP_STORE_H */
