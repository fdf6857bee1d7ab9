/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel-version differences that only the test modules meet; the rest is in compat.h.
 */
#ifndef DM_SCALED_TEST_COMPAT_H
#define DM_SCALED_TEST_COMPAT_H

#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/version.h>

#include "compat.h"

/* A block device opened by path; how it is held depends on the kernel. */
struct test_bdev {
	struct block_device *bdev;
	struct file *file;
};

/* 6.9: an open block device is a file. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
static inline int test_bdev_open(struct test_bdev *tb, const char *path)
{
	tb->bdev = blkdev_get_by_path(path, FMODE_READ | FMODE_WRITE, NULL);

	return PTR_ERR_OR_ZERO(tb->bdev);
}

static inline void test_bdev_close(struct test_bdev *tb)
{
	blkdev_put(tb->bdev, FMODE_READ | FMODE_WRITE);
}
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
static inline int test_bdev_open(struct test_bdev *tb, const char *path)
{
	tb->file = bdev_file_open_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, NULL, NULL);
	if (IS_ERR(tb->file))
		return PTR_ERR(tb->file);

	tb->bdev = file_bdev(tb->file);
	return 0;
}

static inline void test_bdev_close(struct test_bdev *tb)
{
	fput(tb->file);
}
#else
#error "the test modules do not know how this kernel opens a block device"
#endif

/* 6.9: queue limits are given when the disk is allocated. */
static inline struct gendisk *test_alloc_disk(unsigned int max_write_zeroes_sectors)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return ERR_PTR(-ENOMEM);

	blk_queue_max_write_zeroes_sectors(disk->queue, max_write_zeroes_sectors);
	return disk;
#else
	struct queue_limits lim = { .max_write_zeroes_sectors = max_write_zeroes_sectors };

	return blk_alloc_disk(&lim, NUMA_NO_NODE);
#endif
}

/* 6.10: one memory-allocation argument less. */
static inline int test_zone_reset_all(struct block_device *bdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
	return blkdev_zone_mgmt(bdev, REQ_OP_ZONE_RESET, 0, bdev_nr_sectors(bdev), GFP_KERNEL);
#else
	return blkdev_zone_mgmt(bdev, REQ_OP_ZONE_RESET, 0, bdev_nr_sectors(bdev));
#endif
}

/* 6.13: a timer's function is set when it is initialised. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock_id, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock_id, mode);
	timer->function = function;
}

static inline void hrtimer_setup_on_stack(struct hrtimer *timer,
					  enum hrtimer_restart (*function)(struct hrtimer *),
					  clockid_t clock_id, enum hrtimer_mode mode)
{
	hrtimer_init_on_stack(timer, clock_id, mode);
	timer->function = function;
}
#endif

/* 6.4: a module's parts are in a table. */
static inline void test_module_text(const struct module *mod, u64 *start, u64 *end)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	*start = (unsigned long)mod->core_layout.base;
	*end = *start + mod->core_layout.text_size;
#else
	*start = (unsigned long)mod->mem[MOD_TEXT].base;
	*end = *start + mod->mem[MOD_TEXT].size;
#endif
}

#endif /* DM_SCALED_TEST_COMPAT_H */
