// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registry of devices: which roles a device may have at a time, and in which tables.
 */
#include "kunit-lib.h"

#include "dm-scaled-devices.c"

/* Addresses that stand for devices and tables: nobody looks at what is there. */
static char places[8];

static void *place(unsigned int nr)
{
	return &places[nr];
}

static struct dm_scaled_use use_of(enum dm_scaled_role role, unsigned int bdev,
				   unsigned int origin, unsigned int md, unsigned int table)
{
	return (struct dm_scaled_use) {
		.role = role,
		.bdev = place(bdev),
		.origin = role == DM_SCALED_COW ? place(origin) : NULL,
		.md = place(md),
		.table = place(table),
	};
}

static bool may_share(struct dm_scaled_use new, struct dm_scaled_use old)
{
	return dm_scaled_may_share(&new, &old);
}

/* The order in which two devices are created does not matter. */
static void sharing_is_symmetric(struct kunit *test)
{
	unsigned int one, other;

	for (one = 0; one < DM_SCALED_NR_ROLES; one++)
		for (other = 0; other < DM_SCALED_NR_ROLES; other++)
			KUNIT_EXPECT_EQ(test, dm_scaled_sharing[one][other],
					dm_scaled_sharing[other][one]);
}

/* What a device is used for by unrelated mapped devices. */
static void roles_exclude_each_other(struct kunit *test)
{
	unsigned int one, other;

	for (one = 0; one < DM_SCALED_NR_ROLES; one++) {
		for (other = 0; other < DM_SCALED_NR_ROLES; other++) {
			bool reads = (one == DM_SCALED_ORIGIN || one == DM_SCALED_SOURCE) &&
				     (other == DM_SCALED_ORIGIN || other == DM_SCALED_SOURCE);

			KUNIT_EXPECT_EQ_MSG(test, may_share(use_of(one, 0, 1, 2, 3),
							    use_of(other, 0, 4, 5, 6)),
					    reads, "roles %u and %u", one, other);
			KUNIT_EXPECT_TRUE(test, may_share(use_of(one, 0, 1, 2, 3),
							  use_of(other, 7, 1, 5, 6)));
		}
	}
}

/* The table of a snapshot is loaded again, for its own device or for that of its origin. */
static void snapshots_of_one_origin_share(struct kunit *test)
{
	struct dm_scaled_use cow = use_of(DM_SCALED_COW, 0, 1, 2, 3);

	KUNIT_EXPECT_TRUE(test, may_share(cow, use_of(DM_SCALED_COW, 0, 1, 4, 5)));
	KUNIT_EXPECT_TRUE(test, may_share(cow, use_of(DM_SCALED_COW, 0, 1, 2, 5)));
	KUNIT_EXPECT_FALSE(test, may_share(cow, use_of(DM_SCALED_COW, 0, 6, 4, 5)));
}

/* A new table of a mapped device may use its devices otherwise, but not as a COW device. */
static void tables_replace_each_other(struct kunit *test)
{
	unsigned int one, other;

	for (one = 0; one < DM_SCALED_NR_ROLES; one++) {
		for (other = 0; other < DM_SCALED_NR_ROLES; other++) {
			struct dm_scaled_use old = use_of(other, 0, 4, 2, 5);

			KUNIT_EXPECT_EQ(test, may_share(use_of(one, 0, 1, 2, 3), old),
					one != DM_SCALED_COW);
			/* Not in one table. */
			if (one == DM_SCALED_META)
				KUNIT_EXPECT_FALSE(test, may_share(use_of(one, 0, 1, 2, 5), old));
		}
	}
}

static struct kunit_case devices_cases[] = {
	KUNIT_CASE(sharing_is_symmetric),
	KUNIT_CASE(roles_exclude_each_other),
	KUNIT_CASE(snapshots_of_one_origin_share),
	KUNIT_CASE(tables_replace_each_other),
	{}
};

static struct kunit_suite devices_suite = {
	.name = "dm-scaled-devices",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.test_cases = devices_cases,
};

kunit_test_suite(devices_suite);
