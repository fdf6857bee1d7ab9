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
 *
 * Chunks for a range of the origin are to follow each other. A short one gets what a batch has; if
 * that has too few for a long one, they are taken past it.
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

/* Who wants more than such a part of a batch does not wait for one in which it is. */
#define SNAP_RUNS_IN_BATCH	4

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

/*
 * Chunks that follow each other from index @next on, up to @end, of which @want are wanted: those
 * of data do up to the next chunk of metadata.
 */
static unsigned int snap_store_run(const struct snap_store *store, u64 next, u64 end,
				   unsigned int want)
{
	u64 nr = min_t(u64, end - next, want);

	if (store->area_shift)
		nr = min(nr, (1ULL << store->area_shift) -
			     (next & ((1ULL << store->area_shift) - 1)));
	return nr;
}

static unsigned int snap_batch_take(const struct snap_store *store, struct snap_batch *batch,
				    unsigned int want, u64 *chunk)
	__must_hold(&batch->lock)
{
	unsigned int nr = batch->next < batch->end;

	lockdep_assert_held(&batch->lock);

	if (unlikely(want > 1))
		nr = snap_store_run(store, batch->next, batch->end, want);

	*chunk = batch->next;
	batch->next += nr;
	return nr;
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

/* Takes up to @nr chunks, but not of two areas, out of the last hole; the first is @next. */
static unsigned int snap_store_fill_hole(struct snap_store *store, u64 *next, unsigned int nr)
	__must_hold(&store->lock)
{
	struct snap_holes *holes = store->holes;
	struct snap_range *hole = &holes->ranges[holes->nr - 1];
	u64 in_area = ((hole->end - 1) & ((1ULL << store->area_shift) - 1)) + 1;

	nr = min_t(u64, min(in_area, hole->end - hole->start), nr);
	hole->end -= nr;
	store->free -= nr;
	*next = hole->end;
	if (hole->start == hole->end && !--holes->nr) {
		store->holes = holes->prev;
		kfree(holes);
	}
	return nr;
}

/* Chunks that a CPU may take now; if they are fewer than before, what batches have comes first. */
static unsigned int snap_store_grant(struct snap_store *store, u64 capacity)
	__must_hold(&store->lock)
{
	unsigned int nr = store->area_shift ? snap_store_batch(store, capacity) : store->batch_size;

	if (!store->holes && store->next < capacity) {
		if (nr < store->granted)
			store->swept = false;
		store->granted = nr;
	}
	return nr;
}

/*
 * Takes up to @nr chunks that nobody has; the first is @next. Returns how many: none if all are
 * handed out, or what batches have comes first.
 */
static unsigned int snap_store_take_new(struct snap_store *store, u64 capacity, unsigned int nr,
					u64 *next)
	__must_hold(&store->lock)
{
	if (store->holes)
		return snap_store_fill_hole(store, next, nr);
	if (unlikely(!store->swept) || store->next >= capacity)
		return 0;
	nr = min_t(u64, capacity - store->next, nr);
	*next = store->next;
	store->next += nr;
	return nr;
}

static void snap_batch_refill(struct snap_store *store, struct snap_batch *batch)
	__must_hold(&batch->lock)
{
	u64 capacity = snap_store_capacity(store), next = 0;
	unsigned int nr;

	lockdep_assert_held(&batch->lock);

	spin_lock(&store->lock);
	nr = snap_store_grant(store, capacity);
	nr = snap_store_take_new(store, capacity, nr, &next);
	batch->next = next;
	batch->end = next + nr;
	spin_unlock(&store->lock);
}

/*
 * More than the CPU's batch has left, not by way of the batch: those chunks follow each other, and
 * none is left over.
 */
static unsigned int snap_store_take_run(struct snap_store *store, unsigned int want, u64 *chunk)
{
	u64 capacity = snap_store_capacity(store);
	unsigned int nr;

	spin_lock(&store->lock);
	snap_store_grant(store, capacity);
	if (!store->holes)
		want = snap_store_run(store, store->next, U64_MAX, want);
	nr = snap_store_take_new(store, capacity, want, chunk);
	spin_unlock(&store->lock);
	return nr;
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
 * handed out from where it is, never moved from batch to batch, so that none is overlooked: if all
 * batches are found empty the device is full.
 */
static unsigned int snap_batch_steal(struct snap_store *store, unsigned int want, u64 *chunk)
{
	unsigned int got = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct snap_batch *batch = per_cpu_ptr(store->batches, cpu);

		spin_lock(&batch->lock);
		got = snap_batch_take(store, batch, want, chunk);
		spin_unlock(&batch->lock);
		if (got)
			break;
	}
	return got;
}

static unsigned int snap_store_take(struct snap_store *store, unsigned int want, u64 *chunk)
{
	struct snap_batch *batch = this_cpu_ptr(store->batches);
	unsigned int got = 0;

	spin_lock(&batch->lock);
	if (unlikely(want > 1) && batch->end - batch->next < want &&
	    want > store->batch_size / SNAP_RUNS_IN_BATCH)
		got = snap_store_take_run(store, want, chunk);
	if (!got) {
		if (batch->next == batch->end)
			snap_batch_refill(store, batch);
		got = snap_batch_take(store, batch, want, chunk);
	}
	spin_unlock(&batch->lock);
	return got;
}

unsigned int snap_store_alloc(struct snap_store *store, unsigned int want, u64 *chunk)
{
	unsigned int got;

	dm_scaled_assert_irqs_off();

	while (unlikely(!(got = snap_store_take(store, want, chunk)))) {
		got = snap_batch_steal(store, want, chunk);
		if (got)
			break;
		if (!snap_store_set_swept(store))
			return 0;
	}
	if (store->area_shift)
		*chunk = snap_data_chunk(store->area_shift, *chunk);
	return got;
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
