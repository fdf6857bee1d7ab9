// SPDX-License-Identifier: GPL-2.0-only
/*
 * Disks for the unit tests: those of the other test modules, compiled once more, as modules share
 * no objects.
 *
 * To create and to delete a disk takes long, mostly waiting for grace periods. So cases return
 * their disks to a pool, and those are deleted with the module.
 */
#include "test-disk.c"

#include "kunit-lib.h"

#define POOL_SECTORS	4096
#define POOL_SIZE	16

static struct test_disk *pool[POOL_SIZE];
static unsigned int nr_pool;
static unsigned int nr_made;

/* A disk of the pool with the limit for write-zeroes commands that is asked for. */
static struct test_disk *pool_take(unsigned int write_zeroes)
{
	unsigned int i;

	for (i = 0; i < nr_pool; i++) {
		if (pool[i]->params.write_zeroes == write_zeroes) {
			struct test_disk *td = pool[i];

			pool[i] = pool[--nr_pool];
			return td;
		}
	}
	return NULL;
}

struct test_disk *ku_disk_get(sector_t sectors, unsigned int write_zeroes)
{
	struct test_disk_params params = { .sectors = POOL_SECTORS, .write_zeroes = write_zeroes };
	struct test_disk *td;
	char name[16];

	if (WARN_ON(sectors > POOL_SECTORS))
		return NULL;
	td = pool_take(write_zeroes);
	if (!td) {
		snprintf(name, sizeof(name), "kunit%u", nr_made++);
		td = test_disk_create(name, &params);
		if (IS_ERR(td))
			return NULL;
	}
	memset(td->store, 0, POOL_SECTORS << SECTOR_SHIFT);
	set_capacity(td->disk, sectors);
	return td;
}

/* Bios that are pending, from now on ended in any order. */
void ku_disk_let_go(struct test_disk *td)
{
	test_disk_set(td, TEST_DISK_TASK, 0, 0);
	test_disk_release(td);
}

/* Nobody submits to it any more. */
void ku_disk_put(struct test_disk *td)
{
	while (!idle(td))
		usleep_range(100, 200);
	test_disk_set(td, TEST_DISK_SYNC, 0, 0);
	test_disk_heal(td);
	test_disk_record(td, 0);
	if (nr_pool < POOL_SIZE)
		pool[nr_pool++] = td;
	else
		test_disk_destroy(td);
}

static void __exit ku_module_exit(void)
{
	while (nr_pool)
		test_disk_destroy(pool[--nr_pool]);
}

module_exit(ku_module_exit);
