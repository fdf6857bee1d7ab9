// SPDX-License-Identifier: GPL-2.0-only
/*
 * Target "volatile": dm-linear on a device that seems to have a volatile write cache. A flush of it
 * takes a set time; nothing is ever lost. For measurements: null_blk that keeps no data has no such
 * cache.
 *
 * Table: <start> <length> volatile <device> <offset in sectors> <microseconds of a flush>
 */
#include <linux/device-mapper.h>
#include <linux/module.h>

#include "test-compat.h"

#define DM_MSG_PREFIX "volatile"

/* A minute. */
#define VOLATILE_MAX_US 60000000U

struct volatile_target {
	struct dm_dev *dev;
	sector_t start;
	ktime_t flush;
};

/* A flush that is under way; with its bio. */
struct volatile_flush {
	struct hrtimer timer;
};

static enum hrtimer_restart volatile_flushed(struct hrtimer *timer)
{
	struct volatile_flush *vf = container_of(timer, struct volatile_flush, timer);

	bio_endio(dm_bio_from_per_bio_data(vf, sizeof(*vf)));
	return HRTIMER_NORESTART;
}

static int volatile_map(struct dm_target *ti, struct bio *bio)
{
	struct volatile_target *vt = ti->private;
	struct volatile_flush *vf;

	if (bio->bi_opf & REQ_PREFLUSH) {
		vf = dm_per_bio_data(bio, sizeof(*vf));
		test_hrtimer_setup(&vf->timer, volatile_flushed, CLOCK_MONOTONIC,
				   HRTIMER_MODE_REL_SOFT);
		hrtimer_start(&vf->timer, vt->flush, HRTIMER_MODE_REL_SOFT);
		return DM_MAPIO_SUBMITTED;
	}
	bio_set_dev(bio, vt->dev->bdev);
	bio->bi_iter.bi_sector = vt->start + dm_target_offset(ti, bio->bi_iter.bi_sector);
	return DM_MAPIO_REMAPPED;
}

static int volatile_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct volatile_target *vt;
	unsigned long long start;
	unsigned int us;
	int r;

	if (argc != 3) {
		ti->error = "needs <device> <offset> <microseconds of a flush>";
		return -EINVAL;
	}
	if (kstrtoull(argv[1], 10, &start)) {
		ti->error = "offset: must be a number of sectors";
		return -EINVAL;
	}
	if (kstrtouint(argv[2], 10, &us) || us > VOLATILE_MAX_US) {
		ti->error = "microseconds: must be a number up to 60000000";
		return -EINVAL;
	}

	vt = kzalloc(sizeof(*vt), GFP_KERNEL);
	if (!vt) {
		ti->error = "no memory";
		return -ENOMEM;
	}
	vt->start = start;
	vt->flush = ns_to_ktime((u64)us * NSEC_PER_USEC);
	r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &vt->dev);
	if (r) {
		ti->error = "device: cannot be opened";
		kfree(vt);
		return r;
	}

	ti->private = vt;
	ti->per_io_data_size = sizeof(struct volatile_flush);
	ti->num_flush_bios = 1;
	ti->flush_supported = true;
	return 0;
}

static void volatile_dtr(struct dm_target *ti)
{
	struct volatile_target *vt = ti->private;

	dm_put_device(ti, vt->dev);
	kfree(vt);
}

static int volatile_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct volatile_target *vt = ti->private;

	return fn(ti, vt->dev, vt->start, ti->len, data);
}

static void volatile_status(struct dm_target *ti, status_type_t type, unsigned int status_flags,
			    char *result, unsigned int maxlen)
{
	struct volatile_target *vt = ti->private;
	unsigned int sz = 0;

	if (type == STATUSTYPE_TABLE)
		DMEMIT("%s %llu %lld", vt->dev->name, (unsigned long long)vt->start,
		       ktime_to_us(vt->flush));
	else
		*result = '\0';
}

static struct target_type volatile_target_type = {
	.name = "volatile",
	.version = { 1, 0, 0 },
	.module = THIS_MODULE,
	.ctr = volatile_ctr,
	.dtr = volatile_dtr,
	.map = volatile_map,
	.status = volatile_status,
	.iterate_devices = volatile_iterate_devices,
};

static int __init volatile_init(void)
{
	return dm_register_target(&volatile_target_type);
}

static void __exit volatile_exit(void)
{
	dm_unregister_target(&volatile_target_type);
}

module_init(volatile_init);
module_exit(volatile_exit);

MODULE_DESCRIPTION("Volatile write cache for measurements of dm-scaled");
MODULE_LICENSE("GPL");
