// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module of the unit tests: what its suites share.
 */
#include <linux/cpu.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "kunit-lib.h"

/*
 * Memory that runs out.
 */

static atomic_t allowance = ATOMIC_INIT(KU_ALL);
bool ku_no_pages;

void ku_allow(int nr)
{
	WRITE_ONCE(ku_no_pages, false);
	atomic_set(&allowance, nr);
}

bool ku_may_allocate(void)
{
	return atomic_read(&allowance) < 0 || atomic_dec_if_positive(&allowance) >= 0;
}

/*
 * What a case has.
 */

int ku_init(struct kunit *test)
{
	ku_stay_here();
	test->priv = kunit_kzalloc(test, sizeof(struct ku), GFP_KERNEL);
	return test->priv ? 0 : -ENOMEM;
}

/* May follow a failed assertion: nothing that is in flight may be held up any longer. */
void ku_exit(struct kunit *test)
{
	struct ku *ku = ku_of(test);
	unsigned int i;

	if (!ku)
		return;
	ku_allow(KU_ALL);
	for (i = 0; i < ku->nr_disks; i++)
		ku_disk_let_go(ku->disks[i]);
	while (ku->nr_snaps)
		ku_snap_destroy(ku->snaps[--ku->nr_snaps]);
	ku_client_destroy(test);
	while (ku->nr_disks)
		ku_disk_put(ku->disks[--ku->nr_disks]);
}

struct test_disk *ku_disk(struct kunit *test, sector_t sectors, unsigned int write_zeroes)
{
	struct ku *ku = ku_of(test);
	struct test_disk *td;

	KUNIT_ASSERT_LT(test, ku->nr_disks, KU_MAX_DISKS);
	td = ku_disk_get(sectors, write_zeroes);
	KUNIT_ASSERT_NOT_NULL(test, td);
	ku->disks[ku->nr_disks++] = td;
	return td;
}

void ku_disk_fill(struct test_disk *td, sector_t sector, sector_t count, u8 byte)
{
	memset(td->store + (sector << SECTOR_SHIFT), byte, count << SECTOR_SHIFT);
}

bool ku_disk_holds(struct test_disk *td, sector_t sector, sector_t count, u8 byte)
{
	return !memchr_inv(td->store + (sector << SECTOR_SHIFT), byte, count << SECTOR_SHIFT);
}

struct block_device *ku_fake_bdev(struct kunit *test, sector_t sectors, unsigned int block)
{
	struct block_device *bdev = kunit_kzalloc(test, sizeof(*bdev), GFP_KERNEL);
	struct request_queue *q = kunit_kzalloc(test, sizeof(*q), GFP_KERNEL);
	struct gendisk *disk = kunit_kzalloc(test, sizeof(*disk), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, bdev);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_ASSERT_NOT_NULL(test, disk);
	q->limits.logical_block_size = block;
	bdev->bd_queue = q;
	bdev->bd_disk = disk;
	bdev->bd_nr_sectors = sectors;
	return bdev;
}

struct dm_kcopyd_mq_client *ku_client(struct kunit *test, unsigned int subjob_kb,
				      struct dm_kcopyd_mq_throttle *throttle)
{
	struct ku *ku = ku_of(test);

	ku_set_subjob_kb(subjob_kb);
	ku->kc = dm_kcopyd_mq_client_create(throttle);
	ku_set_subjob_kb(0);
	if (IS_ERR(ku->kc))
		ku->kc = NULL;
	KUNIT_ASSERT_NOT_NULL(test, ku->kc);
	return ku->kc;
}

void ku_client_destroy(struct kunit *test)
{
	struct ku *ku = ku_of(test);

	if (ku->kc)
		dm_kcopyd_mq_client_destroy(ku->kc);
	ku->kc = NULL;
}

struct ku_copy *ku_copy_create(struct kunit *test)
{
	struct ku_copy *copy = kunit_kzalloc(test, sizeof(*copy), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, copy);
	init_completion(&copy->ended);
	return copy;
}

void ku_copy_done(int read_err, unsigned long write_err, void *context)
{
	struct ku_copy *copy = context;

	copy->calls++;
	copy->read_err = read_err;
	copy->write_err = write_err;
	complete(&copy->ended);
}

bool ku_copy_wait(struct ku_copy *copy)
{
	return wait_for_completion_timeout(&copy->ended, KU_TIMEOUT);
}

void ku_expect_copy(struct kunit *test, struct ku_copy *copy, int read_err,
		    unsigned long write_err)
{
	KUNIT_ASSERT_TRUE(test, ku_copy_wait(copy));
	KUNIT_EXPECT_EQ(test, copy->read_err, read_err);
	KUNIT_EXPECT_EQ(test, copy->write_err, write_err);
	KUNIT_EXPECT_EQ(test, copy->calls, 1);
}

static void bio_ended(struct bio *bio)
{
	struct ku_bio *kb = container_of(bio, struct ku_bio, bio);

	kb->status = bio->bi_status;
	complete(&kb->ended);
}

struct ku_bio *ku_bio(struct kunit *test, struct test_disk *td, blk_opf_t op, sector_t sector,
		      unsigned int count, u8 byte)
{
	struct ku_bio *kb = kunit_kzalloc(test, sizeof(*kb), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, kb);
	init_completion(&kb->ended);
	bio_init(&kb->bio, td->bdev, &kb->vec, 1, op);
	kb->bio.bi_iter.bi_sector = sector;
	kb->bio.bi_end_io = bio_ended;
	if ((op & REQ_OP_MASK) == REQ_OP_DISCARD || (op & REQ_OP_MASK) == REQ_OP_WRITE_ZEROES) {
		kb->bio.bi_iter.bi_size = count << SECTOR_SHIFT;
	} else if (count) {
		kb->data = kunit_kmalloc(test, count << SECTOR_SHIFT, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, kb->data);
		memset(kb->data, byte, count << SECTOR_SHIFT);
		__bio_add_page(&kb->bio, virt_to_page(kb->data), count << SECTOR_SHIFT,
			       offset_in_page(kb->data));
	}
	return kb;
}

bool ku_bio_wait(struct ku_bio *kb)
{
	return wait_for_completion_timeout(&kb->ended, KU_TIMEOUT);
}

bool ku_bio_has_ended(struct ku_bio *kb)
{
	return completion_done(&kb->ended);
}

/*
 * CPUs.
 */

struct cpu_run {
	void (*fn)(unsigned int cpu, void *arg);
	void *arg;
	struct completion start;
	struct completion ended;
	atomic_t absent;
	atomic_t left;
};

static int cpu_thread(void *context)
{
	struct cpu_run *run = context;

	wait_for_completion(&run->start);
	/* Nobody is done before the last one has begun. */
	atomic_dec(&run->absent);
	while (atomic_read(&run->absent) > 0)
		cond_resched();
	run->fn(raw_smp_processor_id(), run->arg);
	if (atomic_dec_and_test(&run->left))
		complete(&run->ended);
	return 0;
}

void ku_run_on_cpus(struct kunit *test, void (*fn)(unsigned int cpu, void *arg), void *arg)
{
	struct cpu_run run = { .fn = fn, .arg = arg, .left = ATOMIC_INIT(1) };
	struct task_struct *task;
	bool all = true;
	int cpu;

	atomic_set(&run.absent, 0);
	init_completion(&run.start);
	init_completion(&run.ended);
	for_each_online_cpu(cpu) {
		task = kthread_create_on_cpu(cpu_thread, &run, cpu, "kunit/%u");
		if (IS_ERR(task)) {
			all = false;
			break;
		}
		atomic_inc(&run.absent);
		atomic_inc(&run.left);
		wake_up_process(task);
	}
	complete_all(&run.start);
	if (!atomic_dec_and_test(&run.left))
		wait_for_completion(&run.ended);
	KUNIT_ASSERT_TRUE(test, all);
}

void ku_stay_here(void)
{
	migrate_disable();
	set_cpus_allowed_ptr(current, cpumask_of(smp_processor_id()));
	migrate_enable();
}

bool ku_run_elsewhere(long (*fn)(void *arg), void *arg)
{
	unsigned int this_cpu;
	int cpu;

	/* Else this could become elsewhere. */
	ku_stay_here();
	this_cpu = raw_smp_processor_id();
	for_each_online_cpu(cpu) {
		if (cpu != this_cpu) {
			work_on_cpu(cpu, fn, arg);
			return true;
		}
	}
	return false;
}

/*
 * What the module would do when it is loaded. Suites may be run before a module's own function is
 * called, or after, so each of them does it.
 */
int ku_suite_init(struct kunit_suite *suite)
{
	int r;

	r = dm_kcopyd_mq_init();
	if (r)
		return r;
	r = snap_pending_init();
	if (r)
		dm_kcopyd_mq_exit();
	return r;
}

void ku_suite_exit(struct kunit_suite *suite)
{
	snap_pending_exit();
	dm_kcopyd_mq_exit();
	/* For functions of ours that are called after a grace period. */
	rcu_barrier();
}

MODULE_DESCRIPTION("Unit tests of dm-scaled");
MODULE_LICENSE("GPL");
