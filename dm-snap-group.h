/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A group: the exceptions of 256 neighbouring chunks of the origin.
 *
 * It holds them as a sorted array of runs. A run stands for consecutive chunks of the origin that
 * were copied to consecutive chunks of the COW device, in 64 bits:
 *
 *	63      56 55      48 47                                        0
 *	+---------+----------+------------------------------------------+
 *	| offset  | chunks   | chunk of the COW device                  |
 *	| in group| that     |                                          |
 *	|         | follow   |                                          |
 *	+---------+----------+------------------------------------------+
 *
 * A lone exception takes 32 bytes with its group; 256 that do not follow each other take 8 to 16
 * bytes each.
 *
 * A search in a group takes as long however many runs it has: with more than a few it has a map, a
 * bit for each of its chunks that is set where a run starts. The bits up to a chunk's, counted, are
 * the number of the run in which it must be.
 *
 * Whoever changes a group holds a lock of the caller's. Readers take none: the group's sequence
 * count tells them that it has changed under them.
 */
#ifndef DM_SNAP_GROUP_H
#define DM_SNAP_GROUP_H

#include <linux/bits.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/seqlock.h>
#include <linux/types.h>

#include "dm-snap-exception.h"

#define SNAP_GROUP_CHUNKS	BIT(SNAP_GROUP_BITS)
/* Runs of a group that are looked through one by one; one with room for more has a map. */
#define SNAP_GROUP_SMALL	5
/*
 * The map: a bit for each chunk, set where a run starts; then a word whose byte n has the number of
 * bits in the words before word n, at most 192.
 */
#define SNAP_GROUP_MAP_COUNTS	(SNAP_GROUP_CHUNKS / 64)
#define SNAP_GROUP_MAP_WORDS	(SNAP_GROUP_MAP_COUNTS + 1)

#define SNAP_RUN_NEW_MASK	GENMASK_ULL(SNAP_NEW_CHUNK_BITS - 1, 0)
#define SNAP_RUN_MORE_SHIFT	SNAP_NEW_CHUNK_BITS
#define SNAP_RUN_OFFSET_SHIFT	(SNAP_RUN_MORE_SHIFT + SNAP_GROUP_BITS)

/**
 * struct snap_group - exceptions of 256 neighbouring chunks of the origin
 * @next:     in the list of the hash table
 * @seq:      changes whenever anything below does; stays odd when the group has been replaced
 * @nr:       number of runs
 * @capacity: runs for which there is room
 * @rcu:      for freeing; overlays @words when the group has been replaced
 * @words:    number of the group; if there is room for more than SNAP_GROUP_SMALL runs, the map;
 *            then the sorted runs
 *
 * Written under the lock of the list. Read without: between a read of @seq and finding it
 * unchanged. All that shares the cache lines is the exceptions of near chunks.
 */
struct snap_group {
	struct snap_group __rcu *next;
	seqcount_t seq;
	u16 nr;
	u16 capacity;
	union {
		struct rcu_head rcu;
		DECLARE_FLEX_ARRAY(u64, words);
	};
};

static inline u64 snap_run_make(unsigned int offset, unsigned int more, u64 new)
{
	return (u64)offset << SNAP_RUN_OFFSET_SHIFT | (u64)more << SNAP_RUN_MORE_SHIFT | new;
}

static inline unsigned int snap_run_offset(u64 run)
{
	return run >> SNAP_RUN_OFFSET_SHIFT;
}

static inline unsigned int snap_run_more(u64 run)
{
	return (run >> SNAP_RUN_MORE_SHIFT) & (SNAP_GROUP_CHUNKS - 1);
}

/* Offset of its last chunk. */
static inline unsigned int snap_run_last(u64 run)
{
	return snap_run_offset(run) + snap_run_more(run);
}

static inline u64 snap_run_new(u64 run)
{
	return run & SNAP_RUN_NEW_MASK;
}

/* Whether @b continues @a in both devices. */
static inline bool snap_runs_touch(u64 a, u64 b)
{
	unsigned int length = snap_run_more(a) + 1;

	return snap_run_offset(b) == snap_run_offset(a) + length &&
	       snap_run_new(b) == snap_run_new(a) + length;
}

/* What @a, and @b which continues it, stand for. */
static inline u64 snap_runs_joined(u64 a, u64 b)
{
	return a + ((u64)(snap_run_more(b) + 1) << SNAP_RUN_MORE_SHIFT);
}

static inline bool snap_group_has_map(unsigned int capacity)
{
	return capacity > SNAP_GROUP_SMALL;
}

static inline u64 *snap_group_map(struct snap_group *g)
{
	return g->words + 1;
}

static inline u64 *snap_group_runs(struct snap_group *g)
{
	return g->words + 1 + (snap_group_has_map(g->capacity) ? SNAP_GROUP_MAP_WORDS : 0);
}

/**
 * snap_group_map_count() - count the runs that start at or before a chunk
 * @g:      the group; has a map
 * @offset: of the chunk in the group
 *
 * Not inline, so that who needs no map pays nothing.
 *
 * Context: any; without a lock the sequence count says whether the answer is right.
 * Return: number of bits of the map up to that of @offset.
 */
unsigned int snap_group_map_count(struct snap_group *g, unsigned int offset);

/*
 * Number of runs that start at or before @offset, at most @nr; an unlocked reader checks the
 * sequence later.
 */
static __always_inline unsigned int snap_group_search(struct snap_group *g, unsigned int nr,
						      unsigned int offset)
{
	const u64 *runs = snap_group_runs(g);
	unsigned int i = 0;

	if (snap_group_has_map(g->capacity))
		return min(snap_group_map_count(g, offset), nr);
	while (i < nr && snap_run_offset(READ_ONCE(runs[i])) <= offset)
		i++;
	return i;
}

/**
 * snap_group_gapless() - find the end of the exceptions that follow each other without a gap
 * @g:  the group
 * @nr: number of its runs
 * @i:  a run, less than @nr
 *
 * Context: as for snap_group_map_count().
 * Return: offset after the chunks from run @i on that were copied, in whatever order.
 */
unsigned int snap_group_gapless(struct snap_group *g, unsigned int nr, unsigned int i);

/**
 * snap_group_alloc_size() - how many bytes a group needs
 * @capacity: runs for which there is to be room, 1 to SNAP_GROUP_CHUNKS
 *
 * Return: the size of an allocation, a power of two.
 */
size_t snap_group_alloc_size(unsigned int capacity);

/**
 * snap_group_init() - set up an empty group
 * @g:        the group, in an allocation of snap_group_alloc_size(@capacity) bytes
 * @number:   of the group
 * @capacity: runs for which there is to be room; there is for as many as the allocation has
 */
void snap_group_init(struct snap_group *g, u64 number, unsigned int capacity);

/**
 * snap_group_copy() - copy the runs of a group to a larger one
 * @to:   the larger group, which nobody reads yet
 * @from: the group; the caller holds its lock
 */
void snap_group_copy(struct snap_group *to, struct snap_group *from);

/**
 * snap_group_insert() - enter a run, and join it with its neighbours where it continues them
 * @g:   the group; the caller holds its lock
 * @run: the run
 *
 * Return: 0, -EEXIST if one of the chunks has an exception, or -ENOSPC if there is no room.
 */
int snap_group_insert(struct snap_group *g, u64 run);

/**
 * snap_group_delete() - take chunks out of a run
 * @g:      the group; the caller holds its lock
 * @i:      the run
 * @offset: of the first of the chunks, which are the run's
 * @nr:     number of them
 *
 * Return: 0, or -ENOSPC if the run falls into two and there is no room for the second.
 */
int snap_group_delete(struct snap_group *g, unsigned int i, unsigned int offset, unsigned int nr);

/**
 * struct snap_group_addition - what is added to a group
 * @number: of the group
 * @nr:     number of @runs
 * @runs:   in ascending order
 */
struct snap_group_addition {
	u64 number;
	unsigned int nr;
	u64 runs[SNAP_GROUP_CHUNKS];
};

/**
 * snap_group_merge() - add many runs
 * @g:   the group; the caller holds its lock
 * @add: the runs. If there is no room for all, some chunk has two exceptions, as the caller has
 *       made room for as many as a group can have
 *
 * Return: the offset of a chunk that two runs have, or SNAP_GROUP_CHUNKS. In the former case some
 * of the runs are in the group and others are not.
 */
unsigned int snap_group_merge(struct snap_group *g, const struct snap_group_addition *add);

#endif /* DM_SNAP_GROUP_H */
