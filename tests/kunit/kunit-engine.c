// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disks and a client for the suites of the copy engine.
 */
#include "kunit-engine.h"

struct engine *engine(struct kunit *test, unsigned int nr_dst, unsigned int sectors)
{
	struct engine *e = kunit_kzalloc(test, sizeof(*e), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, e);
	e->src = ku_disk(test, 1024, 0);
	e->from = ku_region(e->src, 0, sectors);
	KUNIT_ASSERT_EQ(test, test_disk_record(e->src, 256), 0);
	e->nr_dst = nr_dst;
	for (i = 0; i < nr_dst; i++) {
		e->dst[i] = ku_disk(test, 1024, 0);
		e->to[i] = ku_region(e->dst[i], 0, sectors);
		KUNIT_ASSERT_EQ(test, test_disk_record(e->dst[i], 256), 0);
	}
	for (i = 0; i * PAGE < sectors; i++)
		ku_disk_fill(e->src, i * PAGE, PAGE, 'a' + i);
	e->copy = ku_copy_create(test);
	e->kc = ku_client(test, 4, NULL);
	return e;
}

void engine_copy(struct engine *e, unsigned int flags)
{
	dm_kcopyd_mq_copy(e->kc, &e->from, e->nr_dst, e->to, flags, ku_copy_done, e->copy);
}

void expect_segment(struct kunit *test, struct test_disk *td, unsigned int i,
		    unsigned int segment, enum req_op op)
{
	KUNIT_ASSERT_GT(test, engine_records(td), i);
	KUNIT_EXPECT_EQ(test, td->records[i].sector, segment * PAGE);
	KUNIT_EXPECT_EQ(test, (int)td->records[i].op, (int)op);
}
