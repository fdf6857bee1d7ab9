// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of completed exceptions.
 *
 * 256 neighbouring chunks of the origin form a group, see dm-snap-group.h. A look-up is a walk
 * along a short list, then a search in the group. So a snapshot that fills up does not get slower.
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

#include <linux/bits.h>
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
#include "dm-snap-group.h"

#define MIN_SECTION_BITS	6
#define MAX_SECTION_BITS	12
/* About so many bits of groups in a section, where the devices allow for as many groups. */
#define SECTION_GROUP_BITS	8
/*
 * Lists of a section at first: one for so many groups that there may be, 512 bytes of them at most.
 * Most snapshots never have most of their groups, and those that do get more lists.
 */
#define GROUPS_OF_A_LIST_BITS	5
#define MIN_LISTS		1
#define MAX_LISTS		61

/**
 * struct snap_exception_lists - lists of the groups of a section
 * @rcu:   for freeing
 * @nr:    their number: as many as there is memory for in an allocation of 2^n bytes
 * @heads: the lists
 */
struct snap_exception_lists {
	struct rcu_head rcu;
	unsigned int nr;
	struct snap_group __rcu *heads[];
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

static u64 group_hash(u64 number)
{
	return number * GOLDEN_RATIO_64;
}

static unsigned int exceptions_section(const struct snap_exceptions *et, u64 hash)
{
	return hash >> et->section_shift;
}

static struct snap_group __rcu **exceptions_list(const struct snap_exceptions *et,
						 struct snap_exception_lists *lists, u64 hash)
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
	u64 number = old >> SNAP_GROUP_BITS, hash = group_hash(number);
	unsigned int offset = old & (SNAP_GROUP_CHUNKS - 1);
	unsigned int index = exceptions_section(et, hash), moves;
	struct snap_exception_section *section = &et->sections[index];
	struct snap_group *g;
	bool has;

restart:
	has = false;
	if (want != EXCEPTIONS_ONE)
		found->end = SNAP_GROUP_CHUNKS;
	/* Some instructions, without a call: half of what a look-up with rcu_read_lock() takes. */
	rcu_read_lock_sched();
	moves = raw_read_seqcount(&section->seq);
	g = rcu_dereference_sched(*exceptions_list(et, rcu_dereference_sched(section->lists),
						   hash));
	while (g) {
		unsigned int seq = raw_read_seqcount(&g->seq);
		unsigned int nr = READ_ONCE(g->nr), i = 0, end = SNAP_GROUP_CHUNKS;
		bool wanted = READ_ONCE(g->words[0]) == number;
		u64 run = 0;

		if (wanted) {
			i = snap_group_search(g, nr, offset);
			if (i)
				run = READ_ONCE(snap_group_runs(g)[i - 1]);
			has = i && offset <= snap_run_last(run);
			if (want != EXCEPTIONS_ONE && !has && i < nr)
				end = snap_run_offset(READ_ONCE(snap_group_runs(g)[i]));
			if (want == EXCEPTIONS_GAPLESS && has)
				end = snap_group_gapless(g, nr, i - 1);
		}

		if (unlikely(seq & 1 || read_seqcount_retry(&g->seq, seq)))
			goto changed;

		if (has) {
			found->run = run;
			if (want == EXCEPTIONS_RUN)
				found->end = snap_run_last(run) + 1;
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
	return snap_run_new(found->run) + (old & (SNAP_GROUP_CHUNKS - 1)) -
	       snap_run_offset(found->run);
}

static u64 found_nr(const struct group_found *found, u64 old)
{
	return found->end - (old & (SNAP_GROUP_CHUNKS - 1));
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

/* Puts @bigger into the list in place of @g. */
static void group_replace(struct snap_group __rcu **link,
			  struct snap_group *g, struct snap_group *bigger,
			  spinlock_t *lock)
	__must_hold(lock)
{
	snap_group_copy(bigger, g);
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
static __always_inline struct snap_group __rcu **
exceptions_link(struct snap_exceptions *et, u64 number)
{
	u64 hash = group_hash(number);
	unsigned int section = exceptions_section(et, hash);
	struct snap_group __rcu **link;
	struct snap_group *g;

	link = exceptions_list(et, exceptions_lists(et, section), hash);
	for (;;) {
		g = rcu_dereference_protected(*link, lockdep_is_held(&et->locks[section].lock));
		if (!g || g->words[0] == number)
			return link;
		link = &g->next;
	}
}

/* Enters a new group where exceptions_link() has said, under the lock of its section. */
static __always_inline void exceptions_enter(struct snap_exceptions *et, unsigned int section,
					     struct snap_group __rcu **link,
					     struct snap_group *g)
{
	struct snap_exception_lock *lock = &et->locks[section];

	RCU_INIT_POINTER(g->next, rcu_dereference_protected(*link, lockdep_is_held(&lock->lock)));
	rcu_assign_pointer(*link, g);
	if (unlikely(++lock->nr > lock->limit))
		section_wants_lists(et, section);
}

struct snap_group *snap_exception_room(bool may_wait)
{
	return kmalloc(snap_group_alloc_size(1), may_wait ? GFP_NOIO : GFP_NOWAIT | __GFP_NOWARN);
}

int snap_exception_add(struct snap_exceptions *et, u64 old, u64 new, unsigned int nr,
		       struct snap_group **room)
{
	u64 number = old >> SNAP_GROUP_BITS, hash = group_hash(number), run;
	unsigned int offset = old & (SNAP_GROUP_CHUNKS - 1), section = exceptions_section(et, hash);
	spinlock_t *lock = &et->locks[section].lock;
	struct snap_group __rcu **link;
	struct snap_group *g, *bigger;
	unsigned long flags;
	int r = -ENOSPC;

	if (WARN_ON_ONCE(!nr || offset + nr > SNAP_GROUP_CHUNKS))
		return -EINVAL;
	run = snap_run_make(offset, nr - 1, new);

	spin_lock_irqsave(lock, flags);

	link = exceptions_link(et, number);
	g = rcu_dereference_protected(*link, lockdep_is_held(lock));
	if (g) {
		r = snap_group_insert(g, run);
		if (r != -ENOSPC)
			goto out;

		bigger = kmalloc(snap_group_alloc_size(g->capacity + 1), GFP_NOWAIT | __GFP_NOWARN);
		if (bigger) {
			snap_group_init(bigger, number, g->capacity + 1);
			group_replace(link, g, bigger, lock);
			r = snap_group_insert(bigger, run);
			goto out;
		}
	}

	/* The group's first, or no memory for a larger one: then there are two of this number. */
	g = *room;
	*room = NULL;
	snap_group_init(g, number, 1);
	r = snap_group_insert(g, run);
	exceptions_enter(et, section, link, g);
out:
	spin_unlock_irqrestore(lock, flags);
	return r;
}

/*
 *------------------------------------------------------------
 * Many exceptions at once
 *------------------------------------------------------------
 */

/* Makes runs of the first exceptions, those of one group. Returns how many exceptions they are. */
static size_t addition_make(struct snap_group_addition *add, const struct snap_exception *all,
			    size_t nr)
{
	size_t i;

	add->number = all->old >> SNAP_GROUP_BITS;
	add->nr = 0;
	for (i = 0; i < nr && all[i].old >> SNAP_GROUP_BITS == add->number; i++) {
		u64 run = snap_run_make(all[i].old & (SNAP_GROUP_CHUNKS - 1), 0, all[i].new);

		if (add->nr && snap_runs_touch(add->runs[add->nr - 1], run)) {
			add->runs[add->nr - 1] = snap_runs_joined(add->runs[add->nr - 1], run);
			continue;
		}
		/* More of them: some chunk is there twice, and is going to be found. */
		if (add->nr == SNAP_GROUP_CHUNKS)
			break;
		add->runs[add->nr++] = run;
	}
	return i;
}

/* Adds to a group, or a new one. */
static int exceptions_add_group(struct snap_exceptions *et, const struct snap_group_addition *add,
				u64 *twice)
{
	unsigned int section = exceptions_section(et, group_hash(add->number)), needed, offset;
	spinlock_t *lock = &et->locks[section].lock;
	struct snap_group *g, *bigger = NULL;
	struct snap_group __rcu **link;
	unsigned long flags;

	for (;;) {
		spin_lock_irqsave(lock, flags);
		link = exceptions_link(et, add->number);
		g = rcu_dereference_protected(*link, lockdep_is_held(lock));
		needed = min_t(unsigned int, (g ? g->nr : 0) + add->nr, SNAP_GROUP_CHUNKS);
		if (bigger || (g && needed <= g->capacity))
			break;
		spin_unlock_irqrestore(lock, flags);
		/* Nobody else adds: it is going to be large enough. */
		bigger = kmalloc(snap_group_alloc_size(needed), GFP_NOIO);
		if (!bigger)
			return -ENOMEM;
		snap_group_init(bigger, add->number, needed);
	}
	if (bigger) {
		if (g)
			group_replace(link, g, bigger, lock);
		else
			exceptions_enter(et, section, link, bigger);
		g = bigger;
	}
	offset = snap_group_merge(g, add);
	spin_unlock_irqrestore(lock, flags);

	if (offset == SNAP_GROUP_CHUNKS)
		return 0;
	*twice = (add->number << SNAP_GROUP_BITS) + offset;
	return -EEXIST;
}

int snap_exception_add_sorted(struct snap_exceptions *et, const struct snap_exception *all,
			      size_t nr, u64 *twice)
{
	struct snap_group_addition *add;
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

struct snap_group *snap_exception_spare(void)
{
	return kmalloc(snap_group_alloc_size(SNAP_GROUP_CHUNKS), GFP_NOIO);
}

int snap_exception_remove(struct snap_exceptions *et, u64 old, unsigned int nr,
			  struct snap_group **spare)
{
	u64 number = old >> SNAP_GROUP_BITS, hash = group_hash(number);
	unsigned int offset = old & (SNAP_GROUP_CHUNKS - 1), i;
	unsigned int section = exceptions_section(et, hash);
	spinlock_t *lock = &et->locks[section].lock;
	struct snap_group __rcu **link;
	struct snap_group *g;
	unsigned long flags;
	int r = -ENOENT;
	u64 run;

	spin_lock_irqsave(lock, flags);
	/* There may be several groups of this number. */
	link = exceptions_list(et, exceptions_lists(et, section), hash);
	for (; (g = rcu_dereference_protected(*link, lockdep_is_held(lock))); link = &g->next) {
		if (g->words[0] != number)
			continue;
		i = snap_group_search(g, g->nr, offset);
		run = i ? snap_group_runs(g)[i - 1] : 0;
		if (!i || offset > snap_run_last(run))
			continue;

		nr = min(nr, snap_run_offset(run) + snap_run_more(run) + 1 - offset);
		r = snap_group_delete(g, i - 1, offset, nr);
		if (r == -ENOSPC && *spare) {
			snap_group_init(*spare, number, SNAP_GROUP_CHUNKS);
			group_replace(link, g, *spare, lock);
			r = snap_group_delete(*spare, i - 1, offset, nr);
			*spare = NULL;
		}
		break;
	}
	spin_unlock_irqrestore(lock, flags);
	if (!r)
		return nr;
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
	struct snap_group __rcu **head;
	struct snap_group *g, *next;
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
	u64 groups = min_t(u64, (origin_chunks >> SNAP_GROUP_BITS) + 1, cow_chunks + 1);
	struct snap_exception_lists *lists;
	unsigned int i, nr;

	et->section_bits = clamp_t(int, order_base_2(groups) - SECTION_GROUP_BITS,
				   MIN_SECTION_BITS, MAX_SECTION_BITS);
	et->section_shift = 64 - et->section_bits;
	nr = clamp_t(u64, groups >> (et->section_bits + GROUPS_OF_A_LIST_BITS), MIN_LISTS,
		     MAX_LISTS);
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
	struct snap_group *g, *next;
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
