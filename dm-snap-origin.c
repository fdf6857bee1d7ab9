// SPDX-License-Identifier: GPL-2.0-only
/*
 * Origins: the registry, the way of a write, and the target that maps it.
 *
 * A write to an origin walks the snapshots that see it. Where all have an exception for the chunk,
 * it takes no lock and writes to no memory but its own CPU's: it reads each snapshot's table and
 * goes on.
 */
#define DM_MSG_PREFIX "origin-scaled"

#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "dm-scaled-delay.h"
#include "dm-scaled-devices.h"
#include "dm-snap-scaled.h"

#define SNAP_ORIGIN_HASH_BITS	6
/* No write is as long as this many sectors, a power of two: writes are not split. */
#define SNAP_NO_SPLIT		BIT(31)

/* Protects the registry, and which target has which snapshot; see dm-snap-scaled.h. */
DEFINE_SPINLOCK(snap_registry_lock);
static DEFINE_HASHTABLE(snap_origins, SNAP_ORIGIN_HASH_BITS);

/**
 * struct snap_origin_target - an origin target
 * @ti:     the target
 * @dev:    its device
 * @use:    of @dev
 * @origin: the origin
 * @list:   in snap_origin.origins, unless suspended
 */
struct snap_origin_target {
	struct dm_target *ti;
	struct dm_dev *dev;
	struct dm_scaled_use use;
	struct snap_origin *origin;
	struct list_head list;
};

/* Finds the origin of a device, and takes a reference. */
static struct snap_origin *snap_origin_find(struct block_device *bdev)
{
	struct snap_origin *origin;

	lockdep_assert_held(&snap_registry_lock);

	hash_for_each_possible(snap_origins, origin, hash, (unsigned long)bdev) {
		if (origin->bdev == bdev) {
			origin->refs++;
			return origin;
		}
	}
	return NULL;
}

static struct snap_origin *snap_origin_alloc(struct block_device *bdev)
{
	struct snap_origin *origin;

	origin = kzalloc(sizeof(*origin), GFP_KERNEL);
	if (!origin)
		return NULL;
	if (init_srcu_struct(&origin->srcu)) {
		kfree(origin);
		return NULL;
	}
	origin->bdev = bdev;
	origin->split = SNAP_NO_SPLIT;
	origin->refs = 1;
	INIT_LIST_HEAD(&origin->snapshots);
	INIT_LIST_HEAD(&origin->targets);
	INIT_LIST_HEAD(&origin->origins);
	atomic_set(&origin->copies, 0);
	init_waitqueue_head(&origin->copied);
	return origin;
}

static void snap_origin_free(struct snap_origin *origin)
{
	cleanup_srcu_struct(&origin->srcu);
	kfree(origin);
}

struct snap_origin *snap_origin_get(struct block_device *bdev)
{
	struct snap_origin *origin, *fresh;

	spin_lock(&snap_registry_lock);
	origin = snap_origin_find(bdev);
	spin_unlock(&snap_registry_lock);
	if (origin)
		return origin;

	fresh = snap_origin_alloc(bdev);
	if (!fresh)
		return NULL;
	/* Another constructor may have been faster. */
	spin_lock(&snap_registry_lock);
	origin = snap_origin_find(bdev);
	if (!origin) {
		hash_add(snap_origins, &fresh->hash, (unsigned long)bdev);
		swap(origin, fresh);
	}
	spin_unlock(&snap_registry_lock);
	if (fresh)
		snap_origin_free(fresh);
	return origin;
}

void snap_origin_put(struct snap_origin *origin)
{
	bool last;

	spin_lock(&snap_registry_lock);
	last = !--origin->refs;
	if (last)
		hash_del(&origin->hash);
	spin_unlock(&snap_registry_lock);
	if (last)
		snap_origin_free(origin);
}

static void snap_origin_set_split(struct snap_origin *origin)
{
	struct dm_snapshot *snap;
	unsigned int split = SNAP_NO_SPLIT;

	lockdep_assert_held(&snap_registry_lock);

	/* The last one has the smallest chunks. */
	if (!list_empty(&origin->snapshots)) {
		snap = list_last_entry(&origin->snapshots, struct dm_snapshot, list);
		split = snap->store.chunk_size;
	}
	WRITE_ONCE(origin->split, split);
}

void snap_origin_attach(struct snap_origin *origin, struct dm_snapshot *snap)
{
	struct dm_snapshot *other;

	lockdep_assert_held(&snap_registry_lock);

	list_for_each_entry(other, &origin->snapshots, list)
		if (other->store.chunk_size < snap->store.chunk_size)
			break;
	list_add_tail_rcu(&snap->list, &other->list);
	snap->attached = true;
	snap_origin_set_split(origin);
}

void snap_origin_detach(struct snap_origin *origin, struct dm_snapshot *snap)
{
	lockdep_assert_held(&snap_registry_lock);

	list_del_rcu(&snap->list);
	snap->attached = false;
	snap_origin_set_split(origin);
}

/* The device through which the origin is written, unless that is the caller's own. */
static struct mapped_device *snap_origin_md(struct snap_origin *origin,
					    const struct mapped_device *except)
{
	struct snap_origin_target *o;
	struct mapped_device *md = NULL;

	lockdep_assert_held(&snap_registry_lock);

	o = list_first_entry_or_null(&origin->origins, struct snap_origin_target, list);
	if (o)
		md = dm_table_get_md(o->ti->table);
	else if (origin->merging)
		md = dm_table_get_md(origin->merging->ti->table);
	return md == except ? NULL : md;
}

bool snap_origin_is_quiet(struct snap_origin *origin, const struct mapped_device *md,
			  const struct mapped_device *except)
{
	struct mapped_device *now = snap_origin_md(origin, except);

	lockdep_assert_held(&snap_registry_lock);

	if (!now || now == md)
		return true;
	/* A device that is being removed cannot be held, and is not written. */
	if (dm_hold(now))
		return true;
	dm_put(now);
	return false;
}

struct mapped_device *snap_origin_quiesce(struct snap_origin *origin,
					  struct mapped_device *except)
{
	struct mapped_device *md;

	spin_lock(&snap_registry_lock);
	md = snap_origin_md(origin, except);
	if (md && dm_hold(md))
		md = NULL;
	spin_unlock(&snap_registry_lock);

	if (md)
		dm_internal_suspend_fast(md);
	return md;
}

void snap_origin_resume(struct mapped_device *md)
{
	if (!md)
		return;
	dm_internal_resume_fast(md);
	dm_put(md);
}

void snap_origin_cut(const struct snap_origin *origin, struct bio *bio)
{
	unsigned int split = READ_ONCE(origin->split), room;

	room = split - ((unsigned int)bio->bi_iter.bi_sector & (split - 1));
	if (bio_sectors(bio) > room)
		dm_accept_partial_bio(bio, room);
}

/* Whether a write at @sector has to be preceded by a copy for this snapshot. */
static bool snap_wants_copy(struct dm_snapshot *snap, sector_t sector)
{
	u64 unused;

	return sector < READ_ONCE(snap->end) && READ_ONCE(snap->valid) &&
	       !snap_exception_lookup(&snap->exceptions, snap_chunk(snap, sector), &unused);
}

/* Makes the pending exception of a chunk, at the end of @list, unless somebody else has. */
static enum snap_copy snap_origin_make(struct dm_snapshot *snap, sector_t sector, struct bio *bio,
				       struct snap_pending **spare, struct snap_pending **list)
{
	struct snap_pending *pe;
	enum snap_copy copy;

	copy = snap_pending_find(snap, snap_chunk(snap, sector), bio, spare, &pe);
	if (pe)
		snap_pending_chain(list, pe);
	return copy;
}

/* Lets a bio wait for a pending exception that somebody else has made. */
static bool snap_origin_join(struct snap_origin *origin, struct bio *bio)
{
	sector_t sector = bio->bi_iter.bi_sector;
	struct dm_snapshot *snap;
	bool joined = false;
	int idx;

	idx = srcu_read_lock(&origin->srcu);
	list_for_each_entry_srcu(snap, &origin->snapshots, list,
				 srcu_read_lock_held(&origin->srcu)) {
		if (sector < READ_ONCE(snap->end) && READ_ONCE(snap->valid)) {
			joined = snap_pending_join(snap, snap_chunk(snap, sector), bio);
			if (joined)
				break;
		}
	}
	srcu_read_unlock(&origin->srcu, idx);

	return joined;
}

int snap_origin_write(struct snap_origin *origin, struct bio *bio, bool retry)
{
	sector_t sector = bio->bi_iter.bi_sector;
	struct snap_pending *list = NULL, *spare = NULL;
	struct dm_snapshot *snap, *throttled, *starved;
	bool wait, parked, throttle = !retry;
	enum snap_copy copy;
	int idx;

restart:
	throttled = NULL;
	starved = NULL;
	wait = false;
	parked = false;
	idx = srcu_read_lock(&origin->srcu);
	list_for_each_entry_srcu(snap, &origin->snapshots, list,
				 srcu_read_lock_held(&origin->srcu)) {
		if (!snap_wants_copy(snap, sector))
			continue;

		if (unlikely(snap_copies_exceeded(snap)) && throttle && !list) {
			throttle = false;
			throttled = snap_get(snap);
			break;
		}

		/* The bio waits for the first that is ours: it cannot end before all are made. */
		copy = snap_origin_make(snap, sector, list ? NULL : bio, &spare, &list);
		if (copy == SNAP_COPY_PENDING)
			wait = true;
		if (unlikely(copy == SNAP_COPY_PARK)) {
			/* A bio that waits is mapped again anyhow. */
			if (list)
				break;
			parked = retry;
			if (parked)
				snap_park(snap, bio);
			else
				starved = snap_get(snap);
			break;
		}
	}
	srcu_read_unlock(&origin->srcu, idx);

	if (unlikely(spare)) {
		snap_pending_spare_free(spare);
		spare = NULL;
	}
	if (unlikely(throttled)) {
		snap_copies_wait(throttled);
		snap_put(throttled);
		goto restart;
	}
	if (unlikely(starved)) {
		/* Our reference is the spare's now. */
		spare = snap_pending_wait(starved);
		goto restart;
	}

	dm_scaled_delay("snap-origin:start-copies");
	if (list)
		snap_pending_start(list);
	if (list || parked)
		return DM_MAPIO_SUBMITTED;
	if (wait && snap_origin_join(origin, bio))
		return DM_MAPIO_SUBMITTED;
	return DM_MAPIO_REMAPPED;
}

void snap_origin_wake(struct snap_origin *origin)
{
	wake_up_all(&origin->copied);
}

void snap_origin_copied(struct snap_origin *origin)
{
	atomic_inc(&origin->copies);
	snap_origin_wake(origin);
}

/* Starts what is missing of the copies at @sector. Returns what is to be done about the worst. */
static enum snap_copy snap_origin_start_copies(struct snap_origin *origin, sector_t sector)
{
	enum snap_copy worst = SNAP_COPY_NOT_NEEDED;
	struct snap_pending *list = NULL;
	struct dm_snapshot *snap;
	int idx;

	idx = srcu_read_lock(&origin->srcu);
	list_for_each_entry_srcu(snap, &origin->snapshots, list,
				 srcu_read_lock_held(&origin->srcu)) {
		if (snap_wants_copy(snap, sector))
			worst = max(worst, snap_origin_make(snap, sector, NULL, NULL, &list));
	}
	srcu_read_unlock(&origin->srcu, idx);

	snap_pending_start(list);
	return worst;
}

/* Returns false if @may_go_on(@arg) did. */
static bool snap_origin_await_copies(struct snap_origin *origin, sector_t sector,
				     bool (*may_go_on)(void *arg), void *arg)
{
	enum snap_copy copy;
	int copies;

	for (;;) {
		copies = atomic_read(&origin->copies);
		copy = snap_origin_start_copies(origin, sector);
		if (copy == SNAP_COPY_NOT_NEEDED)
			return true;
		/* Memory may come from elsewhere. */
		wait_event_timeout(origin->copied,
				   atomic_read(&origin->copies) != copies || !may_go_on(arg),
				   copy == SNAP_COPY_PARK ? SNAP_PARK : MAX_SCHEDULE_TIMEOUT);
		if (!may_go_on(arg))
			return false;
	}
}

bool snap_origin_copy_out(struct snap_origin *origin, sector_t sector, sector_t count,
			  bool (*may_go_on)(void *arg), void *arg)
{
	unsigned int split = READ_ONCE(origin->split);
	sector_t begin = sector & ~(sector_t)(split - 1), end = sector + count;

	if (split == SNAP_NO_SPLIT)
		return true;
	for (sector = begin; sector < end; sector += split)
		snap_origin_start_copies(origin, sector);
	for (sector = begin; sector < end; sector += split)
		if (!snap_origin_await_copies(origin, sector, may_go_on, arg))
			return false;
	return true;
}

/*
 *------------------------------------------------------------
 * Origin target
 *------------------------------------------------------------
 */

/* <device> */
static int snap_origin_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct snap_origin_target *o;
	int r;

	if (argc != 1) {
		ti->error = "Wrong number of arguments: needs one, the origin device";
		return -EINVAL;
	}

	o = kzalloc(sizeof(*o), GFP_KERNEL);
	if (!o) {
		ti->error = "No memory for the origin target";
		return -ENOMEM;
	}

	r = dm_get_device(ti, argv[0], dm_table_get_mode(ti->table), &o->dev);
	if (r) {
		ti->error = "Cannot open the origin device";
		goto bad_device;
	}

	o->use.bdev = o->dev->bdev;
	o->use.role = DM_SCALED_ORIGIN;
	r = dm_scaled_devices_use(ti, &o->use, 1);
	if (r)
		goto bad_use;

	o->origin = snap_origin_get(o->dev->bdev);
	if (!o->origin) {
		ti->error = "No memory for the origin";
		r = -ENOMEM;
		goto bad_origin;
	}

	INIT_LIST_HEAD(&o->list);
	o->ti = ti;
	ti->private = o;
	ti->num_flush_bios = 1;
	return 0;

bad_origin:
	dm_scaled_devices_release(&o->use, 1);
bad_use:
	dm_put_device(ti, o->dev);
bad_device:
	kfree(o);
	return r;
}

static void snap_origin_dtr(struct dm_target *ti)
{
	struct snap_origin_target *o = ti->private;

	spin_lock(&snap_registry_lock);
	list_del(&o->list);
	spin_unlock(&snap_registry_lock);
	snap_origin_put(o->origin);

	dm_scaled_devices_release(&o->use, 1);
	dm_put_device(ti, o->dev);
	kfree(o);
}

static int snap_origin_map(struct dm_target *ti, struct bio *bio)
{
	struct snap_origin_target *o = ti->private;
	struct snap_origin *origin = o->origin;

	bio_set_dev(bio, o->dev->bdev);

	if (bio->bi_opf & REQ_PREFLUSH || bio_data_dir(bio) == READ ||
	    list_empty(&origin->snapshots))
		return DM_MAPIO_REMAPPED;

	snap_origin_cut(origin, bio);
	return snap_origin_write(origin, bio, false);
}

static void snap_origin_resumed(struct dm_target *ti)
{
	struct snap_origin_target *o = ti->private;

	dm_scaled_delay("snap-origin:resumed");
	spin_lock(&snap_registry_lock);
	list_add_tail(&o->list, &o->origin->origins);
	spin_unlock(&snap_registry_lock);
}

static void snap_origin_postsuspend(struct dm_target *ti)
{
	struct snap_origin_target *o = ti->private;

	spin_lock(&snap_registry_lock);
	list_del_init(&o->list);
	spin_unlock(&snap_registry_lock);
}

static void snap_origin_status(struct dm_target *ti, status_type_t type, unsigned int flags,
			       char *result, unsigned int maxlen)
{
	struct snap_origin_target *o = ti->private;
	unsigned int sz = 0;

	result[0] = '\0';
	if (type == STATUSTYPE_TABLE)
		DMEMIT("%s", o->dev->name);
}

static int snap_origin_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn,
				       void *data)
{
	struct snap_origin_target *o = ti->private;

	return fn(ti, o->dev, ti->begin, ti->len, data);
}

struct target_type snap_origin_target_type = {
	.name = "origin-scaled",
	.version = {1, 9, 0},
	.module = THIS_MODULE,
	.ctr = snap_origin_ctr,
	.dtr = snap_origin_dtr,
	.map = snap_origin_map,
	.resume = snap_origin_resumed,
	.postsuspend = snap_origin_postsuspend,
	.status = snap_origin_status,
	.iterate_devices = snap_origin_iterate_devices,
};
