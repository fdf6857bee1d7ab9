/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Clones for the unit tests.
 */
#ifndef DM_SCALED_KUNIT_CLONE_H
#define DM_SCALED_KUNIT_CLONE_H

#include "kunit-lib.h"

struct clone;

/**
 * ku_clone_make() - make what the regions of a clone need
 * @test:  the case
 * @clone: the clone, of zeroes, but for its target, which has its size
 * @meta:  its metadata device
 * @shift: log2 of a region's sectors
 *
 * Fails the case if there is no memory. What has been made is then left to ku_clone_destroy().
 */
void ku_clone_make(struct kunit *test, struct clone *clone, struct test_disk *meta,
		   unsigned int shift);
void ku_clone_destroy(struct clone *clone);

#endif /* DM_SCALED_KUNIT_CLONE_H */
