/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the unit tests share.
 *
 * A suite includes the source file that it tests, so that it reaches what is static there, and
 * replaces some of the functions that the file calls by macros: for memory that runs out, and for
 * what would need a real device-mapper table. All suites and all sources are one module, which
 * neither needs dm-scaled.ko nor minds it.
 */
#ifndef DM_SCALED_KUNIT_LIB_H
#define DM_SCALED_KUNIT_LIB_H

#include <kunit/test.h>

#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/device-mapper.h>
#include <linux/jiffies.h>

/* Of a bio that is in no table nobody maps the rest. */
#define dm_accept_partial_bio(bio, nr)	((bio)->bi_iter.bi_size = (nr) << SECTOR_SHIFT)

#include "compat.h"
#include "dm-kcopyd-mq.h"
#include "dm-scaled-cache.h"
#include "dm-snap-scaled.h"
#include "test-disk.h"

#define KU_TIMEOUT	(60 * HZ)
#define KU_MAX_DISKS	10
#define KU_MAX_SNAPS	5

/**
 * struct ku_snap - a snapshot whose target is in no table
 * @ti:         the target
 * @origin_dev: its origin device
 * @cow_dev:    its COW device
 * @t:          what the target's constructor would have made
 */
struct ku_snap {
	struct dm_target ti;
	struct dm_dev origin_dev;
	struct dm_dev cow_dev;
	struct snap_target t;
};

/**
 * struct ku_bio - a bio as a target gets it
 * @sb:     the target's own data
 * @number: what dm_bio_get_target_bio_nr() says about @bio
 * @bio:    the bio
 * @vec:    its table
 * @data:   its data
 * @status: how it ended
 * @ended:  completed at its end
 */
struct ku_bio {
	struct snap_bio sb;
	unsigned int number;
	struct bio bio;
	struct bio_vec vec;
	u8 *data;
	blk_status_t status;
	struct completion ended;
};

/**
 * struct ku_copy - what a callback of the engine was given
 * @ended:     completed by the callback
 * @calls:     how often it was called
 * @read_err:  as given
 * @write_err: as given
 */
struct ku_copy {
	struct completion ended;
	unsigned int calls;
	int read_err;
	unsigned long write_err;
};

/**
 * struct ku - what a case has, and what is removed after it
 * @disks:    devices
 * @nr_disks: number of @disks
 * @snaps:    snapshots
 * @nr_snaps: number of @snaps
 * @kc:       client of the engine, or NULL
 */
struct ku {
	struct test_disk *disks[KU_MAX_DISKS];
	unsigned int nr_disks;
	struct ku_snap *snaps[KU_MAX_SNAPS];
	unsigned int nr_snaps;
	struct dm_kcopyd_mq_client *kc;
};

/* Waits until @cond holds; false after @timeout, in jiffies. */
#define ku_wait_for(cond, timeout)					\
({									\
	unsigned long __end = jiffies + (timeout);			\
	bool __ok;							\
									\
	while (!(__ok = (cond)) && time_before(jiffies, __end))		\
		usleep_range(100, 200);					\
	__ok;								\
})

#define ku_wait_until(cond)	ku_wait_for(cond, KU_TIMEOUT)

/* Long enough for what is not to happen to have happened. */
static inline void ku_pause(void)
{
	msleep(20);
}

/* kunit-disk.c */

struct test_disk *ku_disk_get(sector_t sectors, unsigned int write_zeroes);
void ku_disk_let_go(struct test_disk *td);
void ku_disk_put(struct test_disk *td);

/* kunit-main.c */

int ku_suite_init(struct kunit_suite *suite);
void ku_suite_exit(struct kunit_suite *suite);
int ku_init(struct kunit *test);
void ku_exit(struct kunit *test);

static inline struct ku *ku_of(struct kunit *test)
{
	return test->priv;
}

/* A disk in memory of @sectors, which ends bios before submit_bio() returns. */
struct test_disk *ku_disk(struct kunit *test, sector_t sectors, unsigned int write_zeroes);
void ku_disk_fill(struct test_disk *td, sector_t sector, sector_t count, u8 byte);
bool ku_disk_holds(struct test_disk *td, sector_t sector, sector_t count, u8 byte);

/* A device of which only the size and the logical block size may be asked. */
struct block_device *ku_fake_bdev(struct kunit *test, sector_t sectors, unsigned int block);

/* The case's client, which copies @subjob_kb KiB at once. */
struct dm_kcopyd_mq_client *ku_client(struct kunit *test, unsigned int subjob_kb,
				      struct dm_kcopyd_mq_throttle *throttle);
void ku_client_destroy(struct kunit *test);

struct ku_copy *ku_copy_create(struct kunit *test);
void ku_copy_done(int read_err, unsigned long write_err, void *context);
bool ku_copy_wait(struct ku_copy *copy);
void ku_expect_copy(struct kunit *test, struct ku_copy *copy, int read_err,
		    unsigned long write_err);

static inline struct dm_io_region ku_region(struct test_disk *td, sector_t sector, sector_t count)
{
	return (struct dm_io_region){ .bdev = td->bdev, .sector = sector, .count = count };
}

/* A bio for @td, not submitted; a write of bytes @byte. */
struct ku_bio *ku_bio(struct kunit *test, struct test_disk *td, blk_opf_t op, sector_t sector,
		      unsigned int count, u8 byte);
bool ku_bio_wait(struct ku_bio *kb);
bool ku_bio_has_ended(struct ku_bio *kb);

/*
 * Attempts to get memory that succeed from now on, where an attempt may fail without harm;
 * KU_ALL for all.
 */
#define KU_ALL		-1
void ku_allow(int nr);
bool ku_may_allocate(void);
/* Until the next ku_allow() the engine has jobs, but on this CPU no pages but those in reserve. */
void ku_exhaust_pages(void);
extern bool ku_no_pages;

/* The rest of the case stays on this CPU; each case is run by a thread of its own. */
void ku_stay_here(void);
/* Runs @fn on all CPUs at the same time, each in a thread that is bound to it. */
void ku_run_on_cpus(struct kunit *test, void (*fn)(unsigned int cpu, void *arg), void *arg);
/* Runs @fn on another CPU than this; false if there is none. */
bool ku_run_elsewhere(long (*fn)(void *arg), void *arg);

/* kunit-kcopyd-mq.c */

void ku_set_subjob_kb(unsigned int kb);

/* kunit-snap-scaled.c */

/*
 * A snapshot of @origin that copies to @cow. The origin's writes are seen by those that are
 * attached.
 */
struct ku_snap *ku_snap(struct kunit *test, struct block_device *origin, struct block_device *cow,
			unsigned int chunk_size);
struct ku_snap *ku_snap_attached(struct kunit *test, struct test_disk *origin,
				 struct test_disk *cow, unsigned int chunk_size);
/* The same, persistent; @cow holds no snapshot. */
struct ku_snap *ku_snap_persistent(struct kunit *test, struct test_disk *origin,
				   struct test_disk *cow, unsigned int chunk_size);
void ku_snap_destroy(struct ku_snap *ks);
/* Events that snapshots have raised. */
unsigned int ku_events(void);

/* kunit-snap-pending.c */

void ku_set_cow_threshold(unsigned int chunks);

#endif /* DM_SCALED_KUNIT_LIB_H */
