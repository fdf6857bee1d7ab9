/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a snapshot keeps copied chunks: the transient exception store.
 */
#ifndef DM_SNAP_STORE_H
#define DM_SNAP_STORE_H

#include <linux/blkdev.h>

#include "dm-snap-exception.h"

struct snap_batch;

/**
 * struct snap_store - hands out chunks of a COW device
 * @cow:         the device; its size may grow
 * @chunk_size:  sectors of a chunk, a power of two
 * @chunk_shift: log2 of @chunk_size
 * @batch_size:  chunks that a CPU takes at a time
 * @batches:     per CPU: chunks it has taken and not yet handed out
 * @lock:        protects @next; interrupts off, nests inside snap_batch.lock
 * @next:        first chunk that no CPU has taken
 *
 * Each CPU hands out consecutive chunks, so that the block layer can merge what it writes to them.
 */
struct snap_store {
	struct block_device *cow;
	unsigned int chunk_size;
	unsigned int chunk_shift;
	unsigned int batch_size;
	struct snap_batch __percpu *batches;

	spinlock_t lock ____cacheline_aligned_in_smp;	/* protects @next */
	u64 next;
};

/**
 * snap_store_init() - set up an empty store
 * @store:      the store
 * @cow:        COW device, open for as long as the store exists
 * @chunk_size: sectors of a chunk, a power of two
 *
 * Return: 0 or -ENOMEM.
 */
int snap_store_init(struct snap_store *store, struct block_device *cow, unsigned int chunk_size);

/**
 * snap_store_exit() - free the store
 * @store: the store
 */
void snap_store_exit(struct snap_store *store);

/**
 * snap_store_alloc() - get an unused chunk
 * @store: the store
 * @chunk: set to the number of the chunk
 *
 * Fails only if each chunk that fits into the device has been handed out.
 *
 * Context: interrupts are off.
 * Return: true if there was one.
 */
bool snap_store_alloc(struct snap_store *store, u64 *chunk);

/**
 * snap_store_usage() - tell how full the store is
 * @store:     the store
 * @allocated: set to the sectors of the chunks handed out
 * @total:     set to the sectors of the device
 * @metadata:  set to the sectors that hold metadata: none
 *
 * Context: process context.
 */
void snap_store_usage(struct snap_store *store, sector_t *allocated, sector_t *total,
		      sector_t *metadata);

#endif /* DM_SNAP_STORE_H */
