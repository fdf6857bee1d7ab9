// SPDX-License-Identifier: GPL-2.0-only
/*
 * The set of used chunks: what was put in is found, whatever the numbers, and memory is given back.
 */
#include "kunit-lib.h"

#include "dm-snap-used.c"

static struct snap_used used;

static int used_test_init(struct kunit *test)
{
	snap_used_init(&used);
	return 0;
}

static void used_test_exit(struct kunit *test)
{
	snap_used_exit(&used);
}

static void expect_run(struct kunit *test, u64 from, u64 start, u64 end)
{
	u64 found_start = 0, found_end = 0;

	KUNIT_EXPECT_TRUE(test, snap_used_next(&used, from, &found_start, &found_end));
	KUNIT_EXPECT_EQ(test, found_start, start);
	KUNIT_EXPECT_EQ(test, found_end, end);
}

static void expect_end(struct kunit *test, u64 from)
{
	u64 start, end;

	KUNIT_EXPECT_FALSE(test, snap_used_next(&used, from, &start, &end));
}

static void numbers_may_be_large(struct kunit *test)
{
	static const u64 indices[] = { 0, 3, SNAP_PART_CHUNKS - 1, SNAP_PART_CHUNKS, 1ULL << 31,
				       (1ULL << 32) - 1, 1ULL << 32, (1ULL << 32) + 3, 1ULL << 40 };
	unsigned int i;

	expect_end(test, 0);
	for (i = ARRAY_SIZE(indices); i--;)
		KUNIT_EXPECT_EQ(test, snap_used_set(&used, indices[i]), 0);
	for (i = 0; i < ARRAY_SIZE(indices); i++)
		KUNIT_EXPECT_EQ(test, snap_used_set(&used, indices[i]), 1);

	expect_run(test, 0, 0, 1);
	expect_run(test, 1, 3, 4);
	expect_run(test, 4, SNAP_PART_CHUNKS - 1, SNAP_PART_CHUNKS);
	expect_run(test, SNAP_PART_CHUNKS, SNAP_PART_CHUNKS, SNAP_PART_CHUNKS + 1);
	expect_run(test, SNAP_PART_CHUNKS + 1, 1ULL << 31, (1ULL << 31) + 1);
	expect_run(test, 1ULL << 32, 1ULL << 32, (1ULL << 32) + 1);
	expect_run(test, (1ULL << 32) + 4, 1ULL << 40, (1ULL << 40) + 1);
	expect_end(test, (1ULL << 40) + 1);
}

/* A part whose chunks are all used has no bitmap any more, and is used all the same. */
static void full_parts_cost_nothing(struct kunit *test)
{
	u64 index;

	for (index = SNAP_PART_CHUNKS; index < 2 * SNAP_PART_CHUNKS; index++)
		KUNIT_ASSERT_EQ(test, snap_used_set(&used, index), 0);
	KUNIT_EXPECT_TRUE(test, xa_is_value(xa_load(&used.parts, 1)));
	KUNIT_EXPECT_EQ(test, snap_used_set(&used, SNAP_PART_CHUNKS), 1);
	KUNIT_EXPECT_EQ(test, snap_used_set(&used, 2 * SNAP_PART_CHUNKS - 1), 1);
	KUNIT_EXPECT_EQ(test, snap_used_set(&used, 2 * SNAP_PART_CHUNKS), 0);

	expect_run(test, 0, SNAP_PART_CHUNKS, 2 * SNAP_PART_CHUNKS);
	expect_run(test, SNAP_PART_CHUNKS + 7, SNAP_PART_CHUNKS + 7, 2 * SNAP_PART_CHUNKS);
	expect_run(test, 2 * SNAP_PART_CHUNKS, 2 * SNAP_PART_CHUNKS, 2 * SNAP_PART_CHUNKS + 1);
}

static struct kunit_case used_cases[] = {
	KUNIT_CASE(numbers_may_be_large),
	KUNIT_CASE(full_parts_cost_nothing),
	{}
};

static struct kunit_suite used_suite = {
	.name = "dm-snap-used",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = used_test_init,
	.exit = used_test_exit,
	.test_cases = used_cases,
};

kunit_test_suite(used_suite);
