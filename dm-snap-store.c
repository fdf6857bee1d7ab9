// SPDX-License-Identifier: GPL-2.0-only
/*
 * The store: chunks are handed out from the start of the COW device to its end.
 *
 * What a persistent snapshot's CPUs have not used of their batches is lost to stock: it goes on
 * after the highest chunk in use. (We find such chunks when the snapshot is loaded, and hand them
 * out first.) So that stock has room for all chunks of the origin on a COW device that is just as
 * large as that needs, as LVM makes them, batches are bounded: all CPUs together never have more
 * left than the device has chunks to spare. Where it has none, each chunk is taken by itself, with
 * the store's lock. On a device that cannot hold all chunks of the origin, batches have at most an
 * eighth of what is left.
 *
 * When batches become smaller, as the device has grown to the size that is just enough, or fills
 * up, CPUs take what the larger ones have left before they take new chunks.
 */
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "compat.h"
#include "dm-snap-disk.h"
#include "dm-snap-store.h"

/*
 * Long enough for the writes of a busy CPU to merge; short enough to leave few holes in use. What a
 * persistent snapshot has not used of a batch is a hole until the snapshot is loaded again: there
 * it is as long as what the engine writes with one bio.
 */
#define SNAP_BATCH_CHUNKS	64
#define SNAP_BATCH_PERSISTENT	16

/* Additions of what the batches have left, while others are refilling theirs. */
#define SNAP_USAGE_TRIES	4
#define SNAP_HOLES	((SZ_4K - 2 * sizeof(void *)) / sizeof(struct snap_range))

/**
 * struct snap_holes - some of the free chunks between used ones
 * @prev:   holes before these
 * @nr:     number of @ranges
 * @ranges: in ascending order
 *
 * A page, so that any number of holes needs no large allocation.
 */
struct snap_holes {
	struct snap_holes *prev;
	unsigned int nr;
	struct snap_range ranges[SNAP_HOLES];
};

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

/* Chunks that a CPU may take at a time now. */
static unsigned int snap_store_batch(const struct snap_store *store, u64 capacity)
{
	u64 needed = READ_ONCE(store->needed), spare;

	/* Stock uses a chunk more where the device ends with an area: snap_data_capacity(). */
	if (capacity + 1 >= needed)
		spare = capacity > needed ? capacity - needed : 0;
	else
		spare = (capacity - min(store->next, capacity)) / 8;
	/* At least one chunk of a batch is used. */
	return min_t(u64, 1 + div_u64(spare, num_possible_cpus()), store->batch_size);
}

/* Takes chunks out of the last hole. */
static void snap_batch_fill_hole(struct snap_store *store, struct snap_batch *batch,
				 unsigned int nr)
	__must_hold(&store->lock)
{
	struct snap_holes *holes = store->holes;
	struct snap_range *hole = &holes->ranges[holes->nr - 1];

	batch->end = hole->end;
	batch->next = hole->end - min_t(u64, hole->end - hole->start, nr);
	store->free -= batch->end - batch->next;
	hole->end = batch->next;
	if (hole->start < hole->end || --holes->nr)
		return;
	store->holes = holes->prev;
	kfree(holes);
}

static void snap_batch_refill(struct snap_store *store, struct snap_batch *batch)
	__must_hold(&batch->lock)
{
	u64 capacity = snap_store_capacity(store);
	unsigned int nr;

	lockdep_assert_held(&batch->lock);

	spin_lock(&store->lock);
	nr = store->area_shift ? snap_store_batch(store, capacity) : store->batch_size;
	if (store->holes) {
		snap_batch_fill_hole(store, batch, nr);
	} else if (store->next < capacity) {
		if (nr < store->granted)
			store->swept = false;
		store->granted = nr;
		if (likely(store->swept)) {
			batch->next = store->next;
			batch->end = min_t(u64, batch->next + nr, capacity);
			store->next = batch->end;
		}
	}
	spin_unlock(&store->lock);
}

/* All batches were found empty. Returns whether there is something to take all the same. */
static bool snap_store_set_swept(struct snap_store *store)
{
	bool more;

	spin_lock(&store->lock);
	store->swept = true;
	more = store->next < snap_store_capacity(store);
	spin_unlock(&store->lock);
	return more;
}

/*
 * The device has been divided up, or batches have become smaller. What other CPUs have left is
 * taken chunk by chunk, never moved from batch to batch, so that none is overlooked: if all batches
 * are found empty the device is full.
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

static bool snap_store_take(struct snap_store *store, u64 *chunk)
{
	struct snap_batch *batch = this_cpu_ptr(store->batches);
	bool got;

	spin_lock(&batch->lock);
	if (batch->next == batch->end)
		snap_batch_refill(store, batch);
	got = snap_batch_take(batch, chunk);
	spin_unlock(&batch->lock);
	return got;
}

bool snap_store_alloc(struct snap_store *store, u64 *chunk)
{
	dm_scaled_assert_irqs_off();

	while (unlikely(!snap_store_take(store, chunk))) {
		if (snap_batch_steal(store, chunk))
			break;
		if (!snap_store_set_swept(store))
			return false;
	}
	if (store->area_shift)
		*chunk = snap_data_chunk(store->area_shift, *chunk);
	return true;
}

/* Chunks that the batches have got, used ones and others. */
static u64 snap_store_given(struct snap_store *store)
{
	u64 given;

	spin_lock_irq(&store->lock);
	given = store->next - store->free;
	spin_unlock_irq(&store->lock);
	return given;
}

/* Chunks that are left in the batches. */
static u64 snap_store_left(struct snap_store *store)
{
	u64 left = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct snap_batch *batch = per_cpu_ptr(store->batches, cpu);

		spin_lock_irq(&batch->lock);
		left += batch->end - batch->next;
		spin_unlock_irq(&batch->lock);
	}
	return left;
}

void snap_store_usage(struct snap_store *store, sector_t *allocated, sector_t *total)
{
	u64 used, before, given = snap_store_given(store);
	unsigned int i = 0;

	/*
	 * A batch that is refilled while they are added up would count as used. If that happens
	 * again and again they soon will be.
	 */
	do {
		before = given;
		used = snap_store_left(store);
		given = snap_store_given(store);
	} while (given != before && ++i < SNAP_USAGE_TRIES);
	used = given - used;

	/* Areas are counted as if those chunks had no holes between them. */
	if (store->area_shift)
		used = snap_data_chunk(store->area_shift, used);

	*allocated = used << store->chunk_shift;
	*total = bdev_nr_sectors(store->cow);
}

int snap_store_add_hole(struct snap_store *store, u64 start, u64 end)
{
	struct snap_holes *holes = store->holes;

	if (!holes || holes->nr == SNAP_HOLES) {
		holes = kmalloc(sizeof(*holes), GFP_KERNEL);
		if (!holes)
			return -ENOMEM;
		holes->prev = store->holes;
		holes->nr = 0;
		store->holes = holes;
	}
	holes->ranges[holes->nr++] = (struct snap_range) { start, end };
	store->free += end - start;
	return 0;
}

void snap_store_set_next(struct snap_store *store, u64 next)
{
	store->next = next;
}

int snap_store_init(struct snap_store *store, struct block_device *cow, unsigned int chunk_size,
		    bool persistent)
{
	int cpu;

	store->cow = cow;
	store->chunk_size = chunk_size;
	store->chunk_shift = __ffs(chunk_size);
	store->area_shift = persistent ? snap_area_shift(chunk_size) : 0;
	store->needed = 0;
	store->next = 0;
	store->holes = NULL;
	store->free = 0;
	store->granted = 0;
	store->swept = true;
	spin_lock_init(&store->lock);
	BUILD_BUG_ON(sizeof(struct snap_holes) > SZ_4K);
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
	struct snap_holes *holes;

	free_percpu(store->batches);
	while ((holes = store->holes)) {
		store->holes = holes->prev;
		kfree(holes);
	}
}
