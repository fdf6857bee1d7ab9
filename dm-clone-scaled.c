// SPDX-License-Identifier: GPL-2.0-only
/*
 * The clone target: table lines, life, status and messages.
 *
 * A new table for a clone is loaded while the old one is in use. So its constructor only looks at
 * the metadata device; which regions are hydrated it is told when the device is resumed: by the old
 * target, which is suspended then, or by the metadata device.
 */
#define DM_MSG_PREFIX "clone-scaled"

#include <linux/kstrtox.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "copy-offload.h"
#include "dm-clone-scaled.h"
#include "dm-scaled-delay.h"

#define CLONE_MIN_REGION	8
#define CLONE_MAX_REGION	BIT(21)
#define CLONE_DEVICES		3
#define CLONE_MAX_FEATURES	2
#define CLONE_MAX_CORE_ARGS	4

DECLARE_DM_KCOPYD_MQ_THROTTLE_WITH_MODULE_PARM(clone_hydration_throttle,
					       "Percentage of time in which regions may be copied");

/* Protects the list of clones, @loaded and @pinned of each. No I/O is done with it. */
static DEFINE_MUTEX(clone_registry_lock);
static LIST_HEAD(clones);
static DECLARE_WAIT_QUEUE_HEAD(clone_unpinned);

/*
 *------------------------------------------------------------
 * Who uses a metadata device
 *------------------------------------------------------------
 */

/*
 * Only one mapped device has clones of a metadata device: its active table, and the one that is
 * loaded. See dm-scaled-devices.h.
 */
static int clone_register(struct clone *clone)
{
	int r;

	clone->uses[0].bdev = clone->meta->bdev;
	clone->uses[0].role = DM_SCALED_META;
	clone->uses[1].bdev = clone->dest->bdev;
	clone->uses[1].role = DM_SCALED_DEST;
	clone->uses[2].bdev = clone->source->bdev;
	clone->uses[2].role = DM_SCALED_SOURCE;
	r = dm_scaled_devices_use(clone->ti, clone->uses, ARRAY_SIZE(clone->uses));
	if (r)
		return r;

	mutex_lock(&clone_registry_lock);
	list_add(&clone->list, &clones);
	mutex_unlock(&clone_registry_lock);
	return 0;
}

/* The one that knows which regions are hydrated. It stays until clone_unpin(). */
static struct clone *clone_pin_active(struct clone *clone)
{
	struct clone *other, *found = NULL;

	mutex_lock(&clone_registry_lock);
	list_for_each_entry(other, &clones, list)
		if (other != clone && other->loaded && other->meta->bdev == clone->meta->bdev)
			found = other;
	if (found)
		found->pinned++;
	mutex_unlock(&clone_registry_lock);
	return found;
}

/* With @taken_over another clone knows which regions are hydrated from now on. */
static void clone_unpin(struct clone *clone, bool taken_over)
{
	mutex_lock(&clone_registry_lock);
	if (taken_over)
		clone->loaded = false;
	clone->pinned--;
	mutex_unlock(&clone_registry_lock);
	wake_up_all(&clone_unpinned);
}

/* Returns false if the clone is pinned. */
static bool clone_leave(struct clone *clone)
{
	bool left;

	mutex_lock(&clone_registry_lock);
	left = !clone->pinned;
	if (left)
		list_del(&clone->list);
	mutex_unlock(&clone_registry_lock);
	return left;
}

static void clone_unregister(struct clone *clone)
{
	wait_event(clone_unpinned, clone_leave(clone));
	dm_scaled_devices_release(clone->uses, ARRAY_SIZE(clone->uses));
}

/*
 *------------------------------------------------------------
 * Table lines
 *------------------------------------------------------------
 */

static int clone_parse_region_size(struct clone *clone, const char *arg)
{
	struct dm_target *ti = clone->ti;
	unsigned int size, block;
	u64 regions;

	if (kstrtouint(arg, 10, &size) || size < CLONE_MIN_REGION || size > CLONE_MAX_REGION ||
	    !is_power_of_2(size)) {
		ti->error = "Invalid region size: must be a power of 2 from 8 to 2097152 sectors";
		return -EINVAL;
	}
	block = max(bdev_logical_block_size(clone->source->bdev),
		    bdev_logical_block_size(clone->dest->bdev));
	if (to_bytes(size) % block) {
		ti->error = "Invalid region size: must be a multiple of the devices' block sizes";
		return -EINVAL;
	}
	clone->region_shift = ilog2(size);
	regions = dm_sector_div_up(ti->len, size);
	if (regions > CLONE_MAX_REGIONS) {
		ti->error = "Too many regions, more than 2^31: make the region size larger";
		return -EINVAL;
	}
	clone->regions = regions;
	return 0;
}

static int clone_parse_features(struct clone *clone, struct dm_arg_set *as)
{
	struct dm_target *ti = clone->ti;
	const char *name;
	unsigned int nr;

	if (!as->argc)
		return 0;
	if (kstrtouint(dm_shift_arg(as), 10, &nr) || nr > CLONE_MAX_FEATURES || nr > as->argc) {
		ti->error = "Wrong number of features: must be 0 to 2, and as many must follow";
		return -EINVAL;
	}
	while (nr--) {
		name = dm_shift_arg(as);
		if (!strcasecmp(name, "no_hydration")) {
			clone->hydrator.enabled = false;
		} else if (!strcasecmp(name, "no_discard_passdown")) {
			clone->passdown = false;
		} else {
			ti->error = "Unknown feature: must be no_hydration or no_discard_passdown";
			return -EINVAL;
		}
	}
	return 0;
}

static int clone_parse_core_args(struct clone *clone, struct dm_arg_set *as)
{
	struct dm_target *ti = clone->ti;
	unsigned int nr, value;
	const char *name;

	if (!as->argc)
		return 0;
	if (kstrtouint(dm_shift_arg(as), 10, &nr) || nr > CLONE_MAX_CORE_ARGS || nr % 2 ||
	    nr > as->argc) {
		ti->error = "Wrong number of core arguments: must be 0, 2 or 4, and so many follow";
		return -EINVAL;
	}
	for (; nr; nr -= 2) {
		name = dm_shift_arg(as);
		if (kstrtouint(dm_shift_arg(as), 10, &value)) {
			ti->error = "Invalid core argument: its value must be a number of regions";
			return -EINVAL;
		}
		if (!strcasecmp(name, "hydration_threshold")) {
			clone->hydrator.threshold = value;
		} else if (!strcasecmp(name, "hydration_batch_size")) {
			clone->hydrator.batch = value;
		} else {
			ti->error =
				"Unknown argument: not hydration_threshold or hydration_batch_size";
			return -EINVAL;
		}
	}
	if (as->argc) {
		ti->error = "Arguments left over after the core arguments";
		return -EINVAL;
	}
	return 0;
}

/* For the status, words as they were given. */
static int clone_keep_args(struct clone *clone, unsigned int argc, char **argv)
{
	unsigned int i, len = 0, size = 1;

	for (i = 0; i < argc; i++)
		size += strlen(argv[i]) + 1;
	clone->args = kmalloc(size, GFP_KERNEL);
	if (!clone->args) {
		clone->ti->error = "No memory for the table line";
		return -ENOMEM;
	}
	for (i = 0; i < argc; i++)
		len += scnprintf(clone->args + len, size - len, " %s", argv[i]);
	return 0;
}

static int clone_get_device(struct clone *clone, const char *path, bool write, struct dm_dev **dev,
			    char *error)
{
	int r;

	r = write ? dm_scaled_get_device_to_write(clone->ti, path, dev) :
		    dm_scaled_get_device_to_read(clone->ti, path, dev);
	if (r) {
		*dev = NULL;
		clone->ti->error = error;
	}
	return r;
}

static int clone_get_devices(struct clone *clone, char **argv)
{
	struct dm_target *ti = clone->ti;
	int r;

	r = clone_get_device(clone, argv[0], true, &clone->meta, "Cannot open the metadata device");
	if (!r)
		r = clone_get_device(clone, argv[1], true, &clone->dest,
				     "Cannot open the destination device");
	if (!r)
		r = clone_get_device(clone, argv[2], false, &clone->source,
				     "Cannot open the source device");
	if (r)
		return r;

	if (bdev_nr_sectors(clone->dest->bdev) < ti->len) {
		ti->error = "Destination device is smaller than the clone";
		return -EINVAL;
	}
	if (bdev_nr_sectors(clone->source->bdev) < ti->len) {
		ti->error = "Source device is smaller than the clone";
		return -EINVAL;
	}
	if (clone->meta->bdev == clone->dest->bdev || clone->meta->bdev == clone->source->bdev ||
	    clone->dest->bdev == clone->source->bdev) {
		ti->error = "Metadata, destination and source must be three devices";
		return -EINVAL;
	}
	return 0;
}

static int clone_alloc(struct clone *clone)
{
	struct dm_target *ti = clone->ti;
	unsigned int block;

	clone->busy = kvcalloc(BITS_TO_LONGS(clone->regions), sizeof(long), GFP_KERNEL);
	clone->waiters = clone_waiters_create();
	clone->cpus = alloc_percpu(struct clone_cpu);
	clone->wq = alloc_workqueue("dm-clone-scaled", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!clone->busy || !clone->waiters || !clone->cpus || !clone->wq) {
		ti->error = "No memory for the clone";
		return -ENOMEM;
	}
	clone->kcopyd = dm_kcopyd_mq_client_create(&dm_kcopyd_mq_throttle);
	clone->background = dm_kcopyd_mq_client_create_background(&dm_kcopyd_mq_throttle);
	if (IS_ERR(clone->kcopyd) || IS_ERR(clone->background)) {
		ti->error = "No memory for the copy engine";
		return -ENOMEM;
	}
	block = max(bdev_logical_block_size(clone->source->bdev),
		    bdev_logical_block_size(clone->dest->bdev));
	if (dm_kcopyd_mq_client_blocks(clone->kcopyd, block) ||
	    dm_kcopyd_mq_client_blocks(clone->background, block)) {
		ti->error = "No memory for the copy engine's reserves";
		return -ENOMEM;
	}
	dm_kcopyd_mq_client_offload(clone->kcopyd, clone->source->bdev, clone->dest->bdev);
	dm_kcopyd_mq_client_offload(clone->background, clone->source->bdev, clone->dest->bdev);
	return 0;
}

/* As far as it has been made. */
static void clone_free(struct clone *clone)
{
	struct dm_target *ti = clone->ti;

	/* What it has copied wakes bios that are the other's. */
	if (!IS_ERR_OR_NULL(clone->background))
		dm_kcopyd_mq_client_destroy(clone->background);
	if (!IS_ERR_OR_NULL(clone->kcopyd))
		dm_kcopyd_mq_client_destroy(clone->kcopyd);
	if (clone->wq)
		destroy_workqueue(clone->wq);
	free_percpu(clone->cpus);
	clone_waiters_destroy(clone->waiters);
	kvfree(clone->busy);
	if (!IS_ERR_OR_NULL(clone->bitmap))
		clone_bitmap_destroy(clone->bitmap);
	clone_hydrator_exit(clone);
	if (clone->source)
		dm_put_device(ti, clone->source);
	if (clone->dest)
		dm_put_device(ti, clone->dest);
	if (clone->meta)
		dm_put_device(ti, clone->meta);
	kfree(clone->args);
	kfree(clone);
}

static int clone_make(struct clone *clone, unsigned int argc, char **argv)
{
	struct dm_arg_set as = { .argc = argc, .argv = argv };
	struct dm_target *ti = clone->ti;
	int r;

	r = clone_get_devices(clone, argv);
	if (!r)
		r = clone_parse_region_size(clone, argv[CLONE_DEVICES]);
	if (r)
		return r;
	r = clone_hydrator_init(clone);
	if (r) {
		ti->error = "No memory for the hydration";
		return r;
	}
	dm_consume_args(&as, CLONE_DEVICES + 1);
	r = clone_parse_features(clone, &as);
	if (!r)
		r = clone_parse_core_args(clone, &as);
	if (!r)
		r = clone_keep_args(clone, argc - CLONE_DEVICES, argv + CLONE_DEVICES);
	if (!r)
		r = clone_alloc(clone);
	if (!r)
		r = clone_register(clone);
	if (r)
		return r;

	clone->bitmap = clone_bitmap_create(clone->meta->bdev, ti->len, clone_region_size(clone),
					    &ti->error);
	if (IS_ERR(clone->bitmap)) {
		clone_unregister(clone);
		return PTR_ERR(clone->bitmap);
	}
	return 0;
}

/*
 * <metadata> <destination> <source> <region size>
 *	[<number of features> <feature>... [<number of core arguments> <name> <value>...]]
 */
static int clone_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct clone *clone;
	int r;

	if (argc < CLONE_DEVICES + 1) {
		ti->error = "Too few arguments: needs metadata, destination, source, region size";
		return -EINVAL;
	}

	clone = kzalloc(sizeof(*clone), GFP_KERNEL);
	if (!clone) {
		ti->error = "No memory for the clone target";
		return -ENOMEM;
	}
	clone->ti = ti;
	clone->passdown = true;
	clone_commit_init(clone);

	r = clone_make(clone, argc, argv);
	if (r) {
		clone_free(clone);
		return r;
	}

	ti->private = clone;
	ti->num_flush_bios = 1;
	ti->flush_supported = true;
	ti->num_discard_bios = 1;
	ti->discards_supported = true;
	ti->num_write_zeroes_bios = 1;
	ti->per_io_data_size = sizeof(struct clone_bio);
	return 0;
}

static void clone_dtr(struct dm_target *ti)
{
	struct clone *clone = ti->private;

	clone_hydrator_stop(clone);
	/* What was not committed when it was suspended may belong to another target by now. */
	cancel_delayed_work_sync(&clone->tick);
	clone_unregister(clone);
	clone_free(clone);
}

/*
 *------------------------------------------------------------
 * Suspend and resume
 *------------------------------------------------------------
 */

/*
 * Learns which regions are hydrated. Device-mapper resumes one table of a device at a time, so
 * nobody else takes over from the same clone.
 */
static int clone_take_over(struct clone *clone)
{
	struct clone *other = clone_pin_active(clone);
	int r = 0;

	if (other && !dm_suspended(other->ti)) {
		DMERR("%s: Cannot resume: the old table is not suspended", clone_name(clone));
		r = -EBUSY;
	} else if (other && other->mode != CLONE_FAIL) {
		clone_commit_adopt(clone, other);
	} else {
		r = clone_bitmap_load(clone->bitmap);
	}

	dm_scaled_delay("clone-scaled:loaded");
	if (!r) {
		mutex_lock(&clone_registry_lock);
		clone->loaded = true;
		mutex_unlock(&clone_registry_lock);
	}
	if (other)
		clone_unpin(other, !r);
	return r;
}

static int clone_preresume(struct dm_target *ti)
{
	struct clone *clone = ti->private;
	int r = clone->loaded ? 0 : clone_take_over(clone);

	if (!r)
		clone_commit_recover(clone);
	return r;
}

static void clone_resume(struct dm_target *ti)
{
	struct clone *clone = ti->private;

	clone_commit_run(clone);
	clone_hydrator_run(clone);
}

static void clone_postsuspend(struct dm_target *ti)
{
	struct clone *clone = ti->private;

	clone_hydrator_stop(clone);
	clone_commit_stop(clone);
}

/*
 *------------------------------------------------------------
 * Status, messages, limits
 *------------------------------------------------------------
 */

static long clone_filling(struct clone *clone)
{
	unsigned int cpu;
	long sum = 0;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(clone->cpus, cpu)->filled);
	return max(sum, 0L);
}

static void clone_status_info(struct clone *clone, char *result, unsigned int maxlen)
{
	bool hydrates = READ_ONCE(clone->hydrator.enabled);
	struct clone_bitmap *b = clone->bitmap;
	unsigned int sz = 0;

	if (READ_ONCE(clone->mode) == CLONE_FAIL) {
		DMEMIT("Fail");
		return;
	}
	DMEMIT("%u %llu/%llu %llu %lld/%lu %lu ", CLONE_BLOCK_SECTORS, clone_bitmap_used_blocks(b),
	       (unsigned long long)bdev_nr_sectors(clone->meta->bdev) / CLONE_BLOCK_SECTORS,
	       (unsigned long long)clone_region_size(clone), percpu_counter_sum(&b->count),
	       clone->regions, clone_filling(clone));
	DMEMIT("%u ", !hydrates + !clone->passdown);
	if (!hydrates)
		DMEMIT("no_hydration ");
	if (!clone->passdown)
		DMEMIT("no_discard_passdown ");
	DMEMIT("4 hydration_threshold %u hydration_batch_size %u ",
	       READ_ONCE(clone->hydrator.threshold), READ_ONCE(clone->hydrator.batch));
	DMEMIT(clone_writable(clone) ? "rw" : "ro");
}

static void clone_status(struct dm_target *ti, status_type_t type, unsigned int flags,
			 char *result, unsigned int maxlen)
{
	struct clone *clone = ti->private;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		if (!(flags & DM_SCALED_STATUS_NOFLUSH) && !dm_suspended(ti))
			clone_commit(clone, NULL);
		clone_status_info(clone, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %s %s%s", clone->meta->name, clone->dest->name, clone->source->name,
		       clone->args);
		break;
	case STATUSTYPE_IMA:
		*result = '\0';
		break;
	}
}

static int clone_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
			 unsigned int maxlen)
{
	struct clone *clone = ti->private;
	unsigned int value;
	int r;

	if (argc == 1 && !strcasecmp(argv[0], "enable_hydration")) {
		clone_hydrator_enable(clone, true);
		return 0;
	}
	if (argc == 1 && !strcasecmp(argv[0], "disable_hydration")) {
		clone_hydrator_enable(clone, false);
		return 0;
	}
	if (argc == 2 && !kstrtouint(argv[1], 10, &value)) {
		if (!strcasecmp(argv[0], "hydration_threshold")) {
			clone_hydrator_set(clone, &value, NULL);
			return 0;
		}
		if (!strcasecmp(argv[0], "hydration_batch_size")) {
			clone_hydrator_set(clone, NULL, &value);
			return 0;
		}
	}
	r = copy_offload_message(dm_kcopyd_mq_client_offloads_to(clone->kcopyd), argc, argv, result,
				 maxlen);
	if (r == -EINVAL)
		DMERR("%s: message %s: must be one of those in the documentation, with its values",
		      clone_name(clone), argv[0]);
	return r;
}

static int clone_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct clone *clone = ti->private;
	int r;

	r = fn(ti, clone->source, 0, ti->len, data);
	if (!r)
		r = fn(ti, clone->dest, 0, ti->len, data);
	return r;
}

static void clone_check_passdown(struct clone *clone)
{
	unsigned int most = bdev_max_discard_sectors(clone->dest->bdev);

	if (!clone->passdown || most >= clone_region_size(clone))
		return;
	DMWARN("%s: no_discard_passdown: the destination %pg %s", clone_name(clone),
	       clone->dest->bdev, most ? "discards less than a region" : "does not discard");
	clone->passdown = false;
}

static void clone_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct clone *clone = ti->private;
	unsigned int region = to_bytes(clone_region_size(clone));

	if (limits->io_opt < region || limits->io_opt % region) {
		limits->io_min = max(region, limits->physical_block_size);
		limits->io_opt = region;
	}

	clone_check_passdown(clone);
	if (clone->passdown) {
		dm_scaled_inherit_discard_limits(limits, clone->dest->bdev);
		return;
	}
	limits->discard_granularity = region;
	dm_scaled_set_max_discard_sectors(limits, round_down(UINT_MAX >> SECTOR_SHIFT,
							     clone_region_size(clone)));
}

static struct target_type clone_target_type = {
	.name = "clone-scaled",
	.version = {1, 0, 0},
	.module = THIS_MODULE,
	.ctr = clone_ctr,
	.dtr = clone_dtr,
	.map = clone_map,
	.end_io = clone_end_io,
	.preresume = clone_preresume,
	.resume = clone_resume,
	.postsuspend = clone_postsuspend,
	.status = clone_status,
	.message = clone_message,
	.io_hints = clone_io_hints,
	.iterate_devices = clone_iterate_devices,
};

/* As that one, under stock's name; filled in when it is registered. */
static struct target_type clone_stock_type;
static bool clone_registered, clone_took_over;

int dm_clone_scaled_init(void)
{
	int r;

	r = clone_hydrator_module_init();
	if (r)
		DMERR("No memory for the cache of batches");
	return r;
}

int dm_clone_scaled_register(void)
{
	int r;

	r = dm_register_target(&clone_target_type);
	if (r < 0)
		DMERR("Cannot register target %s: error %d", clone_target_type.name, r);
	else
		clone_registered = true;
	return r;
}

int dm_clone_scaled_take_over(void)
{
	int r;

	clone_stock_type = clone_target_type;
	clone_stock_type.name = "clone";
	r = dm_register_target(&clone_stock_type);
	if (r < 0) {
		DMWARN("Cannot take over target %s: error %d: %s", clone_stock_type.name, r,
		       "for takeover=clone load dm_scaled while dm_clone is not loaded");
		return r;
	}
	clone_took_over = true;
	return 0;
}

void dm_clone_scaled_exit(void)
{
	if (clone_took_over)
		dm_unregister_target(&clone_stock_type);
	if (clone_registered)
		dm_unregister_target(&clone_target_type);
	clone_hydrator_module_exit();
}
