// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registry of block devices in use.
 *
 * One list under one spinlock: constructors and destructors walk it, no I/O path does.
 */
#define DM_MSG_PREFIX "scaled"

#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/spinlock.h>

#include "compat.h"
#include "dm-scaled-devices.h"

/* Under which condition a device may have two roles at a time. */
enum dm_scaled_share {
	SHARE_NEVER,
	SHARE_SAME_ORIGIN,
	SHARE_ALWAYS,
};

/* The table in dm-scaled-devices.h; symmetric. */
static const u8 dm_scaled_sharing[DM_SCALED_NR_ROLES][DM_SCALED_NR_ROLES] = {
	[DM_SCALED_ORIGIN][DM_SCALED_ORIGIN] = SHARE_ALWAYS,
	[DM_SCALED_ORIGIN][DM_SCALED_SOURCE] = SHARE_ALWAYS,
	[DM_SCALED_SOURCE][DM_SCALED_ORIGIN] = SHARE_ALWAYS,
	[DM_SCALED_SOURCE][DM_SCALED_SOURCE] = SHARE_ALWAYS,
	[DM_SCALED_COW][DM_SCALED_COW] = SHARE_SAME_ORIGIN,
};

static const struct dm_scaled_role_text {
	const char *name;
	char *error;
} dm_scaled_role_texts[DM_SCALED_NR_ROLES] = {
	[DM_SCALED_ORIGIN] = { "an origin device",
			       "Origin device is in use already: see the kernel's log" },
	[DM_SCALED_COW] = { "a COW device", "COW device is in use already: see the kernel's log" },
	[DM_SCALED_SOURCE] = { "a source device",
			       "Source device is in use already: see the kernel's log" },
	[DM_SCALED_DEST] = { "a destination device",
			     "Destination device is in use already: see the kernel's log" },
	[DM_SCALED_META] = { "a metadata device",
			     "Metadata device is in use already: see the kernel's log" },
};

static DEFINE_SPINLOCK(dm_scaled_uses_lock);	/* protects the list */
static LIST_HEAD(dm_scaled_uses);

/* Whether @new may be entered beside @old. */
static bool dm_scaled_may_share(const struct dm_scaled_use *new, const struct dm_scaled_use *old)
{
	if (new->bdev != old->bdev)
		return true;
	/* The new table replaces the old one. */
	if (new->md == old->md && new->table != old->table && new->role != DM_SCALED_COW)
		return true;

	switch (dm_scaled_sharing[new->role][old->role]) {
	case SHARE_ALWAYS:
		return true;
	case SHARE_SAME_ORIGIN:
		return new->origin == old->origin;
	default:
		return false;
	}
}

static const struct dm_scaled_use *dm_scaled_find_obstacle(const struct dm_scaled_use *new)
{
	const struct dm_scaled_use *old;

	lockdep_assert_held(&dm_scaled_uses_lock);

	list_for_each_entry(old, &dm_scaled_uses, list)
		if (!dm_scaled_may_share(new, old))
			return old;
	return NULL;
}

int dm_scaled_get_device_to_read(struct dm_target *ti, const char *path, struct dm_dev **dev)
{
	if (!dm_get_device(ti, path, dm_table_get_mode(ti->table), dev))
		return 0;
	return dm_get_device(ti, path, DM_SCALED_MODE_READ, dev);
}

int dm_scaled_get_device_to_write(struct dm_target *ti, const char *path, struct dm_dev **dev)
{
	int r;

	r = dm_get_device(ti, path, dm_table_get_mode(ti->table), dev);
	if (r)
		return r;
	if (bdev_read_only((*dev)->bdev)) {
		dm_put_device(ti, *dev);
		return -EACCES;
	}
	return 0;
}

int dm_scaled_devices_use(struct dm_target *ti, struct dm_scaled_use *uses, unsigned int nr)
{
	const struct dm_scaled_use *old;
	unsigned int i;
	int r = 0;

	spin_lock(&dm_scaled_uses_lock);
	for (i = 0; i < nr && !r; i++) {
		uses[i].table = ti->table;
		uses[i].md = dm_table_get_md(ti->table);
		old = dm_scaled_find_obstacle(&uses[i]);
		if (!old)
			continue;
		ti->error = dm_scaled_role_texts[uses[i].role].error;
		/* A mapped device exists as long as there is a use by it. */
		DMERR("%s: %pg cannot be %s: it is %s of %s",
		      dm_table_device_name(ti->table), uses[i].bdev,
		      dm_scaled_role_texts[uses[i].role].name,
		      dm_scaled_role_texts[old->role].name, dm_device_name(old->md));
		r = -EBUSY;
	}
	for (i = 0; i < nr && !r; i++)
		list_add(&uses[i].list, &dm_scaled_uses);
	spin_unlock(&dm_scaled_uses_lock);
	return r;
}

void dm_scaled_devices_release(struct dm_scaled_use *uses, unsigned int nr)
{
	unsigned int i;

	spin_lock(&dm_scaled_uses_lock);
	for (i = 0; i < nr; i++)
		list_del(&uses[i].list);
	spin_unlock(&dm_scaled_uses_lock);
}
