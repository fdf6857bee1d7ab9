// SPDX-License-Identifier: GPL-2.0-only
/*
 * The snapshot target: table lines, the way of a bio, and which target has the snapshot.
 */
#define DM_MSG_PREFIX "snapshot-scaled"

#include <linux/ctype.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "copy-offload.h"
#include "dm-snap-disk.h"
#include "dm-snap-life.h"
#include "dm-snap-merge.h"
#include "dm-snap-scaled.h"

/*
 *------------------------------------------------------------
 * Which target has the snapshot
 *------------------------------------------------------------
 */

/**
 * struct snap_pair - targets of one snapshot
 * @from: has the active snapshot, or NULL
 * @to:   waits to take it over, or is not active yet, or NULL
 */
struct snap_pair {
	struct snap_target *from;
	struct snap_target *to;
};

static struct snap_pair snap_find_pair(const struct snap_target *t)
{
	struct snap_pair pair = { NULL, NULL };
	struct snap_target *other;

	lockdep_assert_held(&snap_registry_lock);

	list_for_each_entry(other, &t->origin->targets, list) {
		if (other->cow_dev->bdev != t->cow_dev->bdev || other->handed_over)
			continue;
		if (other->snap && other->snap->active)
			pair.from = other;
		else
			pair.to = other;
	}
	return pair;
}

static void snap_target_remove(struct snap_target *t)
{
	mutex_lock(&snap_registry_lock);
	list_del(&t->list);
	snap_origin_put(t->origin);
	mutex_unlock(&snap_registry_lock);
}

/*
 * Whether a target may merge. Only one does of an origin's; a new table for that one may take its
 * place.
 */
static int snap_check_merge(struct snap_target *t, const struct snap_pair *pair)
{
	struct snap_target *other;

	lockdep_assert_held(&snap_registry_lock);

	if (!t->merge)
		return 0;
	if (pair->from && !pair->from->persistent) {
		t->ti->error = "A transient snapshot cannot be merged";
		return -EINVAL;
	}
	list_for_each_entry(other, &t->origin->targets, list) {
		if (other->merge && !other->handed_over && other != pair->from) {
			t->ti->error = "A snapshot of this origin is being merged already";
			return -EINVAL;
		}
	}
	return 0;
}

/*
 * Enters a target in the registry. If another one has the snapshot, that is handed over when this
 * target is resumed; else the snapshot is made, or loaded, which takes its time: meanwhile the
 * entry keeps others away from the COW device.
 */
static int snap_target_register(struct snap_target *t)
{
	struct dm_snapshot *snap;
	struct snap_pair pair;
	int r = 0;

	mutex_lock(&snap_registry_lock);
	t->origin = snap_origin_get(t->origin_dev->bdev);
	if (!t->origin) {
		t->ti->error = "No memory for the origin";
		mutex_unlock(&snap_registry_lock);
		return -ENOMEM;
	}

	pair = snap_find_pair(t);
	if (pair.to) {
		t->ti->error = "Another table for this COW device is waiting to be resumed";
		r = -EBUSY;
	} else {
		r = snap_check_merge(t, &pair);
		if (!r && pair.from)
			r = snap_check_begin(t, pair.from->chunk_size);
	}
	if (r)
		snap_origin_put(t->origin);
	else
		list_add_tail(&t->list, &t->origin->targets);
	mutex_unlock(&snap_registry_lock);
	if (r || pair.from)
		return r;

	snap = snap_create(t);
	if (IS_ERR(snap)) {
		snap_target_remove(t);
		return PTR_ERR(snap);
	}
	mutex_lock(&snap_registry_lock);
	t->snap = snap;
	mutex_unlock(&snap_registry_lock);
	return 0;
}

static void snap_target_unregister(struct snap_target *t)
{
	struct dm_snapshot *snap;
	struct snap_pair pair;

	if (t->merge)
		snap_merge_stop(t->merge);

	mutex_lock(&snap_registry_lock);
	if (t->origin->merging == t)
		WRITE_ONCE(t->origin->merging, NULL);
	/* Another device's target may be taking it over. */
	snap = t->snap;
	pair = snap_find_pair(t);
	if (pair.from == t && pair.to)
		DMERR("%s: Snapshot was removed before %s could take it over",
		      dm_table_device_name(t->ti->table),
		      dm_table_device_name(pair.to->ti->table));
	list_del(&t->list);
	if (snap && snap->attached)
		snap_origin_detach(t->origin, snap);
	mutex_unlock(&snap_registry_lock);

	if (snap) {
		synchronize_srcu(&t->origin->srcu);
		snap_destroy(snap);
	}

	mutex_lock(&snap_registry_lock);
	snap_origin_put(t->origin);
	mutex_unlock(&snap_registry_lock);
}

/*
 *------------------------------------------------------------
 * Table lines
 *------------------------------------------------------------
 */

#define SNAP_MAX_FEATURES	2

static int snap_parse_features(struct snap_target *t, struct dm_arg_set *as)
{
	struct dm_target *ti = t->ti;
	unsigned int nr;
	const char *name;

	if (!as->argc)
		return 0;
	/* Not dm_read_arg_group(): to it 4294967297 is 1. */
	if (kstrtouint(dm_shift_arg(as), 10, &nr) || nr > SNAP_MAX_FEATURES || nr > as->argc) {
		ti->error = "Wrong number of features: must be 0 to 2, and as many must follow";
		return -EINVAL;
	}

	while (nr--) {
		name = dm_shift_arg(as);
		if (!strcasecmp(name, "discard_zeroes_cow")) {
			t->discard_zeroes_cow = true;
		} else if (!strcasecmp(name, "discard_passdown_origin")) {
			t->discard_passdown_origin = true;
		} else {
			ti->error = "Unknown feature";
			return -EINVAL;
		}
	}

	if (as->argc) {
		ti->error = "Arguments left over after the features";
		return -EINVAL;
	}
	if (t->discard_passdown_origin && !t->discard_zeroes_cow) {
		ti->error = "Feature discard_passdown_origin needs discard_zeroes_cow";
		return -EINVAL;
	}
	return 0;
}

static int snap_parse_store(struct snap_target *t, const char *type)
{
	char option = toupper(type[0]) ? toupper(type[1]) : 0;

	switch (toupper(type[0])) {
	case 'N':
		if (!option)
			return 0;
		t->ti->error = "Exception store N takes no options";
		return -EINVAL;
	case 'P':
		t->persistent = true;
		t->overflow = option == 'O';
		if (!option || (t->overflow && !type[2]))
			return 0;
		t->ti->error = "Unknown option of exception store P: must be P or PO";
		return -EINVAL;
	default:
		t->ti->error = "Unknown type of exception store: must be P, PO or N";
		return -EINVAL;
	}
}

/* What a persistent snapshot's disk says counts more, and may be left to it. */
static int snap_parse_chunk_size(struct snap_target *t, const char *arg)
{
	if (kstrtouint(arg, 10, &t->chunk_size)) {
		t->ti->error = "Invalid chunk size: must be a number of sectors";
		return -EINVAL;
	}
	if (t->persistent && !t->chunk_size)
		return 0;
	return snap_check_chunk_size(t->chunk_size, &t->ti->error);
}

/*
 * Opens the origin as the other targets of the table open it, though it is only read. If one of
 * them needed more than this target has asked for, device-mapper would open the device anew and
 * free the dm_dev that is in use here. Where writing is refused, it is refused to them as well.
 */
static int snap_get_origin(struct snap_target *t, const char *path)
{
	struct dm_target *ti = t->ti;

	if (!dm_get_device(ti, path, dm_table_get_mode(ti->table), &t->origin_dev))
		return 0;
	return dm_get_device(ti, path, DM_SCALED_MODE_READ, &t->origin_dev);
}

static int snap_use_devices(struct snap_target *t)
{
	t->uses[0].bdev = t->origin_dev->bdev;
	t->uses[0].role = DM_SCALED_ORIGIN;
	t->uses[1].bdev = t->cow_dev->bdev;
	t->uses[1].role = DM_SCALED_COW;
	t->uses[1].origin = t->origin_dev->bdev;
	return dm_scaled_devices_use(t->ti, t->uses, ARRAY_SIZE(t->uses));
}

static void snap_merge_presuspend(struct dm_target *ti);

static bool snap_is_merge(const struct dm_target *ti)
{
	return ti->type->presuspend == snap_merge_presuspend;
}

/* <origin> <COW device> P|PO|N <chunk size> [<number of features> <feature>...] */
static int snap_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct dm_arg_set as = { .argc = argc, .argv = argv };
	struct snap_target *t;
	int r;

	if (argc < 4) {
		ti->error = "Too few arguments: needs origin, COW device, P, PO or N, chunk size";
		return -EINVAL;
	}

	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t) {
		ti->error = "No memory for the snapshot target";
		return -ENOMEM;
	}
	t->ti = ti;

	dm_consume_args(&as, 4);
	r = snap_parse_features(t, &as);
	if (!r)
		r = snap_parse_store(t, argv[2]);
	if (!r)
		r = snap_parse_chunk_size(t, argv[3]);
	if (r)
		goto bad_args;

	if (snap_is_merge(ti)) {
		r = -EINVAL;
		if (!t->persistent) {
			ti->error = "A transient snapshot cannot be merged: must be P or PO";
			goto bad_args;
		}
		t->merge = snap_merge_create();
		if (!t->merge) {
			ti->error = "No memory for the merge";
			r = -ENOMEM;
			goto bad_args;
		}
	}

	r = snap_get_origin(t, argv[0]);
	if (r) {
		ti->error = "Cannot open the origin device";
		goto bad_args;
	}
	r = dm_get_device(ti, argv[1], dm_table_get_mode(ti->table), &t->cow_dev);
	if (r) {
		ti->error = "Cannot open the COW device";
		goto bad_cow;
	}

	r = snap_check_devices(t);
	if (r)
		goto bad_devices;
	r = snap_use_devices(t);
	if (r)
		goto bad_devices;
	r = snap_target_register(t);
	if (r)
		goto bad_register;
	/* If the snapshot is going to be handed over the size comes with it. */
	if (t->chunk_size) {
		r = dm_set_target_max_io_len(ti, t->chunk_size);
		if (r)
			goto bad_size;
	}

	ti->private = t;
	/* Of a snapshot that is being merged, both devices have data. */
	ti->num_flush_bios = t->merge ? 2 : 1;
	if (t->discard_zeroes_cow)
		ti->num_discard_bios = t->discard_passdown_origin ? 2 : 1;
	ti->per_io_data_size = sizeof(struct snap_bio);
	return 0;

bad_size:
	snap_target_unregister(t);
bad_register:
	dm_scaled_devices_release(t->uses, ARRAY_SIZE(t->uses));
bad_devices:
	dm_put_device(ti, t->cow_dev);
bad_cow:
	dm_put_device(ti, t->origin_dev);
bad_args:
	if (t->merge)
		snap_merge_destroy(t->merge);
	kfree(t);
	return r;
}

static void snap_dtr(struct dm_target *ti)
{
	struct snap_target *t = ti->private;

	snap_target_unregister(t);
	dm_scaled_devices_release(t->uses, ARRAY_SIZE(t->uses));
	dm_put_device(ti, t->cow_dev);
	dm_put_device(ti, t->origin_dev);
	if (t->merge)
		snap_merge_destroy(t->merge);
	kfree(t);
}

/*
 *------------------------------------------------------------
 * The way of a bio
 *------------------------------------------------------------
 */

static void snap_zero_done(int read_err, unsigned long write_err, void *context)
{
	struct bio *bio = context;

	bio->bi_status = write_err ? BLK_STS_IOERR : BLK_STS_OK;
	bio_endio(bio);
}

/*
 * Cuts a discard at the end of its first chunk. It may begin anywhere: a target on top of this one
 * has its own offset. Device-mapper sends the rest in another bio, unless the discard is one of two
 * copies, which cannot be cut: then the rest is left as it is, as a discard may be.
 */
static void snap_cut_discard(struct dm_target *ti, const struct dm_snapshot *snap, struct bio *bio)
{
	unsigned int size = snap->store.chunk_size;
	unsigned int room = size - ((unsigned int)bio->bi_iter.bi_sector & (size - 1));

	if (likely(bio_sectors(bio) <= room))
		return;
	if (ti->num_discard_bios == 1)
		dm_accept_partial_bio(bio, room);
	else
		bio->bi_iter.bi_size = room << SECTOR_SHIFT;
}

/*
 * A discard of a chunk that was copied zeroes the copy, or discards a part of it. A chunk that was
 * not stays as it is.
 */
static int snap_map_discard(struct snap_target *t, struct bio *bio, u64 chunk)
{
	struct dm_snapshot *snap = t->snap;
	struct dm_io_region region;
	u64 new;

	snap_cut_discard(t->ti, snap, bio);
	if (!snap_exception_lookup(&snap->exceptions, chunk, &new)) {
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}

	if (bio_sectors(bio) < snap->store.chunk_size) {
		snap_remap(snap, bio, new);
		return DM_MAPIO_REMAPPED;
	}

	region.bdev = snap->store.cow;
	region.sector = new << snap->store.chunk_shift;
	region.count = snap->store.chunk_size;
	dm_kcopyd_mq_zero(snap->kcopyd, 1, &region, 0, snap_zero_done, bio);
	return DM_MAPIO_SUBMITTED;
}

static int snap_map(struct dm_target *ti, struct bio *bio)
{
	struct snap_target *t = ti->private;
	struct dm_snapshot *snap = t->snap;
	struct snap_bio *sb = dm_per_bio_data(bio, sizeof(*sb));
	u64 chunk, new;

	sb->tracked = false;

	if (unlikely(bio->bi_opf & REQ_PREFLUSH)) {
		bio_set_dev(bio, t->cow_dev->bdev);
		return DM_MAPIO_REMAPPED;
	}

	if (unlikely(!snap || !READ_ONCE(snap->valid)))
		return DM_MAPIO_KILL;

	if (unlikely(READ_ONCE(snap->overflowed) && bio_data_dir(bio) == WRITE))
		return DM_MAPIO_KILL;

	chunk = snap_chunk(snap, bio->bi_iter.bi_sector);
	if (unlikely(bio_op(bio) == REQ_OP_DISCARD)) {
		/* The second of two goes to the origin, and causes no copying there. */
		if (dm_bio_get_target_bio_nr(bio)) {
			bio_set_dev(bio, t->origin_dev->bdev);
			return DM_MAPIO_REMAPPED;
		}
		return snap_map_discard(t, bio, chunk);
	}

	if (snap_exception_lookup(&snap->exceptions, chunk, &new)) {
		snap_remap(snap, bio, new);
		return DM_MAPIO_REMAPPED;
	}

	if (bio_data_dir(bio) == WRITE) {
		if (unlikely(snap_copies_exceeded(snap)))
			snap_copies_wait(snap);
		return snap_pending_write(snap, chunk, bio);
	}

	if (snap_read_track(snap, chunk, sb, &new))
		bio_set_dev(bio, t->origin_dev->bdev);
	else
		snap_remap(snap, bio, new);
	return DM_MAPIO_REMAPPED;
}

static int snap_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct snap_bio *sb = dm_per_bio_data(bio, sizeof(*sb));
	struct snap_target *t = ti->private;

	if (!sb->tracked)
		return DM_ENDIO_DONE;

	snap_read_done(t->snap, sb);
	/* The origin may have been written, without a copy, since the snapshot became invalid. */
	if (unlikely(!READ_ONCE(t->snap->valid)) && !*error)
		*error = BLK_STS_IOERR;
	return DM_ENDIO_DONE;
}

/* Of what is not in the COW device, or if the snapshot is of no use: as an origin target does. */
static int snap_merge_map_origin(struct snap_target *t, struct bio *bio)
{
	bio_set_dev(bio, t->origin_dev->bdev);
	if (bio_data_dir(bio) == READ || list_empty(&t->origin->snapshots))
		return DM_MAPIO_REMAPPED;
	return snap_origin_write(t->origin, bio, false);
}

static int snap_merge_map(struct dm_target *ti, struct bio *bio)
{
	struct snap_target *t = ti->private;
	struct dm_snapshot *snap = t->snap;
	struct snap_bio *sb = dm_per_bio_data(bio, sizeof(*sb));
	u64 chunk, new;

	sb->tracked = false;

	if (unlikely(bio->bi_opf & REQ_PREFLUSH)) {
		bio_set_dev(bio, dm_bio_get_target_bio_nr(bio) ? t->cow_dev->bdev :
								 t->origin_dev->bdev);
		return DM_MAPIO_REMAPPED;
	}
	if (unlikely(bio_op(bio) == REQ_OP_DISCARD)) {
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}

	if (bio_data_dir(bio) == WRITE && !list_empty(&t->origin->snapshots))
		snap_origin_cut(t->origin, bio);
	if (unlikely(!snap || !READ_ONCE(snap->valid)))
		return snap_merge_map_origin(t, bio);

	chunk = snap_chunk(snap, bio->bi_iter.bi_sector);
	if (!snap_exception_lookup(&snap->exceptions, chunk, &new))
		return snap_merge_map_origin(t, bio);
	if (bio_data_dir(bio) == READ) {
		snap_remap(snap, bio, new);
		return DM_MAPIO_REMAPPED;
	}

	switch (snap_merge_write(t->merge, snap, chunk, bio, sb)) {
	case SNAP_MERGE_TO_COW:
		return DM_MAPIO_REMAPPED;
	case SNAP_MERGE_WAITS:
		return DM_MAPIO_SUBMITTED;
	case SNAP_MERGE_FAILS:
		return DM_MAPIO_KILL;
	default:
		return snap_merge_map_origin(t, bio);
	}
}

static int snap_merge_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct snap_bio *sb = dm_per_bio_data(bio, sizeof(*sb));
	struct snap_target *t = ti->private;

	if (sb->tracked) {
		snap_read_done(t->snap, sb);
		snap_merge_write_done(t->merge);
	}
	return DM_ENDIO_DONE;
}

/*
 *------------------------------------------------------------
 * Suspend and resume, status
 *------------------------------------------------------------
 */

static int snap_preresume(struct dm_target *ti)
{
	struct snap_target *t = ti->private;
	struct snap_pair pair;
	int r = 0;

	mutex_lock(&snap_registry_lock);
	pair = snap_find_pair(t);
	if (pair.from && pair.to) {
		if (pair.from == t) {
			DMERR("%s: Cannot resume: a new table is waiting to take the snapshot over",
			      dm_table_device_name(ti->table));
			r = -EINVAL;
		} else if (!dm_suspended(pair.from->ti)) {
			DMERR("%s: Cannot take the snapshot over: %s is not suspended",
			      dm_table_device_name(ti->table),
			      dm_table_device_name(pair.from->ti->table));
			r = -EINVAL;
		}
	}
	mutex_unlock(&snap_registry_lock);
	return r;
}

static void snap_hand_over(struct snap_target *from, struct snap_target *to)
{
	struct dm_snapshot *snap = from->snap;

	lockdep_assert_held(&snap_registry_lock);

	from->snap = NULL;
	from->handed_over = true;
	to->snap = snap;
	/* One origin target is quiet; if there are more, writes through them see either size. */
	snap_set_end(snap, snap_target_end(to->ti));
	to->ti->max_io_len = snap->store.chunk_size;
	to->chunk_size = snap->store.chunk_size;
	to->persistent = from->persistent;
	to->overflow &= to->persistent;

	mutex_lock(&snap->lock);
	snap->ti = to->ti;
	snap->overflow = to->overflow;
	/* What is written to a chunk whose exception may not be on disk any more could be lost. */
	if (from->merge && snap_merge_unsure(from->merge) && !to->merge)
		WRITE_ONCE(snap->overflowed, true);
	mutex_unlock(&snap->lock);
}

/* Whether writes to the origin are seen depends on the target that has the snapshot. */
static void snap_activate(struct snap_target *t)
{
	struct dm_snapshot *snap = t->snap;

	lockdep_assert_held(&snap_registry_lock);

	snap->active = true;
	if (!t->merge && !snap->attached)
		snap_origin_attach(t->origin, snap);
	else if (t->merge && snap->attached)
		snap_origin_detach(t->origin, snap);
	if (t->merge)
		WRITE_ONCE(t->origin->merging, t);
}

static void snap_resume(struct dm_target *ti)
{
	struct snap_target *t = ti->private, *merging;
	struct mapped_device *md;
	struct snap_pair pair;

	md = snap_origin_quiesce(t->origin, dm_table_get_md(ti->table));

	mutex_lock(&snap_registry_lock);
	/* A merge writes to the origin, too. */
	merging = t->origin->merging;
	if (merging)
		snap_merge_pause(merging->merge);

	pair = snap_find_pair(t);
	if (!t->snap && pair.from)
		snap_hand_over(pair.from, t);
	if (t->snap)
		snap_activate(t);
	if (t->merge && t->snap) {
		/* Writes to the origin still see the snapshot as long as this lasts. */
		synchronize_srcu(&t->origin->srcu);
		snap_merge_start(t->merge, t->snap);
	}

	if (merging)
		snap_merge_unpause(merging->merge);
	mutex_unlock(&snap_registry_lock);

	snap_origin_resume(md);
}

static void snap_merge_presuspend(struct dm_target *ti)
{
	struct snap_target *t = ti->private;

	snap_merge_stop(t->merge);
}

static void snap_status_info(struct snap_target *t, char *result, unsigned int maxlen)
{
	sector_t allocated, total, metadata;
	unsigned int sz = 0;

	lockdep_assert_held(&snap_registry_lock);

	if (!t->snap || !READ_ONCE(t->snap->valid)) {
		DMEMIT("Invalid");
		return;
	}
	if (t->merge && snap_merge_failed(t->merge)) {
		DMEMIT("Merge failed");
		return;
	}
	if (READ_ONCE(t->snap->overflowed)) {
		DMEMIT("Overflow");
		return;
	}
	metadata = t->snap->log ? snap_log_metadata(t->snap->log) : 0;
	snap_store_usage(&t->snap->store, &allocated, &total);
	/* Nothing is added any more, and what has been merged no longer counts. */
	if (t->merge)
		allocated = snap_data_chunk(t->snap->store.area_shift,
					    snap_log_slots(t->snap->log)) <<
			    t->snap->store.chunk_shift;
	DMEMIT("%llu/%llu %llu", (unsigned long long)allocated, (unsigned long long)total,
	       (unsigned long long)metadata);
}

static void snap_status(struct dm_target *ti, status_type_t type, unsigned int flags, char *result,
			unsigned int maxlen)
{
	struct snap_target *t = ti->private;
	unsigned int sz = 0;

	mutex_lock(&snap_registry_lock);
	switch (type) {
	case STATUSTYPE_INFO:
		snap_status_info(t, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %s %s %u", t->origin_dev->name, t->cow_dev->name,
		       !t->persistent ? "N" : t->overflow ? "PO" : "P", t->chunk_size);
		if (t->discard_zeroes_cow)
			DMEMIT(" %u discard_zeroes_cow", t->discard_passdown_origin ? 2 : 1);
		if (t->discard_passdown_origin)
			DMEMIT(" discard_passdown_origin");
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",snap_origin_name=%s", t->origin_dev->name);
		DMEMIT(",snap_cow_name=%s", t->cow_dev->name);
		DMEMIT(",snap_valid=%c", t->snap && !READ_ONCE(t->snap->valid) ? 'n' : 'y');
		DMEMIT(",snap_merge_failed=%c",
		       t->merge && snap_merge_failed(t->merge) ? 'y' : 'n');
		DMEMIT(",snapshot_overflowed=%c;",
		       t->snap && READ_ONCE(t->snap->overflowed) ? 'y' : 'n');
		break;
	}
	mutex_unlock(&snap_registry_lock);
}

static int snap_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn, void *data)
{
	struct snap_target *t = ti->private;
	int r;

	r = fn(ti, t->origin_dev, ti->begin, ti->len, data);
	if (!r)
		r = fn(ti, t->cow_dev, 0, bdev_nr_sectors(t->cow_dev->bdev), data);
	return r;
}

static void snap_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	struct snap_target *t = ti->private;
	struct snap_pair pair;
	unsigned int chunk_size;

	if (!t->discard_zeroes_cow)
		return;

	/* The chunk size that counts is that of the snapshot which is going to be handed over. */
	mutex_lock(&snap_registry_lock);
	pair = snap_find_pair(t);
	chunk_size = pair.from ? pair.from->chunk_size : t->chunk_size;
	mutex_unlock(&snap_registry_lock);

	limits->discard_granularity = chunk_size << SECTOR_SHIFT;
	dm_scaled_set_max_discard_sectors(limits, chunk_size);
}

static int snap_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
			unsigned int maxlen)
{
	struct snap_target *t = ti->private;
	struct copy_offload *co;
	int r;

	mutex_lock(&snap_registry_lock);
	co = t->snap ? dm_kcopyd_mq_client_offloads_to(t->snap->kcopyd) : NULL;
	r = copy_offload_message(co, argc, argv, result, maxlen);
	if (r == -EINVAL)
		DMERR("message %s: must be stats, or offload auto or offload off", argv[0]);
	mutex_unlock(&snap_registry_lock);
	return r;
}

static struct target_type snap_target_type = {
	.name = "snapshot-scaled",
	.version = {1, 16, 0},
	.module = THIS_MODULE,
	.ctr = snap_ctr,
	.dtr = snap_dtr,
	.map = snap_map,
	.end_io = snap_end_io,
	.preresume = snap_preresume,
	.resume = snap_resume,
	.status = snap_status,
	.message = snap_message,
	.iterate_devices = snap_iterate_devices,
	.io_hints = snap_io_hints,
};

static struct target_type snap_merge_target_type = {
	.name = "merge-scaled",
	.version = {1, 5, 0},
	.module = THIS_MODULE,
	.ctr = snap_ctr,
	.dtr = snap_dtr,
	.map = snap_merge_map,
	.end_io = snap_merge_end_io,
	.presuspend = snap_merge_presuspend,
	.preresume = snap_preresume,
	.resume = snap_resume,
	.status = snap_status,
	.message = snap_message,
	.iterate_devices = snap_iterate_devices,
	.io_hints = snap_io_hints,
};

/* As the three above, under stock's names; filled in when they are registered. */
static struct target_type snap_stock_types[3];

static const char * const snap_stock_names[] = {
	"snapshot",
	"snapshot-origin",
	"snapshot-merge",
};

/* In the order in which they are registered. */
static struct target_type *snap_target_types[] = {
	&snap_target_type,
	&snap_origin_target_type,
	&snap_merge_target_type,
	&snap_stock_types[0],
	&snap_stock_types[1],
	&snap_stock_types[2],
};

#define SNAP_OWN_TYPES	3

static unsigned int snap_nr_types;

static void snap_unregister_types(void)
{
	while (snap_nr_types)
		dm_unregister_target(snap_target_types[--snap_nr_types]);
}

static int snap_register_types(bool takeover)
{
	unsigned int i, nr = takeover ? ARRAY_SIZE(snap_target_types) : SNAP_OWN_TYPES;
	int r;

	BUILD_BUG_ON(ARRAY_SIZE(snap_stock_types) != ARRAY_SIZE(snap_stock_names));

	for (i = 0; i < ARRAY_SIZE(snap_stock_types); i++) {
		snap_stock_types[i] = *snap_target_types[i];
		snap_stock_types[i].name = snap_stock_names[i];
	}
	for (; snap_nr_types < nr; snap_nr_types++) {
		r = dm_register_target(snap_target_types[snap_nr_types]);
		if (r < 0) {
			DMERR("Cannot register target %s: error %d%s",
			      snap_target_types[snap_nr_types]->name, r,
			      snap_nr_types < SNAP_OWN_TYPES ? "" :
			      ": for takeover=snapshot unload dm_snapshot first");
			snap_unregister_types();
			return r;
		}
	}
	return 0;
}

int dm_snap_scaled_init(bool takeover)
{
	int r;

	r = snap_pending_init();
	if (r) {
		DMERR("No memory for the cache of pending exceptions");
		return r;
	}
	r = snap_register_types(takeover);
	if (r)
		snap_pending_exit();
	return r;
}

void dm_snap_scaled_exit(void)
{
	snap_unregister_types();
	snap_pending_exit();
}
