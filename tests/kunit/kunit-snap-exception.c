// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of exceptions: what is added is found, joined with what it continues, and found by
 * readers who take no lock while it is added to.
 */
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "kunit-lib.h"

/*
 * Memory for groups, counted. There may be none for a larger group, nor for the first one.
 */

static atomic_t groups_live;

static void *group_kmalloc(size_t size, gfp_t gfp)
{
	void *group = ku_may_allocate() ? kmalloc(size, gfp) : NULL;

	if (group)
		atomic_inc(&groups_live);
	return group;
}

static void group_kfree(const void *group)
{
	if (group)
		atomic_dec(&groups_live);
	kfree(group);
}

/* kfree_rcu(), which takes the name of a member; the one that is there has that name. */
static void group_kfree_rcu(struct rcu_head *rcu);
#undef kmalloc
#define kmalloc(size, gfp)	group_kmalloc(size, gfp)
#undef kfree_rcu
#define kfree_rcu(g, member)	call_rcu(&(g)->rcu, group_kfree_rcu)
#define kfree(group)		group_kfree(group)

#include "dm-snap-group.c"
#include "dm-snap-exception.c"

static void group_kfree_rcu(struct rcu_head *rcu)
{
	group_kfree(container_of(rcu, struct snap_group, rcu));
}

#define MAX_RUNS	6
#define MAX_NEW		SNAP_RUN_NEW_MASK

/*
 * Runs.
 */

struct run {
	unsigned int offset;
	unsigned int more;
	u64 new;
};

static void run_holds_its_fields(struct kunit *test)
{
	static const struct run runs[] = {
		{ 0, 0, 0 }, { 1, 2, 3 }, { 255, 0, 0 }, { 0, 255, 0 }, { 0, 0, MAX_NEW },
		{ 255, 255, MAX_NEW }, { 128, 127, 1ULL << 47 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(runs); i++) {
		u64 run = snap_run_make(runs[i].offset, runs[i].more, runs[i].new);

		KUNIT_EXPECT_EQ(test, snap_run_offset(run), runs[i].offset);
		KUNIT_EXPECT_EQ(test, snap_run_more(run), runs[i].more);
		KUNIT_EXPECT_EQ(test, snap_run_new(run), runs[i].new);
	}
}

struct touch {
	const char *name;
	struct run a, b;
	bool touch;
};

static const struct touch touches[] = {
	{ "single chunks", { 4, 0, 70 }, { 5, 0, 71 }, true },
	{ "runs", { 4, 3, 70 }, { 8, 9, 74 }, true },
	{ "a gap in the origin", { 4, 0, 70 }, { 6, 0, 71 }, false },
	{ "a gap in the COW device", { 4, 0, 70 }, { 5, 0, 72 }, false },
	{ "the wrong way round", { 5, 0, 71 }, { 4, 0, 70 }, false },
	{ "backwards in the COW device", { 4, 0, 71 }, { 5, 0, 70 }, false },
	{ "the same", { 4, 0, 70 }, { 4, 0, 70 }, false },
	{ "inside", { 4, 3, 70 }, { 5, 0, 71 }, false },
	{ "the ends", { 254, 0, MAX_NEW - 1 }, { 255, 0, MAX_NEW }, true },
};

static void touch_desc(const struct touch *t, char *desc)
{
	strscpy(desc, t->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(touch, touches, touch_desc);

/* A run continues another only if it does so in both devices. */
static void runs_touch_in_both_devices(struct kunit *test)
{
	const struct touch *t = test->param_value;
	u64 a = snap_run_make(t->a.offset, t->a.more, t->a.new);
	u64 b = snap_run_make(t->b.offset, t->b.more, t->b.new);

	KUNIT_EXPECT_EQ(test, snap_runs_touch(a, b), t->touch);
}

/*
 * A group.
 */

static struct snap_group *group_create(struct kunit *test, unsigned int capacity)
{
	struct snap_group *g;

	g = kunit_kzalloc(test, snap_group_alloc_size(capacity), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, g);
	snap_group_init(g, 1, capacity);
	return g;
}

static void group_search_finds_its_place(struct kunit *test)
{
	struct snap_group *g = group_create(test, 4);
	unsigned int nr, offset, expected;

	for (nr = 0; nr <= 4; nr++) {
		/* Offsets 10, 20, and so on: how many are not above? */
		if (nr)
			snap_group_runs(g)[nr - 1] = snap_run_make(10 * nr, 0, 0);
		for (offset = 0; offset < SNAP_GROUP_CHUNKS; offset++) {
			expected = min(offset / 10, nr);
			KUNIT_EXPECT_EQ(test, snap_group_search(g, nr, offset), expected);
		}
	}
}

/* With a map, whichever runs there are: the same as without. */
static void group_search_by_map(struct kunit *test)
{
	struct snap_group *g = group_create(test, SNAP_GROUP_SMALL + 1);
	static const u8 starts[] = { 0, 63, 64, 127, 128, 255 };
	unsigned int set, i, nr, offset, expected;

	KUNIT_ASSERT_TRUE(test, snap_group_has_map(g->capacity));
	for (set = 0; set < BIT(ARRAY_SIZE(starts)); set++) {
		snap_group_init(g, 1, SNAP_GROUP_SMALL + 1);
		for (i = 0; i < ARRAY_SIZE(starts); i++)
			if (set & BIT(i))
				snap_group_insert(g, snap_run_make(starts[i], 0, 3 * i));
		nr = g->nr;
		KUNIT_ASSERT_EQ(test, nr, hweight32(set));
		for (offset = 0; offset < SNAP_GROUP_CHUNKS; offset++) {
			expected = 0;
			for (i = 0; i < ARRAY_SIZE(starts); i++)
				expected += (set & BIT(i)) && starts[i] <= offset;
			KUNIT_ASSERT_EQ(test, snap_group_search(g, nr, offset), expected);
		}
		/* A reader whom a writer overtakes stays within the array. */
		KUNIT_ASSERT_LE(test, snap_group_search(g, nr / 2, SNAP_GROUP_CHUNKS - 1), nr / 2);
	}
}

/* Sizes are powers of two, so that nothing of what is allocated is left unused. */
static void group_uses_what_it_is_given(struct kunit *test)
{
	unsigned int capacity, allocs = 0;
	size_t size;

	/* A lone exception takes 32 bytes, unless lockdep adds to them. */
	if (!IS_ENABLED(CONFIG_DEBUG_LOCK_ALLOC))
		KUNIT_EXPECT_EQ(test, snap_group_alloc_size(1), 32);
	for (capacity = 1; ; capacity++) {
		struct snap_group *g;

		size = snap_group_alloc_size(capacity);
		KUNIT_EXPECT_TRUE(test, is_power_of_2(size));
		KUNIT_EXPECT_GE(test, size, group_size(capacity));
		KUNIT_EXPECT_TRUE(test, size == GROUP_MIN_SIZE || size / 2 < group_size(capacity));

		g = group_create(test, capacity);
		KUNIT_EXPECT_EQ(test, g->nr, 0);
		KUNIT_EXPECT_GE(test, g->capacity, capacity);
		KUNIT_EXPECT_LE(test, group_size(g->capacity), size);
		KUNIT_EXPECT_TRUE(test, g->capacity == SNAP_GROUP_CHUNKS ||
				  group_size(g->capacity + 1) > size);
		allocs++;
		capacity = g->capacity;
		if (capacity == SNAP_GROUP_CHUNKS)
			break;
	}
	/* Up to 4 KiB, none left out. */
	KUNIT_EXPECT_EQ(test, size, 4096);
	KUNIT_EXPECT_EQ(test, allocs, ilog2(size / snap_group_alloc_size(1)) + 1);
}

struct insert {
	const char *name;
	unsigned int nr;	/* of @adds */
	struct run adds[MAX_RUNS];
	int result;		/* of the last one */
	unsigned int nr_runs;
	struct run runs[MAX_RUNS];
};

/* Into a group of capacity 2. */
static const struct insert inserts[] = {
	{ "alone", 1, { { 7, 0, 3 } }, 0, 1, { { 7, 0, 3 } } },
	{ "continues one", 2, { { 7, 0, 3 }, { 8, 0, 4 } }, 0, 1, { { 7, 1, 3 } } },
	{ "is continued by one", 2, { { 8, 0, 4 }, { 7, 0, 3 } }, 0, 1, { { 7, 1, 3 } } },
	{ "fills a gap", 3, { { 7, 0, 3 }, { 9, 0, 5 }, { 8, 0, 4 } }, 0, 1, { { 7, 2, 3 } } },
	{ "fills a gap between runs", 5,
	  { { 7, 0, 3 }, { 8, 0, 4 }, { 10, 0, 6 }, { 11, 0, 7 }, { 9, 0, 5 } }, 0, 1,
	  { { 7, 4, 3 } } },
	{ "near, but elsewhere in the COW device", 2, { { 7, 0, 3 }, { 8, 0, 5 } }, 0, 2,
	  { { 7, 0, 3 }, { 8, 0, 5 } } },
	{ "in front", 2, { { 7, 0, 3 }, { 2, 0, 5 } }, 0, 2, { { 2, 0, 5 }, { 7, 0, 3 } } },
	{ "in a full group", 3, { { 7, 0, 3 }, { 2, 0, 5 }, { 4, 0, 9 } }, -ENOSPC, 2,
	  { { 2, 0, 5 }, { 7, 0, 3 } } },
	{ "continues one in a full group", 3, { { 7, 0, 3 }, { 2, 0, 5 }, { 8, 0, 4 } }, 0, 2,
	  { { 2, 0, 5 }, { 7, 1, 3 } } },
	{ "is continued in a full group", 3, { { 7, 0, 3 }, { 2, 0, 5 }, { 6, 0, 2 } }, 0, 2,
	  { { 2, 0, 5 }, { 6, 1, 2 } } },
	{ "continues on one side only", 3, { { 7, 0, 3 }, { 9, 0, 50 }, { 8, 0, 4 } }, 0, 2,
	  { { 7, 1, 3 }, { 9, 0, 50 } } },
	{ "again", 2, { { 7, 0, 3 }, { 7, 0, 3 } }, -EEXIST, 1, { { 7, 0, 3 } } },
	{ "again, elsewhere", 2, { { 7, 0, 3 }, { 7, 0, 9 } }, -EEXIST, 1, { { 7, 0, 3 } } },
	{ "again, the last of a run", 3, { { 7, 0, 3 }, { 8, 0, 4 }, { 8, 0, 4 } }, -EEXIST, 1,
	  { { 7, 1, 3 } } },
	{ "again, in the middle of a run", 4,
	  { { 7, 0, 3 }, { 8, 0, 4 }, { 9, 0, 5 }, { 8, 0, 9 } }, -EEXIST, 1, { { 7, 2, 3 } } },
	{ "again, in a full group", 3, { { 7, 0, 3 }, { 2, 0, 5 }, { 2, 0, 8 } }, -EEXIST, 2,
	  { { 2, 0, 5 }, { 7, 0, 3 } } },
	{ "a run", 1, { { 7, 3, 3 } }, 0, 1, { { 7, 3, 3 } } },
	{ "a run continues a run", 2, { { 7, 3, 3 }, { 11, 4, 7 } }, 0, 1, { { 7, 8, 3 } } },
	{ "a run is continued by a run", 2, { { 11, 4, 7 }, { 7, 3, 3 } }, 0, 1, { { 7, 8, 3 } } },
	{ "a run fills a gap", 3, { { 0, 3, 3 }, { 9, 246, 12 }, { 4, 4, 7 } }, 0, 1,
	  { { 0, 255, 3 } } },
	{ "a run that starts in a run", 2, { { 7, 3, 3 }, { 10, 4, 6 } }, -EEXIST, 1,
	  { { 7, 3, 3 } } },
	{ "a run that ends in a run", 2, { { 7, 3, 3 }, { 4, 3, 0 } }, -EEXIST, 1,
	  { { 7, 3, 3 } } },
	{ "a run around a chunk", 2, { { 7, 0, 3 }, { 4, 9, 0 } }, -EEXIST, 1, { { 7, 0, 3 } } },
	{ "a run up to a run, elsewhere", 2, { { 7, 3, 3 }, { 4, 2, 90 } }, 0, 2,
	  { { 4, 2, 90 }, { 7, 3, 3 } } },
	{ "a whole group", 1, { { 0, 255, 5 } }, 0, 1, { { 0, 255, 5 } } },
	{ "both ends of a group", 2, { { 0, 0, MAX_NEW }, { 255, 0, 0 } }, 0, 2,
	  { { 0, 0, MAX_NEW }, { 255, 0, 0 } } },
};

static void insert_desc(const struct insert *in, char *desc)
{
	strscpy(desc, in->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(insert, inserts, insert_desc);

static void group_joins_what_is_consecutive(struct kunit *test)
{
	const struct insert *in = test->param_value;
	struct snap_group *g = group_create(test, 2);
	unsigned int i, seq;

	g->capacity = 2;

	for (i = 0; i < in->nr; i++) {
		int r, expected = i + 1 == in->nr ? in->result : 0;

		seq = g->seq.sequence;
		r = snap_group_insert(g, snap_run_make(in->adds[i].offset, in->adds[i].more,
						       in->adds[i].new));
		KUNIT_EXPECT_EQ(test, r, expected);
		/* Readers are told of a change, and of nothing else. */
		KUNIT_EXPECT_EQ(test, g->seq.sequence, seq + (r ? 0 : 2));
	}

	KUNIT_ASSERT_EQ(test, g->nr, in->nr_runs);
	for (i = 0; i < in->nr_runs; i++) {
		KUNIT_EXPECT_EQ(test, snap_run_offset(snap_group_runs(g)[i]), in->runs[i].offset);
		KUNIT_EXPECT_EQ(test, snap_run_more(snap_group_runs(g)[i]), in->runs[i].more);
		KUNIT_EXPECT_EQ(test, snap_run_new(snap_group_runs(g)[i]), in->runs[i].new);
	}
}

/*
 * The table.
 */

struct table_test {
	struct snap_exceptions et;
	bool set_up;
};

static int table_init(struct kunit *test)
{
	/* Snapshots of other suites got theirs here, too. */
	rcu_barrier();
	atomic_set(&groups_live, 0);
	test->priv = kunit_kzalloc(test, sizeof(struct table_test), GFP_KERNEL);
	return test->priv ? 0 : -ENOMEM;
}

static void expect_map(struct kunit *test, struct snap_group *g)
{
	unsigned int i;

	KUNIT_EXPECT_EQ(test, snap_group_map_count(g, SNAP_GROUP_CHUNKS - 1), g->nr);
	for (i = 0; i < g->nr; i++) {
		unsigned int offset = snap_run_offset(snap_group_runs(g)[i]);

		KUNIT_EXPECT_EQ(test, snap_group_map_count(g, offset), i + 1);
		if (offset)
			KUNIT_EXPECT_EQ(test, snap_group_map_count(g, offset - 1), i);
	}
}

/* Maps say where runs start, whatever was done. */
static void expect_maps(struct kunit *test, struct snap_exceptions *et)
{
	struct snap_exception_lists *lists;
	struct snap_group *g;
	unsigned int section, i;

	for (section = 0; section < BIT(et->section_bits); section++) {
		lists = rcu_dereference_protected(et->sections[section].lists, 1);
		for (i = 0; i < lists->nr; i++)
			for (g = rcu_dereference_protected(lists->heads[i], 1); g;
			     g = rcu_dereference_protected(g->next, 1))
				if (snap_group_has_map(g->capacity))
					expect_map(test, g);
	}
}

/* Whatever became of the table, its maps are right and its memory is returned. */
static void table_exit(struct kunit *test)
{
	struct table_test *tt = test->priv;

	ku_allow(KU_ALL);
	if (tt && tt->set_up) {
		/* Who gives a section more lists moves groups. */
		flush_work(&tt->et.grow);
		expect_maps(test, &tt->et);
		snap_exceptions_exit(&tt->et);
	}
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_read(&groups_live), 0);
}

static struct snap_exceptions *table(struct kunit *test)
{
	struct table_test *tt = test->priv;

	KUNIT_ASSERT_EQ(test, snap_exceptions_init(&tt->et, 1 << 20, 1 << 20), 0);
	tt->set_up = true;
	return &tt->et;
}

static int add_run(struct snap_exceptions *et, u64 old, u64 new, unsigned int nr)
{
	struct snap_group *room = snap_exception_room(true);
	int r = room ? snap_exception_add(et, old, new, nr, &room) : -ENOMEM;

	group_kfree(room);
	return r;
}

static int add(struct snap_exceptions *et, u64 old, u64 new)
{
	return add_run(et, old, new, 1);
}

static void expect_found(struct kunit *test, struct snap_exceptions *et, u64 old, u64 new)
{
	u64 found = ~new;

	KUNIT_EXPECT_TRUE_MSG(test, snap_exception_lookup(et, old, &found), "chunk %llu", old);
	KUNIT_EXPECT_EQ_MSG(test, found, new, "chunk %llu", old);
}

static void expect_none(struct kunit *test, struct snap_exceptions *et, u64 old)
{
	u64 found = 12345;

	KUNIT_EXPECT_FALSE_MSG(test, snap_exception_lookup(et, old, &found), "chunk %llu", old);
	KUNIT_EXPECT_EQ(test, found, 12345);
}

/* Runs and groups of the table, in all. */
static unsigned int count_runs(struct snap_exceptions *et, unsigned int *nr_groups)
{
	struct snap_exception_lists *lists;
	struct snap_group *g;
	unsigned int section, i, runs = 0;

	*nr_groups = 0;
	for (section = 0; section < BIT(et->section_bits); section++) {
		lists = rcu_dereference_protected(et->sections[section].lists, 1);
		for (i = 0; i < lists->nr; i++) {
			for (g = rcu_dereference_protected(lists->heads[i], 1); g;
			     g = rcu_dereference_protected(g->next, 1)) {
				++*nr_groups;
				runs += g->nr;
			}
		}
	}
	return runs;
}

static void expect_shape(struct kunit *test, struct snap_exceptions *et, unsigned int groups,
			 unsigned int runs)
{
	unsigned int nr_groups, nr_runs = count_runs(et, &nr_groups);

	KUNIT_EXPECT_EQ(test, nr_groups, groups);
	KUNIT_EXPECT_EQ(test, nr_runs, runs);
}

static void finds_nothing_in_an_empty_table(struct kunit *test)
{
	struct snap_exceptions *et = table(test);

	expect_none(test, et, 0);
	expect_none(test, et, 255);
	expect_none(test, et, 256);
	expect_none(test, et, U64_MAX >> 1);
}

static void finds_what_was_added_and_not_its_neighbours(struct kunit *test)
{
	static const u64 olds[] = { 0, 255, 256, 1000, (1ULL << 40) + 3, (1ULL << 55) - 1 };
	struct snap_exceptions *et = table(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(olds); i++) {
		expect_none(test, et, olds[i]);
		KUNIT_EXPECT_EQ(test, add(et, olds[i], MAX_NEW - 2 * i), 0);
	}
	for (i = 0; i < ARRAY_SIZE(olds); i++)
		expect_found(test, et, olds[i], MAX_NEW - 2 * i);
	expect_none(test, et, 1);
	expect_none(test, et, 254);
	expect_none(test, et, 257);
	expect_none(test, et, 999);
	expect_none(test, et, 1001);
	/* Same list or same offset, another group. */
	expect_none(test, et, 1000 + 256);
	expect_none(test, et, (1ULL << 41) + 3);
}

static void refuses_a_second_exception(struct kunit *test)
{
	struct snap_exceptions *et = table(test);

	KUNIT_EXPECT_EQ(test, add(et, 7, 70), 0);
	KUNIT_EXPECT_EQ(test, add(et, 8, 71), 0);
	KUNIT_EXPECT_EQ(test, add(et, 7, 70), -EEXIST);
	KUNIT_EXPECT_EQ(test, add(et, 8, 99), -EEXIST);
	expect_found(test, et, 7, 70);
	expect_found(test, et, 8, 71);
}

/* The memory for the first of a group is used for it, and kept by the caller otherwise. */
static void takes_room_only_for_a_group(struct kunit *test)
{
	struct snap_exceptions *et = table(test);
	struct snap_group *room = snap_exception_room(true);

	KUNIT_ASSERT_NOT_NULL(test, room);
	KUNIT_EXPECT_EQ(test, snap_exception_add(et, 7, 70, 1, &room), 0);
	KUNIT_EXPECT_NULL(test, room);

	room = snap_exception_room(true);
	KUNIT_ASSERT_NOT_NULL(test, room);
	KUNIT_EXPECT_EQ(test, snap_exception_add(et, 9, 90, 1, &room), 0);
	KUNIT_EXPECT_EQ(test, snap_exception_add(et, 9, 90, 1, &room), -EEXIST);
	KUNIT_EXPECT_NOT_NULL(test, room);
	group_kfree(room);
}

struct order {
	const char *name;
	unsigned int first, step, last;	/* offsets, then the rest in ascending order */
};

static const struct order orders[] = {
	{ "ascending", 0, 1, 255 },
	{ "every second first", 0, 2, 254 },
	{ "every seventh first", 3, 7, 255 },
	{ "ends first", 0, 255, 255 },
};

static void order_desc(const struct order *o, char *desc)
{
	strscpy(desc, o->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(order, orders, order_desc);

/* In whatever order, 256 chunks that follow each other in both devices end up as one run. */
static void consecutive_chunks_become_one_run(struct kunit *test)
{
	const struct order *o = test->param_value;
	struct snap_exceptions *et = table(test);
	unsigned int i;
	u64 new;

	for (i = o->first; i <= o->last; i += o->step)
		KUNIT_EXPECT_EQ(test, add(et, 512 + i, 5000 + i), 0);
	for (i = 0; i < SNAP_GROUP_CHUNKS; i++)
		if (!snap_exception_lookup(et, 512 + i, &new))
			KUNIT_EXPECT_EQ(test, add(et, 512 + i, 5000 + i), 0);

	expect_shape(test, et, 1, 1);
	expect_none(test, et, 511);
	for (i = 0; i < SNAP_GROUP_CHUNKS; i++)
		expect_found(test, et, 512 + i, 5000 + i);
	expect_none(test, et, 768);
}

static void descending_chunks_become_one_run(struct kunit *test)
{
	struct snap_exceptions *et = table(test);
	int i;

	for (i = SNAP_GROUP_CHUNKS - 1; i >= 0; i--)
		KUNIT_EXPECT_EQ(test, add(et, i, 5000 + i), 0);
	expect_shape(test, et, 1, 1);
	for (i = 0; i < SNAP_GROUP_CHUNKS; i++)
		expect_found(test, et, i, 5000 + i);
}

/* A run does not go on in the next group, where its offset would be 0. */
static void runs_end_with_their_group(struct kunit *test)
{
	struct snap_exceptions *et = table(test);
	unsigned int i;

	for (i = 250; i < 262; i++)
		KUNIT_EXPECT_EQ(test, add(et, i, 40 + i), 0);
	expect_shape(test, et, 2, 2);
	for (i = 250; i < 262; i++)
		expect_found(test, et, i, 40 + i);
	expect_none(test, et, 249);
	expect_none(test, et, 262);
}

/* The most that a group can hold: 256 exceptions none of which continues another. */
static void holds_256_that_do_not_touch(struct kunit *test)
{
	struct snap_exceptions *et = table(test);
	unsigned int i, old;

	for (i = 0; i < SNAP_GROUP_CHUNKS; i++) {
		old = i * 77 % SNAP_GROUP_CHUNKS;
		KUNIT_EXPECT_EQ(test, add(et, old, 2 * old), 0);
	}
	expect_shape(test, et, 1, SNAP_GROUP_CHUNKS);
	for (i = 0; i < SNAP_GROUP_CHUNKS; i++)
		expect_found(test, et, i, 2 * i);
	KUNIT_EXPECT_EQ(test, add(et, 255, 1), -EEXIST);
	/* Those that were replaced on the way are freed: one is left. */
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_read(&groups_live), 1);
}

/* Without memory for a larger group there are several with the same number. */
static void adds_without_memory_for_growth(struct kunit *test)
{
	struct snap_exceptions *et = table(test);
	unsigned int i, groups, expected = DIV_ROUND_UP(64, group_create(test, 1)->capacity);

	/* Nor is there any for lists, which would bring the groups into another order. */
	for (i = 0; i < BIT(et->section_bits); i++)
		et->locks[i].limit = UINT_MAX;
	for (i = 0; i < 64; i++) {
		/* For what is given as room, and nothing else. */
		ku_allow(1);
		KUNIT_EXPECT_EQ(test, add(et, 2 * i, 1000 - 2 * i), 0);
	}
	ku_allow(KU_ALL);
	KUNIT_EXPECT_EQ(test, count_runs(et, &groups), 64);
	KUNIT_EXPECT_EQ(test, groups, expected);
	for (i = 0; i < 64; i++) {
		expect_found(test, et, 2 * i, 1000 - 2 * i);
		expect_none(test, et, 2 * i + 1);
	}

	/* With memory again, one of them grows; all are still found. */
	for (i = 0; i < 64; i++)
		KUNIT_EXPECT_EQ(test, add(et, 2 * i + 1, 5000 - 2 * i), 0);
	for (i = 0; i < 64; i++) {
		expect_found(test, et, 2 * i, 1000 - 2 * i);
		expect_found(test, et, 2 * i + 1, 5000 - 2 * i);
	}
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_read(&groups_live), expected);
}

struct bits {
	u64 origin_chunks, cow_chunks;
	unsigned int bits;
};

static const struct bits hash_sizes[] = {
	{ 0, 0, MIN_SECTION_BITS },
	{ U64_MAX, 0, MIN_SECTION_BITS },
	{ 0, U64_MAX - 1, MIN_SECTION_BITS },
	/* 2 GiB of chunks of 4 KiB */
	{ 1ULL << 19, 1ULL << 19, MIN_SECTION_BITS },
	{ (1ULL << 16 << SNAP_GROUP_BITS) - 1, 1ULL << 47, 8 },
	{ 1ULL << 16 << SNAP_GROUP_BITS, 1ULL << 47, 9 },
	{ 1ULL << 30, 99, MIN_SECTION_BITS },
	{ (1ULL << 20 << SNAP_GROUP_BITS) - 1, 1ULL << 47, 12 },
	{ U64_MAX, 1ULL << 47, MAX_SECTION_BITS },
};

static void bits_desc(const struct bits *b, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%llu chunks, %llu in the COW device",
		 b->origin_chunks, b->cow_chunks);
}

KUNIT_ARRAY_PARAM(bits, hash_sizes, bits_desc);

/* Sections for as many groups as there can be, within limits. */
static void table_fits_the_devices(struct kunit *test)
{
	const struct bits *b = test->param_value;
	struct table_test *tt = test->priv;

	KUNIT_ASSERT_EQ(test, snap_exceptions_init(&tt->et, b->origin_chunks, b->cow_chunks), 0);
	tt->set_up = true;
	KUNIT_EXPECT_EQ(test, tt->et.section_bits, b->bits);
}

/*
 * Growth.
 */

static unsigned int longest_list(struct kunit *test, struct snap_exceptions *et)
{
	struct snap_exception_lists *lists;
	struct snap_group *g;
	unsigned int section, i, nr, longest = 0;

	for (section = 0; section < BIT(et->section_bits); section++) {
		lists = rcu_dereference_protected(et->sections[section].lists, 1);
		KUNIT_EXPECT_GE(test, lists->nr, et->locks[section].nr);
		for (i = 0; i < lists->nr; i++) {
			nr = 0;
			for (g = rcu_dereference_protected(lists->heads[i], 1); g;
			     g = rcu_dereference_protected(g->next, 1))
				nr++;
			longest = max(longest, nr);
		}
	}
	return longest;
}

#define GROWN_GROUPS	20000U

/* Far apart, as they might be on a large device. */
static u64 grown_chunk(unsigned int i)
{
	return ((u64)i * 2654435761U & GENMASK_ULL(39, 0)) << SNAP_GROUP_BITS;
}

/* However many groups there are, lists stay short, and all of them are found. */
static void lists_stay_short(struct kunit *test)
{
	struct snap_exceptions *et = table(test);
	unsigned int i;

	for (i = 0; i < GROWN_GROUPS; i++)
		KUNIT_ASSERT_EQ(test, add(et, grown_chunk(i), i), 0);
	flush_work(&et->grow);
	KUNIT_EXPECT_LE(test, longest_list(test, et), 10);
	for (i = 0; i < GROWN_GROUPS; i++)
		expect_found(test, et, grown_chunk(i), i);
	expect_none(test, et, 1);
	expect_shape(test, et, GROWN_GROUPS, GROWN_GROUPS);
}

struct growth {
	struct snap_exceptions *et;
	unsigned int added;
	atomic_t wrong;
	atomic_t missed;
};

/* One CPU adds, the table grows, and the others always find what has been added. */
static void grow_on_cpu(unsigned int cpu, void *arg)
{
	struct growth *g = arg;
	unsigned int i, added;
	u64 new;

	if (cpu == cpumask_first(cpu_online_mask)) {
		for (i = 0; i < GROWN_GROUPS; i++) {
			if (add(g->et, grown_chunk(i), i))
				atomic_inc(&g->wrong);
			/* Pairs with the load of a reader, who then finds it. */
			smp_store_release(&g->added, i + 1);
			if (i % 64 == 0)
				cond_resched();
		}
		return;
	}
	do {
		/* Pairs with the store of the CPU that adds. */
		added = smp_load_acquire(&g->added);
		for (i = 0; i < 64 && added; i++) {
			unsigned int which = get_random_u32() % added;

			if (!snap_exception_lookup(g->et, grown_chunk(which), &new) || new != which)
				atomic_inc(&g->missed);
		}
		cond_resched();
	} while (added < GROWN_GROUPS);
}

static void readers_find_all_in_a_growing_table(struct kunit *test)
{
	struct growth *g = kunit_kzalloc(test, sizeof(*g), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, g);
	if (num_online_cpus() < 2)
		kunit_skip(test, "one CPU only");
	g->et = table(test);
	ku_run_on_cpus(test, grow_on_cpu, g);
	flush_work(&g->et->grow);
	KUNIT_EXPECT_EQ(test, atomic_read(&g->wrong), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&g->missed), 0);
	KUNIT_EXPECT_LE(test, longest_list(test, g->et), 10);
}

/*
 * A model: any order, any mixture of runs.
 */

#define MODEL_CHUNKS	(8 * SNAP_GROUP_CHUNKS)

struct model {
	struct snap_exceptions *et;
	u64 new[MODEL_CHUNKS];
	u16 order[MODEL_CHUNKS];
	unsigned int added;	/* so many of @order can be found */
	atomic_t wrong;
	atomic_t missed;
	atomic_t lookups;
};

/* Chunk @i's copy: stretches that are consecutive, of all lengths up to 32. */
static struct model *model_create(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	unsigned int i, k, stretch = 0;
	u64 new = 0;

	KUNIT_ASSERT_NOT_NULL(test, m);
	m->et = table(test);
	for (i = 0; i < MODEL_CHUNKS; i++) {
		if (!stretch--) {
			stretch = get_random_u32() % 32;
			new += 100;
		}
		m->new[i] = new++;
		m->order[i] = i;
	}
	for (i = MODEL_CHUNKS - 1; i; i--) {
		k = get_random_u32() % (i + 1);
		swap(m->order[i], m->order[k]);
	}
	return m;
}

static void agrees_with_a_model(struct kunit *test)
{
	struct model *m = model_create(test);
	unsigned int i, k, runs = 0, groups;

	for (i = 0; i < MODEL_CHUNKS; i++) {
		KUNIT_EXPECT_EQ(test, add(m->et, m->order[i], m->new[m->order[i]]), 0);
		if (i % 256)
			continue;
		for (k = 0; k <= i; k++)
			expect_found(test, m->et, m->order[k], m->new[m->order[k]]);
		for (; k < MODEL_CHUNKS; k++)
			expect_none(test, m->et, m->order[k]);
	}
	/* All that can be joined has been. */
	for (i = 0; i < MODEL_CHUNKS; i++) {
		expect_found(test, m->et, i, m->new[i]);
		if (i % SNAP_GROUP_CHUNKS == 0 || m->new[i] != m->new[i - 1] + 1)
			runs++;
	}
	KUNIT_EXPECT_EQ(test, count_runs(m->et, &groups), runs);
	KUNIT_EXPECT_EQ(test, groups, MODEL_CHUNKS / SNAP_GROUP_CHUNKS);
}

/*
 * Many at once.
 */

static int compare_olds(const void *a, const void *b)
{
	const struct snap_exception *x = a, *y = b;

	return x->old < y->old ? -1 : x->old > y->old;
}

/* In sorted batches of any size, with single ones between them: the same as one by one. */
static void sorted_batches_agree_with_a_model(struct kunit *test)
{
	struct model *m = model_create(test);
	unsigned int i = 0, k, nr, runs = 0, groups;
	struct snap_exception *all;
	u64 twice;

	all = kunit_kcalloc(test, MODEL_CHUNKS, sizeof(*all), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, all);
	while (i < MODEL_CHUNKS) {
		nr = min(get_random_u32() % 300 + 1, MODEL_CHUNKS - i);
		for (k = 0; k < nr; k++) {
			all[k].old = m->order[i + k];
			all[k].new = m->new[all[k].old];
		}
		sort(all, nr, sizeof(*all), compare_olds, NULL);
		KUNIT_ASSERT_EQ(test, snap_exception_add_sorted(m->et, all, nr, &twice), 0);
		i += nr;
		if (i < MODEL_CHUNKS) {
			KUNIT_ASSERT_EQ(test, add(m->et, m->order[i], m->new[m->order[i]]), 0);
			i++;
		}
		for (k = 0; k < i; k++)
			expect_found(test, m->et, m->order[k], m->new[m->order[k]]);
		for (; k < MODEL_CHUNKS; k++)
			expect_none(test, m->et, m->order[k]);
		expect_maps(test, m->et);
	}
	for (i = 0; i < MODEL_CHUNKS; i++)
		if (i % SNAP_GROUP_CHUNKS == 0 || m->new[i] != m->new[i - 1] + 1)
			runs++;
	KUNIT_EXPECT_EQ(test, count_runs(m->et, &groups), runs);
	KUNIT_EXPECT_EQ(test, groups, MODEL_CHUNKS / SNAP_GROUP_CHUNKS);
}

struct twice {
	const char *name;
	unsigned int first, step, nr;	/* a batch: chunks of the origin */
	unsigned int again, length;	/* a second one: chunks that follow each other */
	unsigned int found;		/* the first that is there twice; SNAP_GROUP_CHUNKS: none */
};

static const struct twice twices[] = {
	{ "the same chunk", 7, 1, 1, 7, 1, 7 },
	{ "in a run", 4, 1, 9, 7, 1, 7 },
	{ "a run over a chunk", 7, 1, 1, 4, 9, 7 },
	{ "the start of a run", 7, 1, 9, 4, 4, 7 },
	{ "the end of a run", 4, 1, 4, 7, 9, 7 },
	{ "beside a run", 4, 1, 4, 8, 9, SNAP_GROUP_CHUNKS },
	{ "before a run", 8, 1, 4, 4, 4, SNAP_GROUP_CHUNKS },
	{ "in a full group", 0, 1, 256, 100, 1, 100 },
	{ "in a full group of chunks", 0, 2, 128, 0, 200, 0 },
};

static void twice_desc(const struct twice *t, char *desc)
{
	strscpy(desc, t->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(twice, twices, twice_desc);

/* Copies never follow each other here, so that there are as many runs as chunks. */
static int add_stretch(struct kunit *test, struct snap_exceptions *et, unsigned int first,
		       unsigned int step, unsigned int nr, u64 new, u64 *twice)
{
	struct snap_exception *all = kunit_kcalloc(test, nr, sizeof(*all), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, all);
	for (i = 0; i < nr; i++)
		all[i] = (struct snap_exception) { first + i * step, new + 2 * i };
	return snap_exception_add_sorted(et, all, nr, twice);
}

static void sorted_batches_find_what_is_twice(struct kunit *test)
{
	const struct twice *t = test->param_value;
	struct snap_exceptions *et = table(test);
	bool found = t->found < SNAP_GROUP_CHUNKS;
	u64 twice = 12345;

	KUNIT_ASSERT_EQ(test, add_stretch(test, et, t->first, t->step, t->nr, 1000, &twice), 0);
	KUNIT_EXPECT_EQ(test, add_stretch(test, et, t->again, 1, t->length, 5000, &twice),
			found ? -EEXIST : 0);
	if (found)
		KUNIT_EXPECT_EQ(test, twice, t->found);
}

/* Twice in one batch, also so often that there are more of them than chunks of a group. */
static void sorted_batch_has_a_chunk_twice(struct kunit *test)
{
	struct snap_exceptions *et = table(test);
	struct snap_exception *all;
	unsigned int i;
	u64 twice;

	all = kunit_kcalloc(test, 300, sizeof(*all), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, all);
	for (i = 0; i < 300; i++)
		all[i] = (struct snap_exception) { 512 + 9, 1000 + 2 * i };
	KUNIT_EXPECT_EQ(test, snap_exception_add_sorted(et, all, 2, &twice), -EEXIST);
	KUNIT_EXPECT_EQ(test, twice, 512 + 9);
	for (i = 0; i < 300; i++)
		all[i].old += 512;
	twice = 0;
	KUNIT_EXPECT_EQ(test, snap_exception_add_sorted(et, all, 300, &twice), -EEXIST);
	KUNIT_EXPECT_EQ(test, twice, 1024 + 9);
}

static void sorted_batch_without_memory(struct kunit *test)
{
	struct snap_exceptions *et = table(test);
	u64 twice;

	ku_allow(0);
	KUNIT_EXPECT_EQ(test, add_stretch(test, et, 0, 1, 10, 1000, &twice), -ENOMEM);
	ku_allow(1);
	KUNIT_EXPECT_EQ(test, add_stretch(test, et, 0, 1, 10, 1000, &twice), -ENOMEM);
	ku_allow(2);
	KUNIT_EXPECT_EQ(test, add_stretch(test, et, 0, 1, 10, 1000, &twice), 0);
	expect_shape(test, et, 1, 10);
}

/*
 * Runs, by the model.
 */

/* How many chunks from @old on are in the table, or not, as @in says, and their copies follow. */
static u64 model_run(const struct model *m, const unsigned long *in, u64 old, u64 max, bool follow)
{
	u64 nr = 1;

	/* Those without exceptions end with their group. */
	if (!test_bit(old, in))
		max = min(max, SNAP_GROUP_CHUNKS - old % SNAP_GROUP_CHUNKS);
	while (nr < max && old + nr < MODEL_CHUNKS &&
	       test_bit(old + nr, in) == test_bit(old, in) &&
	       (!follow || m->new[old + nr] == m->new[old] + nr))
		nr++;
	return nr;
}

static void expect_runs(struct kunit *test, struct model *m, const unsigned long *in, u64 max)
{
	u64 old, nr, new;

	for (old = 0; old < MODEL_CHUNKS; old++) {
		/* Beyond the model there are none. */
		u64 most = min_t(u64, max, MODEL_CHUNKS - old);
		bool has = test_bit(old, in);

		new = 12345;
		nr = 0;
		KUNIT_EXPECT_EQ(test, snap_exception_lookup_run(m->et, old, most, &new, &nr), has);
		KUNIT_EXPECT_EQ(test, new, has ? m->new[old] : 12345);
		KUNIT_EXPECT_EQ_MSG(test, nr, model_run(m, in, old, most, has),
				    "chunk %llu of %llu", old, most);
		KUNIT_EXPECT_EQ(test, snap_exception_count(m->et, old, most),
				has ? model_run(m, in, old, most, false) : 0);
	}
}

/* Whatever has been added, in whatever order, the runs are as long as they are. */
static void look_ups_of_runs_agree_with_a_model(struct kunit *test)
{
	struct model *m = model_create(test);
	unsigned long *in = kunit_kzalloc(test, BITS_TO_LONGS(MODEL_CHUNKS) * sizeof(long),
					  GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, in);
	for (i = 0; i < MODEL_CHUNKS; i++) {
		if (i % 512 == 0)
			expect_runs(test, m, in, i % 1024 ? MODEL_CHUNKS : 40);
		KUNIT_ASSERT_EQ(test, add(m->et, m->order[i], m->new[m->order[i]]), 0);
		__set_bit(m->order[i], in);
	}
	expect_runs(test, m, in, 1);
	expect_runs(test, m, in, MODEL_CHUNKS);
}

/* A group that could not grow is two, each of which has only some of the chunks. */
static void runs_cross_the_groups_of_a_number(struct kunit *test)
{
	struct snap_exceptions *et = table(test);
	struct snap_group *rooms[16] = {};
	unsigned int i, groups;
	u64 new, nr;

	for (i = 0; i < ARRAY_SIZE(rooms); i++)
		rooms[i] = snap_exception_room(true);
	ku_allow(0);
	/* Every other chunk; then those between, which continue them in another group. */
	for (i = 0; i < ARRAY_SIZE(rooms); i++)
		KUNIT_EXPECT_EQ(test, snap_exception_add(et, 4 * i, 1000 + 4 * i, 2, &rooms[i]), 0);
	ku_allow(KU_ALL);
	count_runs(et, &groups);
	KUNIT_ASSERT_GT(test, groups, 1);
	for (i = 0; i < ARRAY_SIZE(rooms); i++) {
		KUNIT_EXPECT_TRUE(test, snap_exception_lookup_run(et, 4 * i, 9, &new, &nr));
		KUNIT_EXPECT_EQ(test, nr, 2);
		KUNIT_EXPECT_FALSE(test, snap_exception_lookup_run(et, 4 * i + 2, 9, &new, &nr));
		KUNIT_EXPECT_EQ(test, nr, i + 1 < ARRAY_SIZE(rooms) ? 2 : 9);
		group_kfree(rooms[i]);
	}
	for (i = 0; i < ARRAY_SIZE(rooms); i++)
		KUNIT_EXPECT_EQ(test, add_run(et, 4 * i + 2, 1000 + 4 * i + 2, 2), 0);
	KUNIT_EXPECT_TRUE(test, snap_exception_lookup_run(et, 3, 1000, &new, &nr));
	KUNIT_EXPECT_EQ(test, new, 1003);
	KUNIT_EXPECT_EQ(test, nr, 4 * ARRAY_SIZE(rooms) - 3);
	KUNIT_EXPECT_EQ(test, snap_exception_count(et, 0, 1000), 4 * ARRAY_SIZE(rooms));
}

/* What is wrong is refused, and leaves no trace. */
static void refuses_runs_that_do_not_fit(struct kunit *test)
{
	struct snap_exceptions *et = table(test);

	KUNIT_EXPECT_EQ(test, add_run(et, 300, 7, 10), 0);
	KUNIT_EXPECT_EQ(test, add_run(et, 295, 70, 6), -EEXIST);
	KUNIT_EXPECT_EQ(test, add_run(et, 309, 70, 6), -EEXIST);
	KUNIT_EXPECT_EQ(test, add_run(et, 290, 70, 100), -EEXIST);
	expect_none(test, et, 299);
	expect_none(test, et, 310);
	expect_shape(test, et, 1, 1);
}

/* The first CPU to come adds; the others look up, until it has added all. */
static void model_on_cpu(unsigned int cpu, void *arg)
{
	struct model *m = arg;
	unsigned int added, i, nr = 0;
	u64 new;

	if (cpu == cpumask_first(cpu_online_mask)) {
		for (i = 0; i < MODEL_CHUNKS; i++) {
			if (add(m->et, m->order[i], m->new[m->order[i]]))
				atomic_inc(&m->wrong);
			/* Pairs with the load of a reader, who then finds it. */
			smp_store_release(&m->added, i + 1);
			/* Now and then long enough for readers to see a table at rest. */
			if (i % 64 == 0)
				usleep_range(100, 200);
		}
		return;
	}

	do {
		/* Pairs with the store of the CPU that adds. */
		added = smp_load_acquire(&m->added);
		/* What has been added is found; half the time it is what was added just now. */
		if (added) {
			i = nr & 1 ? added - 1 : get_random_u32() % added;
			if (!snap_exception_lookup(m->et, m->order[i], &new))
				atomic_inc(&m->missed);
			else if (new != m->new[m->order[i]])
				atomic_inc(&m->wrong);
		}
		/* What is being added is found or not, but not anything else. */
		i = min_t(unsigned int, added + get_random_u32() % 2, MODEL_CHUNKS - 1);
		if (snap_exception_lookup(m->et, m->order[i], &new) &&
		    new != m->new[m->order[i]])
			atomic_inc(&m->wrong);
		if (++nr % 64 == 0)
			cond_resched();
	} while (added < MODEL_CHUNKS);
	atomic_add(nr, &m->lookups);
}

static void readers_see_all_that_was_added(struct kunit *test)
{
	struct model *m = model_create(test);

	if (num_online_cpus() < 2)
		kunit_skip(test, "one CPU only");
	ku_run_on_cpus(test, model_on_cpu, m);
	KUNIT_EXPECT_EQ(test, atomic_read(&m->missed), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&m->wrong), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&m->lookups), 100);
}

/* Each CPU adds its part, into the same groups. */
static void add_on_cpu(unsigned int cpu, void *arg)
{
	unsigned int i, n = num_online_cpus(), index = 0;
	struct model *m = arg;
	int other;

	for_each_online_cpu(other)
		index += other < cpu;
	for (i = index; i < MODEL_CHUNKS; i += n)
		if (add(m->et, m->order[i], m->new[m->order[i]]))
			atomic_inc(&m->wrong);
}

static void all_cpus_add(struct kunit *test)
{
	struct model *m = model_create(test);
	unsigned int i;

	ku_run_on_cpus(test, add_on_cpu, m);
	KUNIT_EXPECT_EQ(test, atomic_read(&m->wrong), 0);
	for (i = 0; i < MODEL_CHUNKS; i++)
		expect_found(test, m->et, i, m->new[i]);
}

/*
 * Removing.
 */

static int remove_some(struct snap_exceptions *et, u64 old, unsigned int nr)
{
	struct snap_group *spare = NULL;
	int r = snap_exception_remove(et, old, nr, &spare);

	if (r == -ENOMEM) {
		spare = snap_exception_spare();
		r = spare ? snap_exception_remove(et, old, nr, &spare) : -ENOMEM;
	}
	group_kfree(spare);
	return r;
}

static int remove_one(struct snap_exceptions *et, u64 old)
{
	int r = remove_some(et, old, 1);

	return r == 1 ? 0 : r;
}

/* In any order, whatever runs fall into pieces: those that are left are found, and no others. */
static void removes_in_any_order(struct kunit *test)
{
	struct model *m = model_create(test);
	unsigned int i, k;
	u64 new;

	for (i = 0; i < MODEL_CHUNKS; i++)
		KUNIT_ASSERT_EQ(test, add(m->et, i, 1000 + i), 0);
	for (i = 0; i < MODEL_CHUNKS; i++) {
		KUNIT_ASSERT_EQ(test, remove_one(m->et, m->order[i]), 0);
		KUNIT_ASSERT_EQ(test, remove_one(m->et, m->order[i]), -ENOENT);
		if (i % 16)
			continue;
		for (k = 0; k < MODEL_CHUNKS; k++) {
			bool found = snap_exception_lookup(m->et, m->order[k], &new);

			KUNIT_ASSERT_EQ(test, found, k > i);
			if (found)
				KUNIT_EXPECT_EQ(test, new, 1000 + m->order[k]);
		}
	}
	/* What is free again can be used again. */
	KUNIT_EXPECT_EQ(test, add(m->et, 5, 7), 0);
	expect_found(test, m->et, 5, 7);
}

/*
 * As many as are asked for, but no further than those of one run, and of one group, go: from its
 * beginning, its end, its middle, and all of it.
 */
static void removes_runs(struct kunit *test)
{
	struct model *m = model_create(test);
	unsigned int i, nr, left, rest, round;
	u64 new;

	for (round = 0; round < 4; round++) {
		/* Each half of a group is elsewhere. */
		for (i = 0; i < 512; i++)
			KUNIT_ASSERT_EQ(test, add(m->et, i, 1000 + i + i / 128 * 1000), 0);
		for (left = 512; left; left -= rest) {
			i = get_random_u32() % 512;
			while (!snap_exception_lookup(m->et, i, &new))
				i = (i + 1) % 512;
			nr = 1 + get_random_u32() % (round < 2 ? 20 : 200);
			for (rest = 1; rest < nr && (i + rest) / 128 == i / 128 &&
			     snap_exception_lookup(m->et, i + rest, &new); rest++)
				;
			KUNIT_ASSERT_EQ(test, remove_some(m->et, i, nr), (int)rest);
			KUNIT_ASSERT_EQ(test, remove_some(m->et, i + rest - 1, nr), -ENOENT);
			for (i = 0, nr = 0; i < 512; i++) {
				if (!snap_exception_lookup(m->et, i, &new))
					continue;
				KUNIT_EXPECT_EQ(test, new, 1000 + i + i / 128 * 1000);
				nr++;
			}
			KUNIT_ASSERT_EQ(test, nr, left - rest);
		}
	}
}

/* Only a run that falls into two may need memory, and says so without having changed anything. */
static void removal_asks_for_memory(struct kunit *test)
{
	struct model *m = model_create(test);
	struct snap_group *none = NULL;
	unsigned int i, k;
	int r = 0;

	for (i = 0; i < 40; i++)
		KUNIT_ASSERT_EQ(test, add(m->et, i, 100 + i), 0);
	/* From the ends it never does. */
	KUNIT_EXPECT_EQ(test, snap_exception_remove(m->et, 0, 1, &none), 1);
	KUNIT_EXPECT_EQ(test, snap_exception_remove(m->et, 39, 1, &none), 1);
	for (i = 2; i < 38; i += 2) {
		r = snap_exception_remove(m->et, i, 1, &none);
		if (r != 1)
			break;
	}
	KUNIT_ASSERT_EQ(test, r, -ENOMEM);
	for (k = i; k < 39; k++)
		expect_found(test, m->et, k, 100 + k);
	KUNIT_EXPECT_EQ(test, remove_one(m->et, i), 0);
	/* The larger group has room for all. */
	for (k = i + 2; k < 38; k += 2)
		KUNIT_EXPECT_EQ(test, snap_exception_remove(m->et, k, 1, &none), 1);
	for (k = 1; k < 39; k += 2)
		expect_found(test, m->et, k, 100 + k);
}

/* One CPU takes every other chunk out of a run; the others always find those that stay. */
static void remove_on_cpu(unsigned int cpu, void *arg)
{
	struct model *m = arg;
	unsigned int i, round;
	u64 new;

	if (cpu == cpumask_first(cpu_online_mask)) {
		for (i = 0; i < MODEL_CHUNKS; i += 2)
			if (remove_one(m->et, i))
				atomic_inc(&m->wrong);
		return;
	}
	for (round = 0; round < 20; round++) {
		for (i = 1; i < MODEL_CHUNKS; i += 2)
			if (!snap_exception_lookup(m->et, i, &new) || new != 1000 + i)
				atomic_inc(&m->missed);
		cond_resched();
	}
}

static void readers_see_what_stays(struct kunit *test)
{
	struct model *m = model_create(test);
	unsigned int i;

	for (i = 0; i < MODEL_CHUNKS; i++)
		KUNIT_ASSERT_EQ(test, add(m->et, i, 1000 + i), 0);
	ku_run_on_cpus(test, remove_on_cpu, m);
	KUNIT_EXPECT_EQ(test, atomic_read(&m->wrong), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&m->missed), 0);
}

static struct kunit_case exception_cases[] = {
	KUNIT_CASE(run_holds_its_fields),
	KUNIT_CASE_PARAM(runs_touch_in_both_devices, touch_gen_params),
	KUNIT_CASE(group_search_finds_its_place),
	KUNIT_CASE(group_search_by_map),
	KUNIT_CASE(group_uses_what_it_is_given),
	KUNIT_CASE_PARAM(group_joins_what_is_consecutive, insert_gen_params),
	KUNIT_CASE(finds_nothing_in_an_empty_table),
	KUNIT_CASE(finds_what_was_added_and_not_its_neighbours),
	KUNIT_CASE(refuses_a_second_exception),
	KUNIT_CASE(takes_room_only_for_a_group),
	KUNIT_CASE_PARAM(consecutive_chunks_become_one_run, order_gen_params),
	KUNIT_CASE(descending_chunks_become_one_run),
	KUNIT_CASE(runs_end_with_their_group),
	KUNIT_CASE(holds_256_that_do_not_touch),
	KUNIT_CASE(adds_without_memory_for_growth),
	KUNIT_CASE_PARAM(table_fits_the_devices, bits_gen_params),
	KUNIT_CASE(lists_stay_short),
	KUNIT_CASE(readers_find_all_in_a_growing_table),
	KUNIT_CASE(agrees_with_a_model),
	KUNIT_CASE(sorted_batches_agree_with_a_model),
	KUNIT_CASE_PARAM(sorted_batches_find_what_is_twice, twice_gen_params),
	KUNIT_CASE(sorted_batch_has_a_chunk_twice),
	KUNIT_CASE(sorted_batch_without_memory),
	KUNIT_CASE(look_ups_of_runs_agree_with_a_model),
	KUNIT_CASE(runs_cross_the_groups_of_a_number),
	KUNIT_CASE(refuses_runs_that_do_not_fit),
	KUNIT_CASE(readers_see_all_that_was_added),
	KUNIT_CASE(all_cpus_add),
	KUNIT_CASE(removes_in_any_order),
	KUNIT_CASE(removes_runs),
	KUNIT_CASE(removal_asks_for_memory),
	KUNIT_CASE(readers_see_what_stays),
	{}
};

static struct kunit_suite exception_suite = {
	.name = "dm-snap-exception",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = table_init,
	.exit = table_exit,
	.test_cases = exception_cases,
};

kunit_test_suite(exception_suite);
