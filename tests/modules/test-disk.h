/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test-disk: a disk in memory that shows what was asked of it and decides how it answers.
 */
#ifndef DM_SCALED_TEST_DISK_H
#define DM_SCALED_TEST_DISK_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/hrtimer.h>
#include <linux/prandom.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

/* For masks of operations. */
#define OP_BIT(op)		BIT((__force unsigned int)(op))

#define TEST_DISK_MAX_FAILURES	8
#define SECTOR_WORDS		(SECTOR_SIZE / sizeof(u64))

/* Where a bio of a test disk ends. Except for TEST_DISK_SYNC, bios end in random order. */
enum test_disk_how {
	TEST_DISK_SYNC,	/* before submit_bio() returns */
	TEST_DISK_TASK,	/* in a worker */
	TEST_DISK_IRQ,	/* in an hrtimer's function */
};

/* What a disk remembers of a bio, in order of submission. */
struct test_disk_record {
	sector_t sector;
	unsigned int count;	/* sectors */
	unsigned int cpu;
	pid_t pid;
	enum req_op op;
};

/* Bios that overlap with the range fail with @status. */
struct test_disk_failure {
	unsigned long ops;	/* mask of OP_BIT() */
	sector_t first;
	sector_t last;
	blk_status_t status;
};

/* Measures for how long at least one bio is in flight on any of the disks that share it. */
struct test_disk_meter {
	spinlock_t lock;	/* protects all fields */
	unsigned int in_flight;
	u64 since;	/* ns, valid while @in_flight */
	u64 busy;	/* ns */
	u64 late;	/* ns of @busy in which a timer that was to end bios did not come */
	u64 timer;	/* ns, when one came last */
};

/**
 * struct test_disk_params - what a disk is like
 * @sectors:      its size
 * @synthetic:    has no memory: reads give the pattern of @seed, writes are compared with it
 * @seed:         for @synthetic
 * @write_zeroes: largest write-zeroes command in sectors, 0 if it has none
 */
struct test_disk_params {
	sector_t sectors;
	bool synthetic;
	u8 seed;
	unsigned int write_zeroes;
};

struct test_disk {
	struct gendisk *disk;
	struct block_device *bdev;
	struct test_disk_params params;
	u8 *store;
	struct workqueue_struct *wq;

	spinlock_t lock;	/* protects everything below */
	struct bio_list pending;
	unsigned int nr_pending;
	unsigned int ending;	/* bios taken off the list, bio_endio() not yet called */
	bool held;
	bool armed;		/* timer or work is on its way */
	enum test_disk_how how;
	unsigned int min_us;
	unsigned int max_us;
	struct test_disk_meter *meter;
	struct rnd_state rnd;

	struct test_disk_failure failures[TEST_DISK_MAX_FAILURES];
	unsigned int nr_failures;

	struct test_disk_record *records;
	unsigned int nr_records;
	unsigned int max_records;

	u64 sectors_read;	/* without error */
	u64 sectors_written;	/* without error, zeroes included */
	u64 mismatches;		/* sectors written to a synthetic disk that were not right */

	struct hrtimer timer;
	struct work_struct work;
};

struct test_disk *test_disk_create(const char *name, const struct test_disk_params *params);
void test_disk_destroy(struct test_disk *td);

void test_disk_set(struct test_disk *td, enum test_disk_how how, unsigned int min_us,
		   unsigned int max_us);
void test_disk_set_meter(struct test_disk *td, struct test_disk_meter *meter);
void test_disk_hold(struct test_disk *td);
void test_disk_release(struct test_disk *td);
unsigned int test_disk_end_oldest(struct test_disk *td, unsigned int nr);
bool test_disk_end_youngest(struct test_disk *td);
unsigned int test_disk_pending(struct test_disk *td);

void test_disk_fail(struct test_disk *td, unsigned long ops, sector_t first, sector_t count,
		    blk_status_t status);
void test_disk_heal(struct test_disk *td);

int test_disk_record(struct test_disk *td, unsigned int max_records);
unsigned int test_disk_nr_records(struct test_disk *td);

void test_disk_meter_init(struct test_disk_meter *meter);
struct test_disk_meter test_disk_meter_read(struct test_disk_meter *meter);

/* Word @i of sector @sector in the pattern of @seed; never 0. */
static inline u64 test_pattern(u8 seed, sector_t sector, unsigned int i)
{
	return (((u64)seed + 1) << 56) + (sector << 8) + i;
}

#endif /* DM_SCALED_TEST_DISK_H */
