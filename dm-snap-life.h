/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a snapshot comes to life, and how it ends.
 */
#ifndef DM_SNAP_LIFE_H
#define DM_SNAP_LIFE_H

#include <linux/types.h>

struct block_device;
struct dm_kcopyd_mq_client;
struct dm_snapshot;
struct snap_target;

/**
 * snap_check_chunk_size() - whether any snapshot can have chunks of a size
 * @chunk_size: sectors
 * @error:      set to a message if not
 *
 * Return: 0 or -EINVAL.
 */
int snap_check_chunk_size(unsigned int chunk_size, char **error);

/**
 * snap_check_devices() - check what can only be checked against the devices
 * @t: a target with its devices; without a chunk size that is not checked
 *
 * Return: 0, or -EINVAL with the target's error set.
 */
int snap_check_devices(struct snap_target *t);

/**
 * snap_check_begin() - check that a target begins with a chunk
 * @t:          the target
 * @chunk_size: sectors of a chunk of its snapshot
 *
 * Return: 0, or -EINVAL with the target's error set.
 */
int snap_check_begin(struct snap_target *t, unsigned int chunk_size);

/**
 * snap_create() - make the snapshot of a target, or load it
 * @t: the target; gets the chunk size of a snapshot that is loaded
 *
 * Context: process context, may do I/O.
 * Return: the snapshot, to be given to snap_destroy(), or an ERR_PTR() with the target's error set.
 */
struct dm_snapshot *snap_create(struct snap_target *t);

/**
 * snap_create_client() - make a client of the engine for a snapshot's copies
 * @from:       the device that is read, held until the client is destroyed
 * @to:         the device that is written, likewise
 * @background: nobody waits for its copies
 *
 * snapshot_copy_throttle applies to them. They are made by the device if it can.
 *
 * Context: process context, may sleep.
 * Return: the client, or ERR_PTR(-ENOMEM).
 */
struct dm_kcopyd_mq_client *snap_create_client(struct block_device *from, struct block_device *to,
					       bool background);

/**
 * snap_destroy() - free a snapshot
 * @snap: the snapshot; it has no target any more, and the origin does not see it
 *
 * Context: process context; waits for references and pending exceptions. The merge is not running.
 */
void snap_destroy(struct dm_snapshot *snap);

#endif /* DM_SNAP_LIFE_H */
