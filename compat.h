/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between kernel versions that this module meets, and what differs when the unit
 * tests compile its sources; nothing else. The sources are written for the newest kernel; what an
 * older one lacks is supplied here.
 *
 * Stable kernels and distributions backport, so the compiler is asked what a kernel has, not its
 * version: each file in probes/ is a question, and says in which kernels the answer is yes.
 * compat-probes.h defines DM_SCALED_HAVE_NAME as 1 or 0. A kernel that lacks what has no substitute
 * (probes/need-*.c) is refused when that header is made.
 */
#ifndef DM_SCALED_COMPAT_H
#define DM_SCALED_COMPAT_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/crc32.h>
#include <linux/device-mapper.h>
#include <linux/lockdep.h>
#include <linux/spinlock.h>
/* With PREEMPT_RT it needs linux/spinlock.h, which it does not include. */
#include <linux/local_lock.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/workqueue.h>

#include "compat-declared.h"
#include "compat-probes.h"

#if DM_SCALED_HAVE_LINUX_UNALIGNED
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

/*
 * PREEMPT_RT. There a spinlock_t or local_lock_t is a lock that sleeps, spin_lock_irq() leaves
 * interrupts on, and interrupt handlers, softirqs and timers are threads. So with PREEMPT_RT
 *
 * - "interrupts off" in a comment on a lock means that the lock's holder is not interrupted by
 *   another user of the lock. It is asserted by dm_scaled_assert_irqs_off();
 * - the holder of a lock may be preempted, but it stays on its CPU. Data of a CPU need a lock of
 *   their own even if that CPU alone uses them;
 * - nothing waits in a loop for the holder of a lock: the holder may have the lower priority, and
 *   never run again. A reader that finds a sequence count odd takes the writers' lock;
 * - no spinlock_t is taken, and nothing is allocated or freed, with preemption disabled or between
 *   local_irq_save() and local_irq_restore().
 */
static inline void dm_scaled_assert_irqs_off(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		lockdep_assert_irqs_disabled();
}

/*
 * The unit tests compile the sources once more: nothing is exported, and what is known to the
 * kernel by its name has another one, so that both can be loaded.
 */
#ifdef DM_SCALED_KUNIT
#define EXPORT_SYMBOL_DM_SCALED(sym)
#define DM_SCALED_UNIQUE_NAME(name)	"kunit_" name
#else
#define DM_SCALED_UNIQUE_NAME(name)	name

#if DM_SCALED_HAVE_BARE_NAMESPACE
#define EXPORT_SYMBOL_DM_SCALED(sym)	EXPORT_SYMBOL_NS_GPL(sym, DM_SCALED)
#define DM_SCALED_IMPORT_NS()		MODULE_IMPORT_NS(DM_SCALED)
#else
#define EXPORT_SYMBOL_DM_SCALED(sym)	EXPORT_SYMBOL_NS_GPL(sym, "DM_SCALED")
#define DM_SCALED_IMPORT_NS()		MODULE_IMPORT_NS("DM_SCALED")
#endif
#endif

/* Bytes of the largest logical block of a device. Unit tests find the same everywhere. */
#if defined(BLK_MAX_BLOCK_SIZE) && !defined(DM_SCALED_KUNIT)
#define DM_SCALED_MAX_BLOCK \
	(BLK_MAX_BLOCK_SIZE > PAGE_SIZE ? BLK_MAX_BLOCK_SIZE : PAGE_SIZE)
#else
#define DM_SCALED_MAX_BLOCK		PAGE_SIZE
#endif

#if !DM_SCALED_HAVE_WQ_PERCPU
#define WQ_PERCPU			0
#endif

#if !DM_SCALED_HAVE_SYSTEM_PERCPU_WQ
#define system_percpu_wq		system_wq
#endif

static inline struct workqueue_struct *dm_scaled_alloc_percpu_wq(const char *name,
								 unsigned int flags)
{
	return alloc_workqueue("%s", WQ_MEM_RECLAIM | WQ_PERCPU | flags, 0, name);
}

/* Without the models, there are no host-aware devices: a zoned device is host-managed. */
static inline bool dm_scaled_bdev_writes_in_order(struct block_device *bdev)
{
#if DM_SCALED_HAVE_BDEV_ZONED_MODEL
	return bdev_zoned_model(bdev) == BLK_ZONED_HM;
#else
	return bdev_is_zoned(bdev);
#endif
}

/* The library's; it later got the name of the one that went by way of the crypto API. */
static inline u32 dm_scaled_crc32c(u32 crc, const void *data, size_t bytes)
{
#if DM_SCALED_HAVE_CRC32C_LE
	return __crc32c_le(crc, data, bytes);
#else
	return crc32c(crc, data, bytes);
#endif
}

static inline struct shrinker *
dm_scaled_shrinker_create(const char *name,
			  unsigned long (*count)(struct shrinker *s, struct shrink_control *sc),
			  unsigned long (*scan)(struct shrinker *s, struct shrink_control *sc))
{
	struct shrinker *s;

#if DM_SCALED_HAVE_SHRINKER_ALLOC
	s = shrinker_alloc(0, "%s", name);
#else
	s = kzalloc(sizeof(*s), GFP_KERNEL);
#endif
	if (!s)
		return NULL;
	s->count_objects = count;
	s->scan_objects = scan;
	s->seeks = DEFAULT_SEEKS;
#if DM_SCALED_HAVE_SHRINKER_ALLOC
	shrinker_register(s);
#else
	if (register_shrinker(s, "%s", name)) {
		kfree(s);
		return NULL;
	}
#endif
	return s;
}

static inline void dm_scaled_shrinker_destroy(struct shrinker *s)
{
#if DM_SCALED_HAVE_SHRINKER_ALLOC
	shrinker_free(s);
#else
	unregister_shrinker(s);
	kfree(s);
#endif
}

#if !DM_SCALED_HAVE_TIMER_DELETE_SYNC
#define timer_delete_sync		del_timer_sync
#endif

#if DM_SCALED_HAVE_BLK_MODE_T
#define DM_SCALED_MODE_READ		BLK_OPEN_READ
#define DM_SCALED_MODE_ALL		(BLK_OPEN_READ | BLK_OPEN_WRITE)
#else
#define DM_SCALED_MODE_READ		FMODE_READ
#define DM_SCALED_MODE_ALL		(FMODE_READ | FMODE_WRITE)
#endif

/* What a driver does when user space calls ioctl(); @arg is the task's own memory. */
static inline int dm_scaled_bdev_ioctl(struct block_device *bdev, unsigned int cmd,
				       unsigned long arg)
{
	return bdev->bd_disk->fops->ioctl(bdev, DM_SCALED_MODE_ALL, cmd, arg);
}

#if DM_SCALED_HAVE_END_IO_BATCH
#define DM_SCALED_END_IO_ARGS		struct request *rq, blk_status_t status, \
					const struct io_comp_batch *iob
#else
#define DM_SCALED_END_IO_ARGS		struct request *rq, blk_status_t status
#endif

#if DM_SCALED_HAVE_MAP_KERN_RQ
#define dm_scaled_rq_map_kern(rq, buf, size, gfp)	blk_rq_map_kern(rq, buf, size, gfp)
#else
#define dm_scaled_rq_map_kern(rq, buf, size, gfp)	\
	blk_rq_map_kern((rq)->q, rq, buf, size, gfp)
#endif

/*
 * With the batches of completions that the NVMe driver makes, the end of a passthrough request may
 * be told that the request succeeded though it failed. Seen from 6.12 to 7.3; 6.1 does not. Where a
 * batch is told only whether a request has failed, that does not count for passthrough. Before, the
 * header does not show it, so that the version has to tell. An older one is a distribution's, which
 * may have a newer driver.
 */
#define DM_SCALED_END_IO_HIDES_STATUS	(DM_SCALED_HAVE_BATCH_IS_ERROR || \
					 LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0) || \
					 LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0))

/* Drivers set the hardware limit; later max_discard_sectors is derived from it. */
static inline void dm_scaled_set_max_discard_sectors(struct queue_limits *limits,
						     unsigned int sectors)
{
	limits->max_hw_discard_sectors = sectors;
#if !DM_SCALED_HAVE_MAX_USER_DISCARD
	limits->max_discard_sectors = sectors;
#endif
}

/* What device-mapper has stacked from several devices is replaced by what one of them discards. */
static inline void dm_scaled_inherit_discard_limits(struct queue_limits *limits,
						    struct block_device *bdev)
{
	const struct queue_limits *from = &bdev_get_queue(bdev)->limits;

	limits->max_discard_sectors = from->max_discard_sectors;
	limits->max_hw_discard_sectors = from->max_hw_discard_sectors;
	limits->discard_granularity = from->discard_granularity;
	limits->discard_alignment = from->discard_alignment;
	limits->max_discard_segments = from->max_discard_segments;
#if DM_SCALED_HAVE_DISCARD_MISALIGNED
	limits->discard_misaligned = from->discard_misaligned;
#endif
}

#endif /* DM_SCALED_COMPAT_H */
