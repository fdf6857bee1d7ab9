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
 * bytes each.
 *
 * A look-up is a walk along a short list, then a search in the group that takes as long however
 * many runs it has: with more than a few it has a map, a bit for each of its chunks that is set
 * where a run starts. The bits up to a chunk's, counted, are the number of the run in which it must
 * be. So a snapshot that fills up does not get slower.
 *
 * Lists are short however many groups there are: a section of the hash table that has more groups
 * than lists gets one or two for each, from a work item. Sections are looked at one by one, so
 * that there is never a moment in which all of a large table is moved:
 *
 *	hash of the group's number, 64 bits
 *	| section | 32 bits, scaled to the section's number of lists | ...
 *
 * Readers take no lock. A section's sequence count tells one that has found nothing that groups
 * were moved under it. A group's sequence count tells a reader that the array changed under it.
 * With PREEMPT_RT a reader that sees a change under way waits for the lock that the writer holds.
 * An array that is full is replaced by a larger copy of the group; the old one is marked as
 * replaced, and freed after a grace period.
 */
#define DM_MSG_PREFIX "snap-exception"

#include <linux/bitops.h>
#include <linux/cache.h>
#include <linux/device-mapper.h>
#include <linux/hash.h>
#include <linux/kcsan-checks.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/seqlock.h>
#include <linux/slab.h>

#include "dm-snap-exception.h"

#define GROUP_BITS		SNAP_GROUP_BITS
#define GROUP_CHUNKS		BIT(GROUP_BITS)
#define GROUP_MIN_SIZE		32U
/* Runs of a group that are looked through one by one; one with room for more has a map. */
#define GROUP_SMALL		5
/*
 * The map: a bit for each chunk, set where a run starts; then a word whose byte n has the number of
 * bits in the words before word n, at most 192.
 */
#define GROUP_MAP_COUNTS	(GROUP_CHUNKS / 64)
#define GROUP_MAP_WORDS		(GROUP_MAP_COUNTS + 1)

#define MIN_SECTION_BITS	8
#define MAX_SECTION_BITS	12
/* About so many bits of groups in a section, where the devices allow for as many groups. */
#define SECTION_GROUP_BITS	8
/* Lists of a section at first: 512 bytes of them, 2 MiB in all, where there may be many groups. */
#define MIN_LISTS		1
#define MAX_LISTS		61

#define NEW_MASK		GENMASK_ULL(SNAP_NEW_CHUNK_BITS - 1, 0)
#define MORE_SHIFT		SNAP_NEW_CHUNK_BITS
#define OFFSET_SHIFT		(MORE_SHIFT + GROUP_BITS)

/**
 * struct snap_exception_group - exceptions of 256 neighbouring chunks of the origin
 * @next:     in the list of the hash table
 * @seq:      changes whenever anything below does; stays odd when the group has been replaced
 * @nr:       number of runs
 * @capacity: runs for which there is room
 * @rcu:      for freeing; overlays @words when the group has been replaced
 * @words:    number of the group; if there is room for more than GROUP_SMALL runs, the map; then
 *            the sorted runs
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
 * struct snap_exception_lists - lists of the groups of a section
 * @rcu:   for freeing
 * @nr:    their number: as many as there is memory for in an allocation of 2^n bytes
 * @heads: the lists
 */
struct snap_exception_lists {
	struct rcu_head rcu;
	unsigned int nr;
	struct snap_exception_group __rcu *heads[];
};

/**
 * struct snap_exception_section - groups whose hashes begin with the same bits
 * @seq:   changes when groups move to other lists; a reader that finds something need not look
 * @lists: their lists
 *
 * Only read, but when it grows: what is written is in struct snap_exception_lock.
 */
struct snap_exception_section {
	seqcount_t seq;
	struct snap_exception_lists __rcu *lists;
};

/**
 * struct snap_exception_lock - what is needed to add to a section
 * @lock:  protects the section; taken with interrupts off: a look-up in an interrupt handler, or
 *         under a lock that such a handler takes, must not wait for an addition that was
 *         interrupted. Look-ups take it with PREEMPT_RT only, see exceptions_wait()
 * @nr:    number of groups
 * @limit: with more, the section gets more lists
 * @grows: the section is in snap_exceptions.growing
 * @node:  there
 */
struct snap_exception_lock {
	spinlock_t lock;	/* protects a section */
	unsigned int nr;
	unsigned int limit;
	bool grows;
	struct llist_node node;
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

/* What @a, and @b which continues it, stand for. */
static u64 runs_joined(u64 a, u64 b)
{
	return a + ((u64)(run_more(b) + 1) << MORE_SHIFT);
}

static bool group_has_map(unsigned int capacity)
{
	return capacity > GROUP_SMALL;
}

static u64 *group_map(struct snap_exception_group *g)
{
	return g->words + 1;
}

static u64 *group_runs(struct snap_exception_group *g)
{
	return g->words + 1 + (group_has_map(g->capacity) ? GROUP_MAP_WORDS : 0);
}

static size_t group_size(unsigned int capacity)
{
	unsigned int map = group_has_map(capacity) ? GROUP_MAP_WORDS : 0;

	return offsetof(struct snap_exception_group, words) + (1 + map + capacity) * sizeof(u64);
}

static void group_map_clear(struct snap_exception_group *g)
{
	if (group_has_map(g->capacity))
		memset(group_map(g), 0, GROUP_MAP_WORDS * sizeof(u64));
}

/* A run starts at @offset, or no more. */
static void group_map_change(struct snap_exception_group *g, unsigned int offset)
{
	unsigned int word = offset / 64;
	u64 *map = group_map(g), bit = BIT_ULL(offset % 64);
	/* One in the byte of each word that follows. */
	u32 more = 0x01010100ULL << 8 * word;

	if (!group_has_map(g->capacity))
		return;
	WRITE_ONCE(map[GROUP_MAP_COUNTS],
		   map[GROUP_MAP_COUNTS] + (map[word] & bit ? -(u64)more : more));
	WRITE_ONCE(map[word], map[word] ^ bit);
}

/* Bits of the map up to that of @offset. Not inline, so that who needs no map pays nothing. */
static noinline unsigned int group_map_count(struct snap_exception_group *g, unsigned int offset)
{
	const u64 *map = group_map(g);
	unsigned int word = offset / 64;
	u8 before = READ_ONCE(map[GROUP_MAP_COUNTS]) >> 8 * word;

	return before + hweight64(READ_ONCE(map[word]) << (63 - offset % 64));
}

/*
 * Number of runs that start at or before @offset, at most @nr; an unlocked reader checks the
 * sequence later.
 */
static __always_inline unsigned int group_search(struct snap_exception_group *g, unsigned int nr,
						 unsigned int offset)
{
	const u64 *runs = group_runs(g);
	unsigned int i = 0;

	if (group_has_map(g->capacity))
		return min(group_map_count(g, offset), nr);
	while (i < nr && run_offset(READ_ONCE(runs[i])) <= offset)
		i++;
	return i;
}

static u64 group_hash(u64 number)
{
	return number * GOLDEN_RATIO_64;
}

static unsigned int exceptions_section(const struct snap_exceptions *et, u64 hash)
{
	return hash >> et->section_shift;
}

static struct snap_exception_group __rcu **exceptions_list(const struct snap_exceptions *et,
							   struct snap_exception_lists *lists,
							   u64 hash)
{
	return &lists->heads[reciprocal_scale(hash << et->section_bits >> 32, lists->nr)];
}

static struct snap_exception_lists *
exceptions_lists(const struct snap_exceptions *et, unsigned int section)
{
	return rcu_dereference_protected(et->sections[section].lists,
					 lockdep_is_held(&et->locks[section].lock));
}

/*
 * Lets the writer make progress that has begun to change something of a section. With PREEMPT_RT
 * the writer may have been preempted by the reader. Taking the writer's lock lends it the reader's
 * priority. A seqcount_spinlock_t would do the same, but has a pointer to the lock in each group.
 */
static void exceptions_wait(struct snap_exceptions *et, unsigned int section)
{
	unsigned long flags;

	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		spin_lock_irqsave(&et->locks[section].lock, flags);
		spin_unlock_irqrestore(&et->locks[section].lock, flags);
	} else {
		cpu_relax();
	}
}

/**
 * struct group_found - what a group says about chunks from an offset on
 * @run: the run that has the first of them, if it has an exception
 * @end: offset after those that are like the first: for which of them see exceptions_search()
 */
struct group_found {
	u64 run;
	unsigned int end;
};

/* Offset after the chunks from run @i on that have exceptions without a gap, in whatever order. */
static unsigned int group_gapless(struct snap_exception_group *g, unsigned int nr, unsigned int i)
{
	const u64 *runs = group_runs(g);
	u64 run = READ_ONCE(runs[i]);
	unsigned int end;

	for (;;) {
		end = run_offset(run) + run_more(run) + 1;
		if (++i == nr)
			return end;
		run = READ_ONCE(runs[i]);
		if (run_offset(run) != end)
			return end;
	}
}

/**
 * enum exceptions_want - what a look-up wants to know besides the chunk's exception
 * @EXCEPTIONS_ONE:     nothing
 * @EXCEPTIONS_RUN:     how many chunks follow it that are copied to where the copy goes on
 * @EXCEPTIONS_GAPLESS: how many chunks follow it that are copied, to anywhere
 *
 * Of a chunk without an exception all but the first want to know how many follow it that have none.
 */
enum exceptions_want {
	EXCEPTIONS_ONE,
	EXCEPTIONS_RUN,
	EXCEPTIONS_GAPLESS,
};

/*
 * Looks a chunk up, and those after it in its group. With several groups of the same number only
 * one has the chunk: @found->end may then be too low, but for chunks without exceptions.
 */
static __always_inline bool exceptions_search(struct snap_exceptions *et, u64 old,
					      enum exceptions_want want, struct group_found *found)
{
	u64 number = old >> GROUP_BITS, hash = group_hash(number);
	unsigned int offset = old & (GROUP_CHUNKS - 1);
	unsigned int index = exceptions_section(et, hash), moves;
	struct snap_exception_section *section = &et->sections[index];
	struct snap_exception_group *g;
	bool has;

restart:
	has = false;
	if (want != EXCEPTIONS_ONE)
		found->end = GROUP_CHUNKS;
	/* Some instructions, without a call: half of what a look-up with rcu_read_lock() takes. */
	rcu_read_lock_sched();
	moves = raw_read_seqcount(&section->seq);
	g = rcu_dereference_sched(*exceptions_list(et, rcu_dereference_sched(section->lists),
						   hash));
	while (g) {
		unsigned int seq = raw_read_seqcount(&g->seq);
		unsigned int nr = READ_ONCE(g->nr), i = 0, end = GROUP_CHUNKS;
		bool wanted = READ_ONCE(g->words[0]) == number;
		u64 run = 0;

		if (wanted) {
			i = group_search(g, nr, offset);
			if (i)
				run = READ_ONCE(group_runs(g)[i - 1]);
			has = i && offset <= run_offset(run) + run_more(run);
			if (want != EXCEPTIONS_ONE && !has && i < nr)
				end = run_offset(READ_ONCE(group_runs(g)[i]));
			if (want == EXCEPTIONS_GAPLESS && has)
				end = group_gapless(g, nr, i - 1);
		}

		if (unlikely(seq & 1 || read_seqcount_retry(&g->seq, seq)))
			goto changed;

		if (has) {
			found->run = run;
			if (want == EXCEPTIONS_RUN)
				found->end = run_offset(run) + run_more(run) + 1;
			if (want == EXCEPTIONS_GAPLESS)
				found->end = end;
			break;
		}
		if (want != EXCEPTIONS_ONE)
			found->end = min(found->end, end);
		g = rcu_dereference_sched(g->next);
	}
	/* It may have been moved from a list not yet looked at to one that was. */
	if (unlikely(!has && (moves & 1 || read_seqcount_retry(&section->seq, moves))))
		goto changed;
	rcu_read_unlock_sched();
	return has;

changed:
	rcu_read_unlock_sched();
	exceptions_wait(et, index);
	goto restart;
}

static u64 found_new(const struct group_found *found, u64 old)
{
	return run_new(found->run) + (old & (GROUP_CHUNKS - 1)) - run_offset(found->run);
}

static u64 found_nr(const struct group_found *found, u64 old)
{
	return found->end - (old & (GROUP_CHUNKS - 1));
}

bool snap_exception_lookup(struct snap_exceptions *et, u64 old, u64 *new)
{
	struct group_found found;

	if (!exceptions_search(et, old, EXCEPTIONS_ONE, &found))
		return false;
	*new = found_new(&found, old);
	return true;
}

bool snap_exception_lookup_run(struct snap_exceptions *et, u64 old, u64 max, u64 *new, u64 *nr)
{
	struct group_found found;
	bool copied = exceptions_search(et, old, EXCEPTIONS_RUN, &found);

	if (copied)
		*new = found_new(&found, old);
	*nr = found_nr(&found, old);
	/* Runs end with their group; what they stand for may go on in the next one. */
	while (copied && *nr < max &&
	       exceptions_search(et, old + *nr, EXCEPTIONS_RUN, &found) &&
	       found_new(&found, old + *nr) == *new + *nr)
		*nr += found_nr(&found, old + *nr);
	*nr = min(*nr, max);
	return copied;
}

u64 snap_exception_count(struct snap_exceptions *et, u64 old, u64 max)
{
	struct group_found found;
	u64 nr = 0;

	while (nr < max && exceptions_search(et, old + nr, EXCEPTIONS_GAPLESS, &found))
		nr += found_nr(&found, old + nr);
	return min(nr, max);
}

/*
 * Enters a run, joining it with its neighbours where it continues them.
 * Returns -ENOSPC if there is no room for it.
 */
static int group_insert(struct snap_exception_group *g, u64 run)
{
	u64 *runs = group_runs(g);
	unsigned int offset = run_offset(run), i = group_search(g, g->nr, offset);
	bool left = i && runs_touch(runs[i - 1], run);
	bool right = i < g->nr && runs_touch(run, runs[i]);

	if (i && offset <= run_offset(runs[i - 1]) + run_more(runs[i - 1]))
		return -EEXIST;
	if (i < g->nr && offset + run_more(run) >= run_offset(runs[i]))
		return -EEXIST;
	if (!left && !right && g->nr == g->capacity)
		return -ENOSPC;

	raw_write_seqcount_begin(&g->seq);
	if (left && right) {
		group_map_change(g, run_offset(runs[i]));
		WRITE_ONCE(runs[i - 1], runs_joined(runs_joined(runs[i - 1], run), runs[i]));
		WRITE_ONCE(g->nr, g->nr - 1);
		/* Readers that see a half moved array find that the sequence changed. */
		data_race(memmove(&runs[i], &runs[i + 1], (g->nr - i) * sizeof(*runs)));
	} else if (left) {
		WRITE_ONCE(runs[i - 1], runs_joined(runs[i - 1], run));
	} else if (right) {
		group_map_change(g, run_offset(runs[i]));
		group_map_change(g, offset);
		WRITE_ONCE(runs[i], runs_joined(run, runs[i]));
	} else {
		group_map_change(g, offset);
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
	size_t room = (group_alloc_size(capacity) - group_size(0)) / sizeof(u64);

	if (room >= GROUP_SMALL + 1 + GROUP_MAP_WORDS)
		room = min_t(size_t, room - GROUP_MAP_WORDS, GROUP_CHUNKS);
	else
		room = min_t(size_t, room, GROUP_SMALL);

	seqcount_init(&g->seq);
	g->nr = 0;
	g->capacity = room;
	g->words[0] = number;
	group_map_clear(g);
}

/* Puts @bigger into the list in place of @g. */
static void group_replace(struct snap_exception_group __rcu **link,
			  struct snap_exception_group *g, struct snap_exception_group *bigger,
			  spinlock_t *lock)
	__must_hold(lock)
{
	unsigned int i;

	bigger->nr = g->nr;
	memcpy(group_runs(bigger), group_runs(g), g->nr * sizeof(u64));
	if (group_has_map(g->capacity))
		memcpy(group_map(bigger), group_map(g), GROUP_MAP_WORDS * sizeof(u64));
	else
		for (i = 0; i < g->nr; i++)
			group_map_change(bigger, run_offset(group_runs(g)[i]));
	RCU_INIT_POINTER(bigger->next, rcu_dereference_protected(g->next, lockdep_is_held(lock)));
	rcu_assign_pointer(*link, bigger);

	/* For ever: who still comes to it looks for the other one. KCSAN is to wait for no end. */
	raw_write_seqcount_begin(&g->seq);
	kcsan_nestable_atomic_end();
	kfree_rcu(g, rcu);
}

static void section_wants_lists(struct snap_exceptions *et, unsigned int section)
	__must_hold(&et->locks[section].lock)
{
	struct snap_exception_lock *lock = &et->locks[section];

	if (lock->grows)
		return;
	lock->grows = true;
	if (llist_add(&lock->node, &et->growing))
		schedule_work(&et->grow);
}

/* Where the pointer to a group is, the first of its number; or to NULL, if there is none. */
static __always_inline struct snap_exception_group __rcu **
exceptions_link(struct snap_exceptions *et, u64 number)
{
	u64 hash = group_hash(number);
	unsigned int section = exceptions_section(et, hash);
	struct snap_exception_group __rcu **link;
	struct snap_exception_group *g;

	link = exceptions_list(et, exceptions_lists(et, section), hash);
	for (;;) {
		g = rcu_dereference_protected(*link, lockdep_is_held(&et->locks[section].lock));
		if (!g || g->words[0] == number)
			return link;
		link = &g->next;
	}
}

/* Enters a new group, under the lock of its section. */
static __always_inline void exceptions_enter(struct snap_exceptions *et,
					     struct snap_exception_group *g, u64 number)
{
	u64 hash = group_hash(number);
	unsigned int section = exceptions_section(et, hash);
	struct snap_exception_lock *lock = &et->locks[section];
	struct snap_exception_group __rcu **head;

	head = exceptions_list(et, exceptions_lists(et, section), hash);
	RCU_INIT_POINTER(g->next, rcu_dereference_protected(*head, lockdep_is_held(&lock->lock)));
	rcu_assign_pointer(*head, g);
	if (unlikely(++lock->nr > lock->limit))
		section_wants_lists(et, section);
}

struct snap_exception_group *snap_exception_room(bool may_wait)
{
	return kmalloc(group_alloc_size(1), may_wait ? GFP_NOIO : GFP_NOWAIT | __GFP_NOWARN);
}

int snap_exception_add(struct snap_exceptions *et, u64 old, u64 new, unsigned int nr,
		       struct snap_exception_group **room)
{
	u64 number = old >> GROUP_BITS, hash = group_hash(number), run;
	unsigned int offset = old & (GROUP_CHUNKS - 1), section = exceptions_section(et, hash);
	spinlock_t *lock = &et->locks[section].lock;
	struct snap_exception_group __rcu **link;
	struct snap_exception_group *g, *bigger;
	unsigned long flags;
	int r = -ENOSPC;

	if (WARN_ON_ONCE(!nr || offset + nr > GROUP_CHUNKS))
		return -EINVAL;
	run = run_make(offset, nr - 1, new);

	spin_lock_irqsave(lock, flags);

	link = exceptions_link(et, number);
	g = rcu_dereference_protected(*link, lockdep_is_held(lock));
	if (g) {
		r = group_insert(g, run);
		if (r != -ENOSPC)
			goto out;

		bigger = kmalloc(group_alloc_size(g->capacity + 1), GFP_NOWAIT | __GFP_NOWARN);
		if (bigger) {
			group_init(bigger, number, g->capacity + 1);
			group_replace(link, g, bigger, lock);
			r = group_insert(bigger, run);
			goto out;
		}
	}

	/* The group's first, or no memory for a larger one: then there are two of this number. */
	g = *room;
	*room = NULL;
	group_init(g, number, 1);
	r = group_insert(g, run);
	exceptions_enter(et, g, number);
out:
	spin_unlock_irqrestore(lock, flags);
	return r;
}

/*
 *------------------------------------------------------------
 * Many exceptions at once
 *------------------------------------------------------------
 */

/**
 * struct group_addition - what is added to a group
 * @number: of the group
 * @nr:     number of @runs
 * @runs:   in ascending order
 */
struct group_addition {
	u64 number;
	unsigned int nr;
	u64 runs[GROUP_CHUNKS];
};

/* Makes runs of the first exceptions, those of one group. Returns how many exceptions they are. */
static size_t addition_make(struct group_addition *add, const struct snap_exception *all, size_t nr)
{
	size_t i;

	add->number = all->old >> GROUP_BITS;
	add->nr = 0;
	for (i = 0; i < nr && all[i].old >> GROUP_BITS == add->number; i++) {
		u64 run = run_make(all[i].old & (GROUP_CHUNKS - 1), 0, all[i].new);

		if (add->nr && runs_touch(add->runs[add->nr - 1], run)) {
			add->runs[add->nr - 1] = runs_joined(add->runs[add->nr - 1], run);
			continue;
		}
		/* More of them: some chunk is there twice, and is going to be found. */
		if (add->nr == GROUP_CHUNKS)
			break;
		add->runs[add->nr++] = run;
	}
	return i;
}

/* Joins runs that touch. */
static void group_join(struct snap_exception_group *g)
{
	u64 *runs = group_runs(g);
	unsigned int i, nr = 1;

	for (i = 1; i < g->nr; i++) {
		if (runs_touch(runs[nr - 1], runs[i])) {
			group_map_change(g, run_offset(runs[i]));
			WRITE_ONCE(runs[nr - 1], runs_joined(runs[nr - 1], runs[i]));
		} else {
			WRITE_ONCE(runs[nr++], runs[i]);
		}
	}
	WRITE_ONCE(g->nr, nr);
}

/*
 * Adds runs for which there is room: both arrays are merged from their ends, so that each run is
 * moved once. Returns the offset of a chunk that two runs have, or GROUP_CHUNKS.
 */
static unsigned int group_merge(struct snap_exception_group *g, const struct group_addition *add)
{
	unsigned int olds = g->nr, adds = add->nr, i = olds + adds, above = GROUP_CHUNKS;
	u64 *runs = group_runs(g), run, last = 0;
	bool touch = false;

	raw_write_seqcount_begin(&g->seq);
	WRITE_ONCE(g->nr, i);
	for (;;) {
		bool old = olds && (!adds ||
				    run_offset(runs[olds - 1]) > run_offset(add->runs[adds - 1]));

		if (!old && !adds)
			break;
		run = old ? runs[olds - 1] : add->runs[adds - 1];
		if (unlikely(run_offset(run) + run_more(run) >= above))
			goto twice;
		touch |= above < GROUP_CHUNKS && runs_touch(run, last);
		/* What is below now is in its place, and so are its neighbours. */
		if (old && !adds)
			break;
		WRITE_ONCE(runs[--i], run);
		if (old) {
			olds--;
		} else {
			adds--;
			group_map_change(g, run_offset(run));
		}
		last = run;
		above = run_offset(run);
	}
	if (touch)
		group_join(g);
	raw_write_seqcount_end(&g->seq);
	return GROUP_CHUNKS;

twice:
	WRITE_ONCE(g->nr, 0);
	group_map_clear(g);
	raw_write_seqcount_end(&g->seq);
	return above;
}

/* One by one: there are so many that some chunk must be there twice. Returns its offset. */
static unsigned int group_find_twice(struct snap_exception_group *g,
				     const struct group_addition *add)
{
	const u64 *runs = group_runs(g);
	unsigned int i, k, offset;

	for (i = 0; i < add->nr; i++) {
		offset = run_offset(add->runs[i]);
		if (group_insert(g, add->runs[i]) != -EEXIST)
			continue;
		k = group_search(g, g->nr, offset);
		if (k && offset <= run_offset(runs[k - 1]) + run_more(runs[k - 1]))
			return offset;
		return run_offset(runs[k]);
	}
	return GROUP_CHUNKS;
}

/* Adds to a group, or a new one. */
static int exceptions_add_group(struct snap_exceptions *et, const struct group_addition *add,
				u64 *twice)
{
	unsigned int section = exceptions_section(et, group_hash(add->number)), needed, offset;
	spinlock_t *lock = &et->locks[section].lock;
	struct snap_exception_group *g, *bigger = NULL;
	struct snap_exception_group __rcu **link;
	unsigned long flags;

	for (;;) {
		spin_lock_irqsave(lock, flags);
		link = exceptions_link(et, add->number);
		g = rcu_dereference_protected(*link, lockdep_is_held(lock));
		needed = min_t(unsigned int, (g ? g->nr : 0) + add->nr, GROUP_CHUNKS);
		if (bigger || (g && needed <= g->capacity))
			break;
		spin_unlock_irqrestore(lock, flags);
		/* Nobody else adds: it is going to be large enough. */
		bigger = kmalloc(group_alloc_size(needed), GFP_NOIO);
		if (!bigger)
			return -ENOMEM;
		group_init(bigger, add->number, needed);
	}
	if (bigger) {
		if (g)
			group_replace(link, g, bigger, lock);
		else
			exceptions_enter(et, bigger, add->number);
		g = bigger;
	}
	offset = g->nr + add->nr > g->capacity ? group_find_twice(g, add) : group_merge(g, add);
	spin_unlock_irqrestore(lock, flags);

	if (offset == GROUP_CHUNKS)
		return 0;
	*twice = (add->number << GROUP_BITS) + offset;
	return -EEXIST;
}

int snap_exception_add_sorted(struct snap_exceptions *et, const struct snap_exception *all,
			      size_t nr, u64 *twice)
{
	struct group_addition *add;
	unsigned int groups = 0;
	size_t done;
	int r = 0;

	add = kmalloc(sizeof(*add), GFP_NOIO);
	if (!add)
		return -ENOMEM;
	while (nr && !r) {
		done = addition_make(add, all, nr);
		r = exceptions_add_group(et, add, twice);
		all += done;
		nr -= done;
		/* Others are to get the CPU, among them the work item that makes lists. */
		if (!(++groups % 64))
			cond_resched();
	}
	kfree(add);
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
	if (!before)
		group_map_change(g, offset);
	if (after)
		group_map_change(g, offset + 1);
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
	u64 number = old >> GROUP_BITS, hash = group_hash(number);
	unsigned int offset = old & (GROUP_CHUNKS - 1), section = exceptions_section(et, hash), i;
	spinlock_t *lock = &et->locks[section].lock;
	struct snap_exception_group __rcu **link;
	struct snap_exception_group *g;
	unsigned long flags;
	int r = -ENOENT;
	u64 run;

	spin_lock_irqsave(lock, flags);
	/* There may be several groups of this number. */
	link = exceptions_list(et, exceptions_lists(et, section), hash);
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

/*
 *------------------------------------------------------------
 * More lists
 *------------------------------------------------------------
 */

static struct snap_exception_lists *lists_create(unsigned int nr)
{
	struct snap_exception_lists *lists;
	size_t size = roundup_pow_of_two(struct_size(lists, heads, nr));

	lists = kvzalloc(size, GFP_KERNEL | __GFP_NOWARN);
	if (lists)
		lists->nr = (size - sizeof(*lists)) / sizeof(lists->heads[0]);
	return lists;
}

/*
 * Moves the groups of a section to other lists. A reader may be led from a list to another one by a
 * group that is moved: it comes to an end in any case, and looks at the sequence count then.
 *
 * That is at most some thousand groups at a time up to 16 TiB of chunks of 4 KiB, for which
 * interrupts are off.
 */
static void section_move(struct snap_exceptions *et, unsigned int section,
			 struct snap_exception_lists *from, struct snap_exception_lists *to)
	__must_hold(&et->locks[section].lock)
{
	struct snap_exception_group __rcu **head;
	struct snap_exception_group *g, *next;
	unsigned int i;

	raw_write_seqcount_begin(&et->sections[section].seq);
	for (i = 0; i < from->nr; i++) {
		for (g = rcu_dereference_protected(from->heads[i], 1); g; g = next) {
			next = rcu_dereference_protected(g->next, 1);
			head = exceptions_list(et, to, group_hash(g->words[0]));
			/* Readers of the new list may have come to it already, by another group. */
			rcu_assign_pointer(g->next, rcu_dereference_protected(*head, 1));
			rcu_assign_pointer(*head, g);
		}
	}
	rcu_assign_pointer(et->sections[section].lists, to);
	raw_write_seqcount_end(&et->sections[section].seq);
}

/*
 * Gives a section lists for all its groups, and for more. Without memory the lists that there are
 * become longer, until it has twice as many groups.
 */
static void section_grow(struct snap_exceptions *et, unsigned int section)
{
	struct snap_exception_lock *lock = &et->locks[section];
	struct snap_exception_lists *lists, *old;

	lists = lists_create(READ_ONCE(lock->nr) + 1);

	spin_lock_irq(&lock->lock);
	lock->grows = false;
	lock->limit = lists ? lists->nr : 2 * lock->nr;
	old = exceptions_lists(et, section);
	if (lists)
		section_move(et, section, old, lists);
	spin_unlock_irq(&lock->lock);
	if (lists)
		kvfree_rcu(old, rcu);
}

/* The table is used to map I/O, of which none is to be needed for memory. */
static void exceptions_grow(struct work_struct *work)
{
	struct snap_exceptions *et = container_of(work, struct snap_exceptions, grow);
	struct snap_exception_lock *lock, *next;
	unsigned int flags;

	flags = memalloc_noio_save();
	llist_for_each_entry_safe(lock, next, llist_del_all(&et->growing), node) {
		section_grow(et, lock - et->locks);
		cond_resched();
	}
	memalloc_noio_restore(flags);
}

int snap_exceptions_init(struct snap_exceptions *et, u64 origin_chunks, u64 cow_chunks)
{
	u64 groups = min_t(u64, (origin_chunks >> GROUP_BITS) + 1, cow_chunks + 1);
	struct snap_exception_lists *lists;
	unsigned int i, nr;

	et->section_bits = clamp_t(int, order_base_2(groups) - SECTION_GROUP_BITS,
				   MIN_SECTION_BITS, MAX_SECTION_BITS);
	et->section_shift = 64 - et->section_bits;
	nr = clamp_t(u64, groups >> et->section_bits, MIN_LISTS, MAX_LISTS);
	init_llist_head(&et->growing);
	INIT_WORK(&et->grow, exceptions_grow);
	et->sections = kvcalloc(BIT(et->section_bits), sizeof(*et->sections), GFP_KERNEL);
	et->locks = kvcalloc(BIT(et->section_bits), sizeof(*et->locks), GFP_KERNEL);
	if (!et->sections || !et->locks)
		goto no_memory;
	for (i = 0; i < BIT(et->section_bits); i++) {
		lists = lists_create(nr);
		if (!lists)
			goto no_memory;
		seqcount_init(&et->sections[i].seq);
		RCU_INIT_POINTER(et->sections[i].lists, lists);
		spin_lock_init(&et->locks[i].lock);
		et->locks[i].limit = lists->nr;
	}
	return 0;

no_memory:
	snap_exceptions_exit(et);
	return -ENOMEM;
}

static void lists_destroy(struct snap_exception_lists *lists)
{
	struct snap_exception_group *g, *next;
	unsigned int i;

	for (i = 0; i < lists->nr; i++) {
		for (g = rcu_dereference_protected(lists->heads[i], 1); g; g = next) {
			next = rcu_dereference_protected(g->next, 1);
			kfree(g);
		}
	}
	kvfree(lists);
}

void snap_exceptions_exit(struct snap_exceptions *et)
{
	struct snap_exception_lists *lists;
	unsigned int i;

	cancel_work_sync(&et->grow);
	for (i = 0; et->sections && i < BIT(et->section_bits); i++) {
		lists = rcu_dereference_protected(et->sections[i].lists, 1);
		if (lists)
			lists_destroy(lists);
		cond_resched();
	}
	kvfree(et->locks);
	kvfree(et->sections);
}
