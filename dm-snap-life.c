// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a snapshot comes to life, becomes unusable, and ends.
 */
#define DM_MSG_PREFIX "snapshot-scaled"

#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "dm-scaled-delay.h"
#include "dm-snap-disk.h"
#include "dm-snap-life.h"
#include "dm-snap-merge.h"
#include "dm-snap-scaled.h"

/* Of a persistent snapshot for which none is given. */
#define SNAP_DEFAULT_CHUNK_SIZE	32U

DECLARE_DM_KCOPYD_MQ_THROTTLE_WITH_MODULE_PARM(snapshot_copy_throttle,
					       "Percentage of time in which chunks are copied");

/*
 *------------------------------------------------------------
 * Checks
 *------------------------------------------------------------
 */

int snap_check_chunk_size(unsigned int chunk_size, char **error)
{
	if (!is_power_of_2(chunk_size)) {
		*error = "Invalid chunk size: must be a power of 2";
		return -EINVAL;
	}
	if (chunk_size > INT_MAX >> SECTOR_SHIFT) {
		*error = "Chunk size too large: must be at most 2097152 sectors";
		return -EINVAL;
	}
	return 0;
}

int snap_check_devices(struct snap_target *t)
{
	struct block_device *origin = t->origin_dev->bdev, *cow = t->cow_dev->bdev;
	unsigned int block = max(bdev_logical_block_size(origin), bdev_logical_block_size(cow));
	char **error = &t->ti->error;

	if (origin == cow) {
		*error = "COW device must not be the origin device";
		return -EINVAL;
	}
	/* Exceptions are written in blocks of this size. */
	if (t->persistent && bdev_logical_block_size(cow) > SNAP_MAX_BLOCK) {
		*error = "Persistent: logical blocks of the COW device have more than 4096 bytes";
		return -EINVAL;
	}
	if (!t->chunk_size)
		return 0;
	if (t->chunk_size < block >> SECTOR_SHIFT) {
		*error = "Chunk size too small: must be a multiple of the logical block sizes";
		return -EINVAL;
	}
	if (bdev_nr_sectors(cow) >> __ffs(t->chunk_size) >= 1ULL << SNAP_NEW_CHUNK_BITS) {
		*error = "COW device has too many chunks: chunk size must be larger";
		return -EINVAL;
	}
	return 0;
}

/* The snapshot counts chunks from sector 0: a target that begins within one has not all of it. */
int snap_check_begin(struct snap_target *t, unsigned int chunk_size)
{
	if (!(t->ti->begin & (chunk_size - 1)))
		return 0;
	DMERR("%s: Target begins at sector %llu: must be a multiple of the chunk size, %u sectors",
	      dm_table_device_name(t->ti->table), (unsigned long long)t->ti->begin, chunk_size);
	t->ti->error = "Target begins within a chunk: must be a multiple of the chunk size";
	return -EINVAL;
}

/*
 *------------------------------------------------------------
 * Becoming unusable
 *------------------------------------------------------------
 */

static void snap_set_invalid(struct dm_snapshot *snap, const char *reason, bool marked)
{
	mutex_lock(&snap->lock);
	if (snap->valid) {
		DMERR("%s: Snapshot is now invalid: %s",
		      dm_table_device_name(snap->ti->table), reason);
		dm_scaled_delay("snap-life:invalid");
		if (!marked)
			DMERR("%s: Cannot mark the snapshot as invalid on its COW device",
			      dm_table_device_name(snap->ti->table));
		WRITE_ONCE(snap->valid, false);
		dm_table_event(snap->ti->table);
	}
	mutex_unlock(&snap->lock);
}

static void snap_invalidate_work(struct work_struct *work)
{
	struct dm_snapshot *snap = container_of(work, struct dm_snapshot, invalidate);
	struct dm_kcopyd_mq_ticket *ticket, *next;

	/* Only this changes @valid, and on the COW device before the origin is written. */
	if (snap->valid)
		snap_set_invalid(snap, READ_ONCE(snap->invalid_reason),
				 !snap_log_invalidate(snap->log));

	llist_for_each_entry_safe(ticket, next, llist_del_all(&snap->invalidated), item.node)
		dm_kcopyd_mq_queue_item(snap->kcopyd, &ticket->item, ticket->cpu);
}

bool snap_invalidate_then(struct dm_snapshot *snap, const char *reason,
			  struct dm_kcopyd_mq_ticket *then)
{
	if (!READ_ONCE(snap->valid))
		return true;
	if (!snap->log) {
		snap_set_invalid(snap, reason, true);
		return true;
	}

	cmpxchg(&snap->invalid_reason, NULL, reason);
	/* A work that is running may take @then, and with it the last that kept the snapshot. */
	dm_kcopyd_mq_hold(snap->kcopyd);
	if (then) {
		then->cpu = dm_kcopyd_mq_hold(snap->kcopyd);
		llist_add(&then->item.node, &snap->invalidated);
		dm_scaled_delay("snap-life:then");
	}
	snap_log_queue_work(snap->log, &snap->invalidate);
	dm_kcopyd_mq_release(snap->kcopyd);
	return false;
}

void snap_may_wait(struct dm_snapshot *snap)
{
	dm_kcopyd_mq_may_wait();
	RCU_LOCKDEP_WARN(srcu_read_lock_held(&snap->origin->srcu),
			 "a reader of an origin's snapshots is about to wait for one of them");
}

void snap_invalidate(struct dm_snapshot *snap, const char *reason)
{
	snap_may_wait(snap);
	if (!snap_invalidate_then(snap, reason, NULL))
		flush_work(&snap->invalidate);
}

void snap_overflow(struct dm_snapshot *snap)
{
	bool overflow;

	mutex_lock(&snap->lock);
	overflow = snap->overflow;
	if (overflow && snap->valid && !snap->overflowed) {
		DMERR("%s: Snapshot takes no more writes: the COW device is full",
		      dm_table_device_name(snap->ti->table));
		WRITE_ONCE(snap->overflowed, true);
	}
	mutex_unlock(&snap->lock);

	if (!overflow)
		snap_invalidate(snap, "the COW device is full");
}

/*
 *------------------------------------------------------------
 * References
 *------------------------------------------------------------
 */

struct dm_snapshot *snap_get(struct dm_snapshot *snap)
{
	lockdep_assert(lockdep_is_held(&snap_registry_lock) ||
		       (snap && srcu_read_lock_held(&snap->origin->srcu)));

	if (snap)
		refcount_inc(&snap->users);
	return snap;
}

void snap_put(struct dm_snapshot *snap)
{
	if (snap && refcount_dec_and_test(&snap->users))
		complete(&snap->unused);
}

/*
 *------------------------------------------------------------
 * Making and loading
 *------------------------------------------------------------
 */

static unsigned int snap_default_chunk_size(const struct snap_target *t)
{
	return max(SNAP_DEFAULT_CHUNK_SIZE,
		   bdev_logical_block_size(t->cow_dev->bdev) >> SECTOR_SHIFT);
}

/* What has to be known before anything is set up: above all the chunk size. */
static int snap_read_header(struct snap_target *t, struct snap_disk_info *info)
{
	struct dm_target *ti = t->ti;
	int r;

	r = snap_disk_read_header(t->cow_dev->bdev, info, &ti->error);
	if (r)
		return r;
	if (info->fresh) {
		info->valid = true;
		if (!t->chunk_size)
			t->chunk_size = snap_default_chunk_size(t);
		return snap_check_devices(t);
	}

	if (snap_check_chunk_size(info->chunk_size, &ti->error)) {
		DMERR("%s: %pg: chunk size in the header, sector 0, is %u sectors: %s",
		      dm_table_device_name(ti->table), t->cow_dev->bdev, info->chunk_size,
		      ti->error);
		ti->error = "COW device is corrupt: its chunk size is impossible";
		return -EUCLEAN;
	}
	if (t->chunk_size && t->chunk_size != info->chunk_size)
		DMWARN("%s: Chunk size on the COW device, %u, replaces that of the table, %u",
		       dm_table_device_name(ti->table), info->chunk_size, t->chunk_size);
	t->chunk_size = info->chunk_size;
	return snap_check_devices(t);
}

/* Makes or reads what is on the COW device of a persistent snapshot, and the log that goes on. */
static int snap_load(struct dm_snapshot *snap, const struct snap_target *t,
		     const struct snap_disk_info *info)
{
	char **error = &t->ti->error;
	struct snap_disk_end end = { 0, false };
	struct snap_log *log;
	int r;

	if (bdev_nr_sectors(snap->store.cow) < 2ULL * snap->store.chunk_size) {
		*error = "COW device too small: must hold two chunks";
		return info->fresh ? -ENOSPC : -EUCLEAN;
	}
	if (info->fresh) {
		r = snap_disk_format(snap->store.cow, snap->store.chunk_size, snap->kcopyd);
		if (r)
			*error = "Cannot make a snapshot on the COW device";
	} else {
		r = snap_disk_load(&snap->store, &snap->exceptions, &end, error);
	}
	if (r)
		return r;

	log = snap_log_create(&snap->store, snap->kcopyd, &end, snap_pending_logged);
	if (IS_ERR(log)) {
		*error = "Cannot set up the log of the COW device";
		return PTR_ERR(log);
	}
	snap->log = log;
	snap->defers = !t->commits_writes;
	return 0;
}

/*
 * Whether a snapshot is loaded as invalid after this error. If its COW device is damaged, or was
 * cut off, the origin still has all of its data and can be used; LVM and others activate neither
 * if one is refused, and the origin may be what the host boots from. The COW device is left as it
 * is, for repair.
 *
 * Other errors refuse the target, as stock does: with a device that cannot be read now, the next
 * activation might find an intact snapshot, of which copies are missing if the origin was written
 * meanwhile. A merge is refused as well, as without the COW device its origin is a mixture.
 */
static bool snap_may_load_as_invalid(const struct snap_target *t, int error)
{
	if (error != -EUCLEAN || t->merges)
		return false;
	DMERR("%s: Snapshot is invalid, its COW device %pg stays as it is: %s",
	      dm_table_device_name(t->ti->table), t->cow_dev->bdev, t->ti->error);
	return true;
}

struct dm_kcopyd_mq_client *snap_create_client(struct block_device *from, struct block_device *to,
					       bool background)
{
	struct dm_kcopyd_mq_client *client;
	int r;

	if (background)
		client = dm_kcopyd_mq_client_create_background(&dm_kcopyd_mq_throttle);
	else
		client = dm_kcopyd_mq_client_create(&dm_kcopyd_mq_throttle);
	if (IS_ERR(client))
		return client;
	r = dm_kcopyd_mq_client_blocks(client, max(bdev_logical_block_size(from),
						   bdev_logical_block_size(to)));
	if (r) {
		dm_kcopyd_mq_client_destroy(client);
		return ERR_PTR(r);
	}
	dm_kcopyd_mq_client_offload(client, from, to);
	return client;
}

struct dm_snapshot *snap_create(struct snap_target *t)
{
	struct snap_disk_info info = { .valid = true };
	struct dm_target *ti = t->ti;
	struct dm_snapshot *snap;
	bool damaged = false;
	int r;

	if (t->persistent) {
		r = snap_read_header(t, &info);
		damaged = r && snap_may_load_as_invalid(t, r);
		if (r && !damaged)
			return ERR_PTR(r);
		/* The chunk size of an invalid snapshot matters to nobody. */
		if (!t->chunk_size)
			t->chunk_size = snap_default_chunk_size(t);
	}
	r = damaged ? 0 : snap_check_begin(t, t->chunk_size);
	if (r)
		return ERR_PTR(r);

	snap = kzalloc(sizeof(*snap), GFP_KERNEL);
	if (!snap) {
		ti->error = "No memory for the snapshot";
		return ERR_PTR(-ENOMEM);
	}

	snap->valid = true;
	snap->ti = ti;
	snap->origin = t->origin;
	snap->origin_bdev = t->origin_dev->bdev;
	snap->overflow = t->overflow;
	INIT_WORK(&snap->invalidate, snap_invalidate_work);
	mutex_init(&snap->lock);
	refcount_set(&snap->users, 1);
	init_completion(&snap->unused);
	init_waitqueue_head(&snap->copies_wait);

	r = snap_store_init(&snap->store, t->cow_dev->bdev, t->chunk_size, t->persistent);
	if (r) {
		ti->error = "No memory for the exception store";
		goto bad_store;
	}
	snap_set_end(snap, snap_target_end(ti));

	r = snap_exceptions_init(&snap->exceptions,
				 bdev_nr_sectors(snap->origin_bdev) >> snap->store.chunk_shift,
				 snap_store_chunks(&snap->store));
	if (r) {
		ti->error = "No memory for the table of exceptions";
		goto bad_exceptions;
	}

	r = snap_buckets_init(snap);
	if (r) {
		ti->error = "No memory for pending exceptions";
		goto bad_buckets;
	}

	r = percpu_counter_init(&snap->copies, 0, GFP_KERNEL);
	if (r) {
		ti->error = "No memory for the counter of copies";
		goto bad_copies;
	}

	r = dm_scaled_refs_init(&snap->pending_refs);
	if (r) {
		ti->error = "No memory for the counter of pending exceptions";
		goto bad_refs;
	}

	snap->kcopyd = snap_create_client(t->origin_dev->bdev, t->cow_dev->bdev, false);
	if (IS_ERR(snap->kcopyd)) {
		r = PTR_ERR(snap->kcopyd);
		ti->error = "Cannot create a client of the copy engine";
		goto bad_kcopyd;
	}

	if (damaged) {
		snap->valid = false;
	} else if (!info.valid) {
		DMWARN("%s: Snapshot is marked as invalid on its COW device",
		       dm_table_device_name(ti->table));
		snap->valid = false;
	} else if (t->persistent) {
		r = snap_load(snap, t, &info);
		if (r && !snap_may_load_as_invalid(t, r))
			goto bad_load;
		snap->valid = !r;
	}
	return snap;

bad_load:
	dm_kcopyd_mq_client_destroy(snap->kcopyd);
bad_kcopyd:
	dm_scaled_refs_exit(&snap->pending_refs);
bad_refs:
	percpu_counter_destroy(&snap->copies);
bad_copies:
	snap_buckets_exit(snap);
bad_buckets:
	snap_exceptions_exit(&snap->exceptions);
bad_exceptions:
	snap_store_exit(&snap->store);
bad_store:
	kfree(snap);
	return ERR_PTR(r);
}

void snap_destroy(struct dm_snapshot *snap)
{
	snap_put(snap);
	wait_for_completion(&snap->unused);
	snap_pending_hurry(snap);
	dm_scaled_refs_drain(&snap->pending_refs);
	dm_scaled_delay("snap-life:destroy");
	if (snap->merge)
		snap_merge_destroy(snap->merge);
	if (snap->log)
		snap_log_close(snap->log);
	/* This waits for a grace period, too: somebody may still be dropping the last reference. */
	dm_kcopyd_mq_client_destroy(snap->kcopyd);
	if (snap->log)
		snap_log_destroy(snap->log);
	dm_scaled_refs_exit(&snap->pending_refs);
	percpu_counter_destroy(&snap->copies);
	snap_buckets_exit(snap);
	snap_exceptions_exit(&snap->exceptions);
	snap_store_exit(&snap->store);
	kfree(snap);
}
