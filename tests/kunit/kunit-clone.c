// SPDX-License-Identifier: GPL-2.0-only
#include "kunit-clone.h"

#include "dm-clone-scaled.h"

void ku_clone_make(struct kunit *test, struct clone *clone, struct test_disk *meta,
		   unsigned int shift)
{
	sector_t size = clone->ti->len;
	char *error;

	clone->region_shift = shift;
	clone->regions = dm_sector_div_up(size, 1 << shift);
	clone->bitmap = clone_bitmap_create(meta->bdev, size, 1 << shift, &error);
	clone->busy = kvcalloc(BITS_TO_LONGS(clone->regions), sizeof(long), GFP_KERNEL);
	clone->waiters = clone_waiters_create();
	clone->cpus = alloc_percpu(struct clone_cpu);
	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(clone->bitmap), 0);
	KUNIT_ASSERT_NOT_NULL(test, clone->busy);
	KUNIT_ASSERT_NOT_NULL(test, clone->waiters);
	KUNIT_ASSERT_TRUE(test, !!clone->cpus);
}

void ku_clone_destroy(struct clone *clone)
{
	if (!IS_ERR_OR_NULL(clone->bitmap))
		clone_bitmap_destroy(clone->bitmap);
	free_percpu(clone->cpus);
	clone_waiters_destroy(clone->waiters);
	kvfree(clone->busy);
}
