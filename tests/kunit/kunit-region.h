/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The regions of a clone for the unit tests. The engine copies between disks in memory, commits are
 * only noted, and device-mapper's part is played here.
 */
#ifndef DM_SCALED_KUNIT_REGION_H
#define DM_SCALED_KUNIT_REGION_H

#include "kunit-clone.h"

#include "dm-clone-scaled.h"

#define READS		OP_BIT(REQ_OP_READ)
#define WRITES		OP_BIT(REQ_OP_WRITE)
#define SHIFT		3
#define REGION		8U
#define REGIONS		64UL
/* The last region has five sectors. */
#define SIZE		(REGION * REGIONS - 3)
/* Where the target begins on its device. */
#define BEGIN		1000
#define MAX_COMMITS	8
/* Regions that share a bucket; that many take small regions. */
#define NEAR		3
#define NEAR_SHIFT	1
#define NEAR_SIZE	4096
/* What is lost is waited for only so long. */
#define SOON		(10 * HZ)
#define kr_soon(cond)	ku_wait_for(cond, SOON)

/**
 * struct kr_bio - a bio as a clone gets it
 * @cb:        the target's own data
 * @kb:        the bio
 * @next:      of the fixture's bios
 * @end_io:    what @kb does at its end
 * @ends:      how often it has ended
 * @cpu:       where it has ended
 * @accepted:  sectors that the target has taken of it
 * @submitted: a disk has it
 */
struct kr_bio {
	struct clone_bio cb;
	struct ku_bio *kb;
	struct kr_bio *next;
	bio_end_io_t *end_io;
	atomic_t ends;
	unsigned int cpu;
	unsigned int accepted;
	bool submitted;
};

/**
 * struct kr_fixture - a clone that is in no table
 * @source:     disk full of 's'
 * @dest:       disk full of 'd'
 * @meta:       for the bitmap
 * @clone:      the clone
 * @ti:         its target
 * @source_dev: and devices
 * @dest_dev:   likewise
 * @bios:       all bios of the case
 * @commits:    those that wait for a commit
 * @nr_commits: number of them
 * @in_flight:  bios that a disk has
 * @wrong_cut:  a bio was cut where it had nothing
 * @near:       regions in one bucket
 */
struct kr_fixture {
	struct test_disk *source;
	struct test_disk *dest;
	struct test_disk *meta;
	struct clone clone;
	struct dm_target ti;
	struct dm_dev source_dev;
	struct dm_dev dest_dev;
	struct kr_bio *bios;
	struct bio *commits[MAX_COMMITS];
	atomic_t nr_commits;
	atomic_t in_flight;
	bool wrong_cut;
	unsigned long near[NEAR];
};

/* Wherever another CPU may come in between this happens, unless it is NULL. */
typedef void (*kr_between_fn)(void);
extern kr_between_fn kr_between;
/* Sometimes somebody is slow. */
void kr_dawdle(void);

/* A case begins with one of these; the second has some regions that have one bucket in common. */
struct kr_fixture *kr_setup(struct kunit *test);
struct kr_fixture *kr_setup_near(struct kunit *test);
/* What a suite does after a case: nobody may have a region or wait for one, and all is counted. */
void kr_exit(struct kunit *test);

/* A bio that is not yet mapped: for kr_map(), once. */
struct kr_bio *kr_bio(struct kunit *test, struct kr_fixture *f, blk_opf_t op, sector_t sector,
		      unsigned int count, u8 byte);
/* What device-mapper does with a bio. Returns what the target did. */
int kr_map(struct kr_fixture *f, struct kr_bio *rb);
/* Both; @result is what the target should do. */
struct kr_bio *kr_mapped(struct kunit *test, struct kr_fixture *f, blk_opf_t op, sector_t sector,
			 unsigned int count, u8 byte, int result);
struct kr_bio *kr_write(struct kunit *test, struct kr_fixture *f, sector_t sector,
			unsigned int count, int result);
void kr_expect_ended(struct kunit *test, struct kr_bio *rb, blk_status_t status);

/* Bios that wait for a commit, and what a commit does for the first of them. */
unsigned int kr_commits(struct kr_fixture *f);
void kr_commit_ended(struct kr_fixture *f, blk_status_t status);

/* For whoever fills a region: the background, say. */
void kr_claim(struct kunit *test, struct kr_fixture *f, unsigned long region);
/* What is hydrated is on the metadata device. */
void kr_commit(struct kunit *test, struct kr_fixture *f);
/* The sum of all CPUs'. */
struct clone_cpu kr_counters(struct kr_fixture *f);
/* Which whoever waits for a region needs. */
spinlock_t *kr_waiters_lock(struct kr_fixture *f, unsigned long region);

static inline bool kr_has_ended(struct kr_bio *rb)
{
	return atomic_read(&rb->ends) > 0;
}

/* Device-mapper would map the rest. */
static inline unsigned int kr_accepted(struct kr_bio *rb)
{
	return rb->accepted;
}

static inline bool kr_is_busy(struct kr_fixture *f, unsigned long region)
{
	return test_bit(region, f->clone.busy);
}

static inline bool kr_is_hydrated(struct kr_fixture *f, unsigned long region)
{
	return clone_bitmap_test(f->clone.bitmap, region);
}

static inline void kr_hydrate(struct kr_fixture *f, unsigned long region)
{
	clone_bitmap_set(f->clone.bitmap, region);
}

/* So that it can be filled once more. */
static inline void kr_forget(struct kr_fixture *f, unsigned long region)
{
	clear_bit(region, f->clone.bitmap->hydrated);
}

#endif /* DM_SCALED_KUNIT_REGION_H */
