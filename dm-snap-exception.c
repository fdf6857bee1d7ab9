// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of completed exceptions.
 *
 * 256 neighbouring chunks of the origin form a group. A group holds its exceptions as a sorted
 * array of runs. A run stands for consecutive chunks of the origin that were copied to consecutive
 * chunks of the COW device, in 64 bits:
 *
 *	63      56 55      48 47                                        0
 *	+---------+----------+------------------------------------------+
 *	| offset  | chunks   | chunk of the COW device                  |
 *	| in group| that     |                                          |
 *	|         | follow   |                                          |
 *	+---------+----------+------------------------------------------+
 *
 * A lone exception takes 32 bytes with its group; 256 that do not follow each other take 8 to 16
 * bytes each. A look-up is a walk along a short list and a binary search.
 *
 * Readers take no lock. A group's sequence count tells a reader that the array changed under it.
 * With PREEMPT_RT a reader that sees a change under way waits for the lock that the writer holds.
 * An array that is full is replaced by a larger copy of the group; the old one is marked as
 * replaced, and freed after a grace period.
 */
#define DM_MSG_PREFIX "snap-exception"

#include <linux/cache.h>
#include <linux/device-mapper.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seqlock.h>
#include <linux/slab.h>

#include "dm-snap-exception.h"

#define GROUP_BITS		8
#define GROUP_CHUNKS		BIT(GROUP_BITS)
#define GROUP_MIN_SIZE		32U
#define GROUP_REPLACED		U16_MAX

#define MIN_HASH_BITS		6
/* 2 MiB of list heads. */
#define MAX_HASH_BITS		18
#define LOCK_BITS		8

#define NEW_MASK		GENMASK_ULL(SNAP_NEW_CHUNK_BITS - 1, 0)
#define MORE_SHIFT		SNAP_NEW_CHUNK_BITS
#define OFFSET_SHIFT		(MORE_SHIFT + GROUP_BITS)

/**
 * struct snap_exception_group - exceptions of 256 neighbouring chunks of the origin
 * @next:     in the list of the hash table
 * @seq:      changes whenever anything below does
 * @nr:       number of runs, or GROUP_REPLACED
 * @capacity: runs for which there is room
 * @rcu:      for freeing; overlays @words when the group has been replaced
 * @words:    number of the group, then the sorted runs
 *
 * Written under the lock of the list. Read without: between a read of @seq and finding it
 * unchanged. All that shares the cache lines is the exceptions of near chunks.
 */
struct snap_exception_group {
	struct snap_exception_group __rcu *next;
	seqcount_t seq;
	u16 nr;
	u16 capacity;
	union {
		struct rcu_head rcu;
		DECLARE_FLEX_ARRAY(u64, words);
	};
};

/**
 * struct snap_exception_lock - lock for adding to some of the lists
 * @lock: taken with interrupts off: a look-up in an interrupt handler, or under a lock that such a
 *        handler takes, must not wait for an addition that was interrupted. Look-ups take it with
 *        PREEMPT_RT only, see exceptions_wait()
 */
struct snap_exception_lock {
	spinlock_t lock;	/* for adding to some of the lists */
} ____cacheline_aligned_in_smp;

static u64 run_make(unsigned int offset, unsigned int more, u64 new)
{
	return (u64)offset << OFFSET_SHIFT | (u64)more << MORE_SHIFT | new;
}

static unsigned int run_offset(u64 run)
{
	return run >> OFFSET_SHIFT;
}

static unsigned int run_more(u64 run)
{
	return (run >> MORE_SHIFT) & (GROUP_CHUNKS - 1);
}

static u64 run_new(u64 run)
{
	return run & NEW_MASK;
}

/* Whether @b continues @a in both devices. */
static bool runs_touch(u64 a, u64 b)
{
	unsigned int length = run_more(a) + 1;

	return run_offset(b) == run_offset(a) + length && run_new(b) == run_new(a) + length;
}

static u64 *group_runs(struct snap_exception_group *g)
{
	return g->words + 1;
}

static size_t group_size(unsigned int capacity)
{
	return offsetof(struct snap_exception_group, words) + (capacity + 1) * sizeof(u64);
}

/* Number of runs that start at or before @offset; an unlocked reader checks the sequence later. */
static unsigned int group_search(struct snap_exception_group *g, unsigned int nr,
				 unsigned int offset)
{
	const u64 *runs = group_runs(g);
	unsigned int low = 0, high = nr;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (run_offset(READ_ONCE(runs[mid])) <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static unsigned int group_hash(const struct snap_exceptions *et, u64 number)
{
	return hash_64(number, et->hash_bits);
}

static spinlock_t *exceptions_lock(struct snap_exceptions *et, unsigned int list)
{
	return &et->locks[list & (BIT(LOCK_BITS) - 1)].lock;
}

/*
 * Lets the writer make progress that has begun to change a group of @list. With PREEMPT_RT the
 * writer may have been preempted by the reader. Taking the writer's lock lends it the reader's
 * priority. A seqcount_spinlock_t would do the same, but has a pointer to the lock in each group.
 */
static void exceptions_wait(struct snap_exceptions *et, unsigned int list)
{
	unsigned long flags;

	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		spin_lock_irqsave(exceptions_lock(et, list), flags);
		spin_unlock_irqrestore(exceptions_lock(et, list), flags);
	} else {
		cpu_relax();
	}
}

bool snap_exception_lookup(struct snap_exceptions *et, u64 old, u64 *new)
{
	u64 number = old >> GROUP_BITS;
	unsigned int offset = old & (GROUP_CHUNKS - 1);
	unsigned int list = group_hash(et, number);
	struct snap_exception_group *g;
	bool found = false;

	rcu_read_lock();
restart:
	g = rcu_dereference(et->groups[list]);
	while (g) {
		unsigned int seq = raw_read_seqcount(&g->seq);
		unsigned int nr = READ_ONCE(g->nr), i = 0;
		bool wanted = READ_ONCE(g->words[0]) == number;
		u64 run = 0;

		if (wanted && nr != GROUP_REPLACED) {
			i = group_search(g, nr, offset);
			if (i)
				run = READ_ONCE(group_runs(g)[i - 1]);
		}

		if (unlikely(seq & 1 || read_seqcount_retry(&g->seq, seq) ||
			     nr == GROUP_REPLACED)) {
			exceptions_wait(et, list);
			goto restart;
		}

		if (wanted) {
			found = i && offset <= run_offset(run) + run_more(run);
			if (found) {
				*new = run_new(run) + offset - run_offset(run);
				break;
			}
		}
		g = rcu_dereference(g->next);
	}
	rcu_read_unlock();

	return found;
}

/*
 * Enters a run, joining it with its neighbours where it continues them.
 * Returns -ENOSPC if there is no room for it.
 */
static int group_insert(struct snap_exception_group *g, unsigned int offset, u64 new)
{
	u64 run = run_make(offset, 0, new);
	u64 *runs = group_runs(g);
	unsigned int i = group_search(g, g->nr, offset);
	bool left = i && runs_touch(runs[i - 1], run);
	bool right = i < g->nr && runs_touch(run, runs[i]);

	if (i && offset <= run_offset(runs[i - 1]) + run_more(runs[i - 1]))
		return -EEXIST;
	if (!left && !right && g->nr == g->capacity)
		return -ENOSPC;

	raw_write_seqcount_begin(&g->seq);
	if (left && right) {
		WRITE_ONCE(runs[i - 1], run_make(run_offset(runs[i - 1]),
						 run_more(runs[i - 1]) + run_more(runs[i]) + 2,
						 run_new(runs[i - 1])));
		WRITE_ONCE(g->nr, g->nr - 1);
		/* Readers that see a half moved array find that the sequence changed. */
		data_race(memmove(&runs[i], &runs[i + 1], (g->nr - i) * sizeof(*runs)));
	} else if (left) {
		WRITE_ONCE(runs[i - 1], runs[i - 1] + (1ULL << MORE_SHIFT));
	} else if (right) {
		WRITE_ONCE(runs[i], run_make(offset, run_more(runs[i]) + 1, new));
	} else {
		/* As above. */
		data_race(memmove(&runs[i + 1], &runs[i], (g->nr - i) * sizeof(*runs)));
		WRITE_ONCE(runs[i], run);
		WRITE_ONCE(g->nr, g->nr + 1);
	}
	raw_write_seqcount_end(&g->seq);

	return 0;
}

static size_t group_alloc_size(unsigned int capacity)
{
	size_t size = GROUP_MIN_SIZE;

	while (size < group_size(capacity))
		size *= 2;
	return size;
}

static void group_init(struct snap_exception_group *g, u64 number, unsigned int capacity)
{
	size_t room = group_alloc_size(capacity) - group_size(0);

	seqcount_init(&g->seq);
	g->nr = 0;
	g->capacity = min_t(size_t, room / sizeof(u64), GROUP_CHUNKS);
	g->words[0] = number;
}

/* Puts @bigger into the list in place of @g. */
static void group_replace(struct snap_exception_group __rcu **link,
			  struct snap_exception_group *g, struct snap_exception_group *bigger,
			  spinlock_t *lock)
	__must_hold(lock)
{
	bigger->nr = g->nr;
	memcpy(group_runs(bigger), group_runs(g), g->nr * sizeof(u64));
	RCU_INIT_POINTER(bigger->next, rcu_dereference_protected(g->next, lockdep_is_held(lock)));
	rcu_assign_pointer(*link, bigger);

	raw_write_seqcount_begin(&g->seq);
	WRITE_ONCE(g->nr, GROUP_REPLACED);
	raw_write_seqcount_end(&g->seq);
	kfree_rcu(g, rcu);
}

struct snap_exception_group *snap_exception_room(bool may_wait)
{
	return kmalloc(group_alloc_size(1), may_wait ? GFP_NOIO : GFP_NOWAIT | __GFP_NOWARN);
}

int snap_exception_add(struct snap_exceptions *et, u64 old, u64 new,
		       struct snap_exception_group **room)
{
	u64 number = old >> GROUP_BITS;
	unsigned int offset = old & (GROUP_CHUNKS - 1);
	unsigned int list = group_hash(et, number);
	spinlock_t *lock = exceptions_lock(et, list);
	struct snap_exception_group __rcu **head = &et->groups[list], **link = head;
	struct snap_exception_group *g, *bigger;
	unsigned long flags;
	int r = -ENOSPC;

	spin_lock_irqsave(lock, flags);

	while ((g = rcu_dereference_protected(*link, lockdep_is_held(lock)))) {
		if (g->words[0] == number)
			break;
		link = &g->next;
	}

	if (g) {
		r = group_insert(g, offset, new);
		if (r != -ENOSPC)
			goto out;

		bigger = kmalloc(group_alloc_size(g->capacity + 1), GFP_NOWAIT | __GFP_NOWARN);
		if (bigger) {
			group_init(bigger, number, g->capacity + 1);
			group_replace(link, g, bigger, lock);
			r = group_insert(bigger, offset, new);
			goto out;
		}
	}

	/* The group's first, or no memory for a larger one: then there are two of this number. */
	g = *room;
	*room = NULL;
	group_init(g, number, 1);
	r = group_insert(g, offset, new);
	RCU_INIT_POINTER(g->next, rcu_dereference_protected(*head, lockdep_is_held(lock)));
	rcu_assign_pointer(*head, g);
out:
	spin_unlock_irqrestore(lock, flags);
	return r;
}

struct snap_exception_group *snap_exception_spare(void)
{
	return kmalloc(group_alloc_size(GROUP_CHUNKS), GFP_NOIO);
}

/*
 * Takes one chunk out of a run.
 * Returns -ENOSPC if the run falls into two and there is no room for the second.
 */
static int group_delete(struct snap_exception_group *g, unsigned int i, unsigned int offset)
{
	u64 *runs = group_runs(g), run = runs[i];
	unsigned int before = offset - run_offset(run), after = run_more(run) - before;

	if (before && after && g->nr == g->capacity)
		return -ENOSPC;

	raw_write_seqcount_begin(&g->seq);
	if (before && after) {
		/* Readers that see a half moved array find that the sequence changed. */
		data_race(memmove(&runs[i + 1], &runs[i], (g->nr - i) * sizeof(*runs)));
		WRITE_ONCE(runs[i + 1], run_make(offset + 1, after - 1, run_new(run) + before + 1));
		WRITE_ONCE(g->nr, g->nr + 1);
	}
	if (before) {
		WRITE_ONCE(runs[i], run_make(run_offset(run), before - 1, run_new(run)));
	} else if (after) {
		WRITE_ONCE(runs[i], run_make(offset + 1, after - 1, run_new(run) + 1));
	} else {
		WRITE_ONCE(g->nr, g->nr - 1);
		/* As above. */
		data_race(memmove(&runs[i], &runs[i + 1], (g->nr - i) * sizeof(*runs)));
	}
	raw_write_seqcount_end(&g->seq);
	return 0;
}

int snap_exception_remove(struct snap_exceptions *et, u64 old,
			  struct snap_exception_group **spare)
{
	u64 number = old >> GROUP_BITS;
	unsigned int offset = old & (GROUP_CHUNKS - 1);
	unsigned int list = group_hash(et, number), i;
	spinlock_t *lock = exceptions_lock(et, list);
	struct snap_exception_group __rcu **link = &et->groups[list];
	struct snap_exception_group *g;
	unsigned long flags;
	int r = -ENOENT;
	u64 run;

	spin_lock_irqsave(lock, flags);
	/* There may be several groups of this number. */
	for (; (g = rcu_dereference_protected(*link, lockdep_is_held(lock))); link = &g->next) {
		if (g->words[0] != number)
			continue;
		i = group_search(g, g->nr, offset);
		run = i ? group_runs(g)[i - 1] : 0;
		if (!i || offset > run_offset(run) + run_more(run))
			continue;

		r = group_delete(g, i - 1, offset);
		if (r == -ENOSPC && *spare) {
			group_init(*spare, number, GROUP_CHUNKS);
			group_replace(link, g, *spare, lock);
			r = group_delete(*spare, i - 1, offset);
			*spare = NULL;
		}
		break;
	}
	spin_unlock_irqrestore(lock, flags);
	return r == -ENOSPC ? -ENOMEM : r;
}

int snap_exceptions_init(struct snap_exceptions *et, u64 origin_chunks, u64 cow_chunks)
{
	u64 groups = min_t(u64, (origin_chunks >> GROUP_BITS) + 1, cow_chunks + 1);
	unsigned int i;

	BUILD_BUG_ON(MIN_HASH_BITS > MAX_HASH_BITS);

	et->hash_bits = clamp_t(unsigned int, order_base_2(groups), MIN_HASH_BITS, MAX_HASH_BITS);
	et->groups = kvcalloc(BIT(et->hash_bits), sizeof(*et->groups), GFP_KERNEL);
	if (!et->groups)
		return -ENOMEM;

	et->locks = kvmalloc_array(BIT(LOCK_BITS), sizeof(*et->locks), GFP_KERNEL);
	if (!et->locks) {
		kvfree(et->groups);
		return -ENOMEM;
	}
	for (i = 0; i < BIT(LOCK_BITS); i++)
		spin_lock_init(&et->locks[i].lock);
	return 0;
}

void snap_exceptions_exit(struct snap_exceptions *et)
{
	struct snap_exception_group *g, *next;
	unsigned long i;

	for (i = 0; i < BIT(et->hash_bits); i++) {
		for (g = rcu_dereference_protected(et->groups[i], 1); g; g = next) {
			next = rcu_dereference_protected(g->next, 1);
			kfree(g);
		}
		cond_resched();
	}
	kvfree(et->locks);
	kvfree(et->groups);
}
