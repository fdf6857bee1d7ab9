/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel-version differences that only the test modules meet; the rest is in compat.h.
 */
#ifndef DM_SCALED_TEST_COMPAT_H
#define DM_SCALED_TEST_COMPAT_H

#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/fault-inject.h>
#include <linux/file.h>
#include <linux/hrtimer.h>
#include <linux/module.h>

#include "compat.h"

/* A block device opened by path; how it is held depends on the kernel. */
struct test_bdev {
	struct block_device *bdev;
	struct file *file;
	struct bdev_handle *handle;
};

#if !DM_SCALED_HAVE_BLK_MODE_T
static inline int test_bdev_open(struct test_bdev *tb, const char *path)
{
	tb->bdev = blkdev_get_by_path(path, FMODE_READ | FMODE_WRITE, NULL);

	return PTR_ERR_OR_ZERO(tb->bdev);
}

static inline void test_bdev_close(struct test_bdev *tb)
{
	blkdev_put(tb->bdev, FMODE_READ | FMODE_WRITE);
}
#elif DM_SCALED_HAVE_BDEV_FILE
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
#elif DM_SCALED_HAVE_BDEV_HANDLE
static inline int test_bdev_open(struct test_bdev *tb, const char *path)
{
	tb->handle = bdev_open_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, NULL, NULL);
	if (IS_ERR(tb->handle))
		return PTR_ERR(tb->handle);

	tb->bdev = tb->handle->bdev;
	return 0;
}

static inline void test_bdev_close(struct test_bdev *tb)
{
	bdev_release(tb->handle);
}
#else
static inline int test_bdev_open(struct test_bdev *tb, const char *path)
{
	tb->bdev = blkdev_get_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, NULL, NULL);

	return PTR_ERR_OR_ZERO(tb->bdev);
}

static inline void test_bdev_close(struct test_bdev *tb)
{
	blkdev_put(tb->bdev, NULL);
}
#endif

static inline struct gendisk *test_alloc_disk(unsigned int max_write_zeroes_sectors)
{
#if !DM_SCALED_HAVE_ALLOC_DISK_LIMITS
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

static inline int test_zone_reset_all(struct block_device *bdev)
{
#if DM_SCALED_HAVE_ZONE_MGMT_GFP
	return blkdev_zone_mgmt(bdev, REQ_OP_ZONE_RESET, 0, bdev_nr_sectors(bdev), GFP_KERNEL);
#else
	return blkdev_zone_mgmt(bdev, REQ_OP_ZONE_RESET, 0, bdev_nr_sectors(bdev));
#endif
}

static inline void test_hrtimer_setup(struct hrtimer *timer,
				      enum hrtimer_restart (*function)(struct hrtimer *timer),
				      clockid_t clock_id, enum hrtimer_mode mode)
{
#if DM_SCALED_HAVE_HRTIMER_SETUP
	hrtimer_setup(timer, function, clock_id, mode);
#else
	hrtimer_init(timer, clock_id, mode);
	timer->function = function;
#endif
}

static inline void
test_hrtimer_setup_on_stack(struct hrtimer *timer,
			    enum hrtimer_restart (*function)(struct hrtimer *timer),
			    clockid_t clock_id, enum hrtimer_mode mode)
{
#if DM_SCALED_HAVE_HRTIMER_SETUP
	hrtimer_setup_on_stack(timer, function, clock_id, mode);
#else
	hrtimer_init_on_stack(timer, clock_id, mode);
	timer->function = function;
#endif
}

static inline void test_module_text(const struct module *mod, u64 *start, u64 *end)
{
#if DM_SCALED_HAVE_MODULE_MEM
	*start = (unsigned long)mod->mem[MOD_TEXT].base;
	*end = *start + mod->mem[MOD_TEXT].size;
#else
	*start = (unsigned long)mod->core_layout.base;
	*end = *start + mod->core_layout.text_size;
#endif
}

#if DM_SCALED_HAVE_PCPU_ALLOC_NOPROF
#define TEST_PCPU_ALLOC			"pcpu_alloc_noprof"
#else
#define TEST_PCPU_ALLOC			"pcpu_alloc"
#endif

#ifdef CONFIG_FAULT_INJECTION
/* It holds its folder for the name, which is printed with each fault, if it has no copy of it. */
static inline void test_release_fault_attr(struct fault_attr *attr)
{
#ifndef FAULT_ATTR_DNAME_LEN
	dput(attr->dname);
#endif
}
#endif

static inline void test_set_read_only(struct block_device *bdev, bool read_only)
{
#if DM_SCALED_HAVE_BD_READ_ONLY
	bdev->bd_read_only = read_only;
#else
	if (read_only)
		bdev_set_flag(bdev, BD_READ_ONLY);
	else
		bdev_clear_flag(bdev, BD_READ_ONLY);
#endif
}

#endif /* DM_SCALED_TEST_COMPAT_H */
