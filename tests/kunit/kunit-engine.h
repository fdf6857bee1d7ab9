/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Disks and a client for the suites of the copy engine.
 */
#ifndef DM_SCALED_KUNIT_ENGINE_H
#define DM_SCALED_KUNIT_ENGINE_H

#include "kunit-lib.h"

#define PAGE	PAGE_SECTORS

/**
 * struct engine - a copy of the source's first sectors to the start of each destination
 * @kc:     client that copies a page at a time
 * @src:    disk whose pages are full of 'a', 'b', and so on; records what is asked of it
 * @dst:    disks full of zeroes, likewise
 * @from:   source
 * @to:     destinations
 * @nr_dst: number of @dst
 * @copy:   what the callback was given
 */
struct engine {
	struct dm_kcopyd_mq_client *kc;
	struct test_disk *src;
	struct test_disk *dst[DM_KCOPYD_MAX_REGIONS];
	struct dm_io_region from;
	struct dm_io_region to[DM_KCOPYD_MAX_REGIONS];
	unsigned int nr_dst;
	struct ku_copy *copy;
};

struct engine *engine(struct kunit *test, unsigned int nr_dst, unsigned int sectors);
void engine_copy(struct engine *e, unsigned int flags);

static inline unsigned int engine_records(struct test_disk *td)
{
	return test_disk_nr_records(td);
}

/* Record @i of @td is of page @segment. */
void expect_segment(struct kunit *test, struct test_disk *td, unsigned int i,
		    unsigned int segment, enum req_op op);

#endif /* DM_SCALED_KUNIT_ENGINE_H */
