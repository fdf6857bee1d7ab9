// SPDX-License-Identifier: GPL-2.0-only
/*
 * The store: chunks are handed out from the start of the COW device to its end.
 */
#include <linux/mm.h>
#include <linux/percpu.h>

#include "compat.h"
#include "dm-snap-disk.h"
#include "dm-snap-store.h"

/*
 * Long enough for the writes of a busy CPU to merge; short enough to leave few holes in use. What a
 * persistent snapshot has not used of a batch is a hole until the snapshot is loaded again, which
 * stock does not see: there it is as long as what the engine writes with one bio.
 */
#define SNAP_BATCH_CHUNKS	64
#define SNAP_BATCH_PERSISTENT	16

/**
 * struct snap_batch - consecutive chunks that a CPU hands out
 * @lock: protects both fields; interrupts off, nests inside snap_bucket.lock
 * @next: next to be handed out
 * @end:  chunk after the last one
 *
 * Touched by other CPUs only for the last chunks of the device, and for status.
 */
struct snap_batch {
	spinlock_t lock;	/* protects both fields */
	u64 next;
	u64 end;
};

/* Chunks that the device has for data. */
static u64 snap_store_capacity(const struct snap_store *store)
{
	u64 chunks = snap_store_chunks(store);

	return store->area_shift ? snap_data_capacity(store->area_shift, chunks) : chunks;
}

static bool snap_batch_take(struct snap_batch *batch, u64 *chunk)
	__must_hold(&batch->lock)
{
	lockdep_assert_held(&batch->lock);

	if (batch->next == batch->end)
		return false;
	*chunk = batch->next++;
	return true;
}

static void snap_batch_refill(struct snap_store *store, struct snap_batch *batch)
	__must_hold(&batch->lock)
{
	u64 capacity = snap_store_capacity(store);

	lockdep_assert_held(&batch->lock);

	spin_lock(&store->lock);
	if (store->nr_holes) {
		struct snap_range *hole = &store->holes[store->nr_holes - 1];

		batch->end = hole->end;
		batch->next = hole->end - min_t(u64, hole->end - hole->start, store->batch_size);
		store->free -= batch->end - batch->next;
		hole->end = batch->next;
		if (hole->start == hole->end)
			store->nr_holes--;
	} else if (store->next < capacity) {
		batch->next = store->next;
		batch->end = min_t(u64, batch->next + store->batch_size, capacity);
		store->next = batch->end;
	}
	spin_unlock(&store->lock);
}

/*
 * The device has been divided up. What other CPUs have left is taken chunk by chunk, never moved
 * from batch to batch, so that none is overlooked: if all batches are found empty the device is
 * full.
 */
static bool snap_batch_steal(struct snap_store *store, u64 *chunk)
{
	bool got = false;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct snap_batch *batch = per_cpu_ptr(store->batches, cpu);

		spin_lock(&batch->lock);
		got = snap_batch_take(batch, chunk);
		spin_unlock(&batch->lock);
		if (got)
			break;
	}
	return got;
}

bool snap_store_alloc(struct snap_store *store, u64 *chunk)
{
	struct snap_batch *batch = this_cpu_ptr(store->batches);
	bool got;

	dm_scaled_assert_irqs_off();

	spin_lock(&batch->lock);
	if (batch->next == batch->end)
		snap_batch_refill(store, batch);
	got = snap_batch_take(batch, chunk);
	spin_unlock(&batch->lock);

	if (unlikely(!got) && !snap_batch_steal(store, chunk))
		return false;
	if (store->area_shift)
		*chunk = snap_data_chunk(store->area_shift, *chunk);
	return true;
}

void snap_store_usage(struct snap_store *store, sector_t *allocated, sector_t *total)
{
	u64 used, left = 0;
	int cpu;

	/* Batches first: one that is refilled meanwhile counts as used, which it soon will be. */
	for_each_possible_cpu(cpu) {
		struct snap_batch *batch = per_cpu_ptr(store->batches, cpu);

		spin_lock_irq(&batch->lock);
		left += batch->end - batch->next;
		spin_unlock_irq(&batch->lock);
	}
	spin_lock_irq(&store->lock);
	used = store->next - store->free - left;
	spin_unlock_irq(&store->lock);

	/* Areas are counted as if those chunks had no holes between them. */
	if (store->area_shift)
		used = snap_data_chunk(store->area_shift, used);

	*allocated = used << store->chunk_shift;
	*total = bdev_nr_sectors(store->cow);
}

void snap_store_set_used(struct snap_store *store, u64 next, struct snap_range *holes,
			 unsigned int nr)
{
	unsigned int i;

	store->next = next;
	store->holes = holes;
	store->nr_holes = nr;
	store->free = 0;
	for (i = 0; i < nr; i++)
		store->free += holes[i].end - holes[i].start;
}

int snap_store_init(struct snap_store *store, struct block_device *cow, unsigned int chunk_size,
		    bool persistent)
{
	int cpu;

	store->cow = cow;
	store->chunk_size = chunk_size;
	store->chunk_shift = __ffs(chunk_size);
	store->area_shift = persistent ? snap_area_shift(chunk_size) : 0;
	snap_store_set_used(store, 0, NULL, 0);
	spin_lock_init(&store->lock);
	/* Near the end of a small device there should be more to do than to steal. */
	store->batch_size = clamp_t(u64, div_u64(snap_store_capacity(store),
						 4 * num_possible_cpus()),
				    1, persistent ? SNAP_BATCH_PERSISTENT : SNAP_BATCH_CHUNKS);

	store->batches = alloc_percpu(struct snap_batch);
	if (!store->batches)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		spin_lock_init(&per_cpu_ptr(store->batches, cpu)->lock);
	return 0;
}

void snap_store_exit(struct snap_store *store)
{
	free_percpu(store->batches);
	kvfree(store->holes);
}
