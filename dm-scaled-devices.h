/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The registry of block devices in use: which target uses which device, in which role.
 *
 * All targets of the module enter each of their devices before they read or write it, and leave
 * when they are destroyed. The registry refuses a device whose contents two targets would change
 * without each other's knowledge, whatever devices and tables these targets are in:
 *
 *	          | origin | COW      | source | destination | metadata
 *	----------+--------+----------+--------+-------------+---------
 *	origin    | yes    |          |        |             |
 *	COW       | no     | (same)   |        |             |
 *	source    | yes    | no       | yes    |             |
 *	dest.     | no     | no       | no     | no          |
 *	metadata  | no     | no       | no     | no          | no
 *
 * (same): only for snapshots of the same origin, as when the table of a snapshot is loaded again.
 * Which of these targets has the snapshot is decided by dm-snap-scaled.c.
 *
 * A table that is loaded for a mapped device takes the place of the other table of that device,
 * and never does I/O beside it. Uses by these two tables do not exclude each other, so that a
 * clone is loaded again, or a clone's destination becomes an origin. The exception is a new use as
 * COW device: the constructor of a snapshot target reads and formats it.
 *
 * Stacks are possible: an origin target on top of a snapshot uses the snapshot's device, which is
 * another one than the snapshot's origin. Whole disks and their partitions exclude each other
 * already where device-mapper opens them.
 */
#ifndef DM_SCALED_DEVICES_H
#define DM_SCALED_DEVICES_H

#include <linux/list.h>

struct block_device;
struct dm_dev;
struct dm_table;
struct dm_target;
struct mapped_device;

/* What a target uses a device for. */
enum dm_scaled_role {
	DM_SCALED_ORIGIN,	/* snapshots are taken of it */
	DM_SCALED_COW,		/* holds what a snapshot has copied */
	DM_SCALED_SOURCE,	/* a clone reads it */
	DM_SCALED_DEST,		/* a clone fills it */
	DM_SCALED_META,		/* tells which regions of a clone are filled */
	DM_SCALED_NR_ROLES
};

/**
 * struct dm_scaled_use - the use of a device by a target
 * @bdev:   the device, open until the use ends
 * @role:   what it is used for
 * @origin: of a COW device: the snapshot's origin, which makes two uses the same; else NULL
 * @table:  table of the target
 * @md:     mapped device of the table
 * @list:   in the registry
 *
 * Embedded in the target's structure. The user sets the first three, the registry the others.
 */
struct dm_scaled_use {
	struct block_device *bdev;
	enum dm_scaled_role role;
	struct block_device *origin;
	struct dm_table *table;
	struct mapped_device *md;
	struct list_head list;
};

/**
 * dm_scaled_get_device_to_read() - open a device that a target only reads
 * @ti:   the target
 * @path: of the device
 * @dev:  set to the device, for dm_put_device()
 *
 * Opens it as other targets of the table do. If one of them asks for more than has been asked for
 * before, device-mapper opens the device anew and frees the dm_dev that is in use here. Where
 * writing is refused, it is refused to the other targets as well.
 *
 * Context: a target's constructor.
 * Return: 0 or a negative error.
 */
int dm_scaled_get_device_to_read(struct dm_target *ti, const char *path, struct dm_dev **dev);

/**
 * dm_scaled_get_device_to_write() - open a device that a target writes in any table
 * @ti:   the target
 * @path: of the device
 * @dev:  set to the device, for dm_put_device()
 *
 * A clone with a read-only table copies to its destination all the same. The device is opened as
 * the other targets of the table open it, see dm_scaled_get_device_to_read(); device-mapper does
 * not look at the mode of an open device when it writes.
 *
 * Context: a target's constructor.
 * Return: 0, -EACCES if the device is read-only, or another negative error.
 */
int dm_scaled_get_device_to_write(struct dm_target *ti, const char *path, struct dm_dev **dev);

/**
 * dm_scaled_devices_use() - enter all devices of a target, or none
 * @ti:   the target
 * @uses: its devices; when this fails they need not be released
 * @nr:   number of @uses
 *
 * Context: any that may print; allocates nothing, does no I/O.
 * Return: 0, or -EBUSY with @ti->error set and the details in the kernel's log.
 */
int dm_scaled_devices_use(struct dm_target *ti, struct dm_scaled_use *uses, unsigned int nr);

/**
 * dm_scaled_devices_release() - end uses
 * @uses: from dm_scaled_devices_use(); their devices are still open
 * @nr:   number of @uses
 *
 * Context: any but interrupts.
 */
void dm_scaled_devices_release(struct dm_scaled_use *uses, unsigned int nr);

#endif /* DM_SCALED_DEVICES_H */
