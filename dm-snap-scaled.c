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
#include "dm-scaled-delay.h"
#include "dm-snap-disk.h"
#include "dm-snap-life.h"
#include "dm-snap-merge.h"
#include "dm-snap-scaled.h"

/*
 *------------------------------------------------------------
 * Which target has the snapshot
 *------------------------------------------------------------
 */

/* The states from which each state may be entered; see enum snap_target_state. */
static const unsigned int snap_target_from[] = {
	[SNAP_TARGET_LOADING] = 0,
	[SNAP_TARGET_READY] = BIT(SNAP_TARGET_LOADING),
	[SNAP_TARGET_WAITING] = 0,
	[SNAP_TARGET_ACTIVE] = BIT(SNAP_TARGET_READY) | BIT(SNAP_TARGET_WAITING) |
			       BIT(SNAP_TARGET_SUSPENDED),
	[SNAP_TARGET_SUSPENDED] = BIT(SNAP_TARGET_ACTIVE),
	[SNAP_TARGET_HANDED_OVER] = BIT(SNAP_TARGET_SUSPENDED),
	[SNAP_TARGET_ORPHANED] = BIT(SNAP_TARGET_WAITING),
};

/* Not active yet. */
#define SNAP_TARGET_IS_NEW	(BIT(SNAP_TARGET_LOADING) | BIT(SNAP_TARGET_READY) | \
				 BIT(SNAP_TARGET_WAITING))
/* Has a snapshot that is in use. */
#define SNAP_TARGET_IS_LIVE	(BIT(SNAP_TARGET_ACTIVE) | BIT(SNAP_TARGET_SUSPENDED))
/* Never gets a snapshot any more. */
#define SNAP_TARGET_IS_OVER	(BIT(SNAP_TARGET_HANDED_OVER) | BIT(SNAP_TARGET_ORPHANED))

static bool snap_target_is(const struct snap_target *t, unsigned int states)
{
	lockdep_assert_held(&snap_registry_lock);

	return BIT(t->state) & states;
}

/*
 * Changes the state of a target: nobody else does after its constructor has set the first one.
 * Returns false, with everything as it was, if there is no way from the present state.
 */
static bool snap_target_enter(struct snap_target *t, enum snap_target_state state)
{
	if (WARN_ON_ONCE(!snap_target_is(t, snap_target_from[state])))
		return false;
	t->state = state;
	return true;
}

/* Another target of the same COW device in one of some states, or NULL. */
static struct snap_target *snap_find_target(const struct snap_target *t, unsigned int states)
{
	struct snap_target *other;

	lockdep_assert_held(&snap_registry_lock);

	list_for_each_entry(other, &t->origin->targets, list)
		if (other != t && other->cow_dev->bdev == t->cow_dev->bdev &&
		    snap_target_is(other, states))
			return other;
	return NULL;
}

/* The target that has the snapshot which is this target's, or is going to be; else itself. */
static struct snap_target *snap_target_source(struct snap_target *t)
{
	struct snap_target *source = NULL;

	if (snap_target_is(t, BIT(SNAP_TARGET_WAITING)))
		source = snap_find_target(t, SNAP_TARGET_IS_LIVE);
	return source ?: t;
}

/*
 * Hands a snapshot over: the only place where one passes from a target to another. @from maps no
 * bio any more, @to none yet.
 */
static bool snap_hand_over(struct snap_target *from, struct snap_target *to)
{
	struct dm_snapshot *snap = from->snap;

	lockdep_assert_held(&snap->lock);

	if (!snap_target_enter(from, SNAP_TARGET_HANDED_OVER) ||
	    !snap_target_enter(to, SNAP_TARGET_ACTIVE))
		return false;
	from->snap = NULL;
	to->snap = snap;
	/* One origin target is quiet; if there are more, writes through them see either size. */
	snap_set_end(snap, snap_target_end(to->ti));
	to->chunk_size = snap->store.chunk_size;
	to->persistent = from->persistent;
	to->overflow &= to->persistent;
	to->commits_writes &= to->persistent;
	snap->ti = to->ti;
	snap->overflow = to->overflow;
	snap->defers = snap->log && !to->commits_writes;
	return true;
}

/*
 * Whether exceptions in memory may be on disk no more. Nothing would copy what is written to such a
 * chunk of the origin, so only a target that merges may have the snapshot. snap_preresume() has
 * them written again, but the merge may go on, and fail, before the snapshot changes hands.
 */
static bool snap_is_torn(const struct dm_snapshot *snap)
{
	return READ_ONCE(snap->valid) && snap->merge && snap_merge_unsure(snap->merge);
}

/*
 * Makes a target active that is being resumed, if there is a snapshot that it can have. Whether
 * writes to the origin are seen by the snapshot depends on what kind of target has it.
 */
static bool snap_target_activate(struct snap_target *t)
{
	struct snap_origin *origin = t->origin;
	struct snap_target *source;
	struct dm_snapshot *snap;

	if (snap_target_is(t, SNAP_TARGET_IS_OVER))
		return false;
	if (snap_target_is(t, BIT(SNAP_TARGET_WAITING))) {
		source = snap_find_target(t, SNAP_TARGET_IS_LIVE);
		if (!source || !snap_target_is(source, BIT(SNAP_TARGET_SUSPENDED))) {
			DMERR("%s: Cannot take the snapshot over: it is in use again",
			      dm_table_device_name(t->ti->table));
			snap_target_enter(t, SNAP_TARGET_ORPHANED);
			return false;
		}
		if (snap_is_torn(source->snap) && !t->merges) {
			DMERR("%s: Cannot take the snapshot over: its merge has failed meanwhile",
			      dm_table_device_name(t->ti->table));
			snap_target_enter(t, SNAP_TARGET_ORPHANED);
			return false;
		}
		if (!snap_hand_over(source, t))
			return false;
	} else if (!snap_target_enter(t, SNAP_TARGET_ACTIVE)) {
		return false;
	}

	snap = t->snap;
	if (t->merges) {
		if (!snap->merge)
			swap(snap->merge, t->new_merge);
		if (snap->attached)
			snap_origin_detach(origin, snap);
		WRITE_ONCE(origin->merging, snap);
	} else {
		if (origin->merging == snap)
			WRITE_ONCE(origin->merging, NULL);
		if (!snap->attached)
			snap_origin_attach(origin, snap);
	}
	return true;
}

/*
 * Whether a target may merge. Only one does of an origin's; a new table for that one, @source, may
 * take its place.
 */
static int snap_check_merge(struct snap_target *t, const struct snap_target *source)
{
	struct snap_target *other;

	lockdep_assert_held(&snap_registry_lock);

	if (!t->merges)
		return 0;
	if (source && !source->persistent) {
		t->ti->error = "A transient snapshot cannot be merged";
		return -EINVAL;
	}
	list_for_each_entry(other, &t->origin->targets, list) {
		if (other->merges && !snap_target_is(other, SNAP_TARGET_IS_OVER) &&
		    other != source) {
			t->ti->error = "A snapshot of this origin is being merged already";
			return -EINVAL;
		}
	}
	return 0;
}

/* Enters a target in the registry in its first state, which keeps others off the COW device. */
static int snap_target_enlist(struct snap_target *t)
{
	struct snap_target *source;
	int r;

	lockdep_assert_held(&snap_registry_lock);

	if (snap_find_target(t, SNAP_TARGET_IS_NEW)) {
		t->ti->error = "Another table for this COW device is waiting to be resumed";
		return -EBUSY;
	}
	source = snap_find_target(t, SNAP_TARGET_IS_LIVE);
	r = snap_check_merge(t, source);
	if (!r && source)
		r = snap_check_begin(t, source->chunk_size);
	if (r)
		return r;
	t->state = source ? SNAP_TARGET_WAITING : SNAP_TARGET_LOADING;
	list_add_tail(&t->list, &t->origin->targets);
	return 0;
}

/*
 * Registers a target. If another one has the snapshot, that is handed over when this target is
 * resumed; else the snapshot is made, or loaded, which takes its time.
 */
static int snap_target_register(struct snap_target *t)
{
	struct dm_snapshot *snap;
	bool waits;
	int r;

	t->origin = snap_origin_get(t->origin_dev->bdev);
	if (!t->origin) {
		t->ti->error = "No memory for the origin";
		return -ENOMEM;
	}

	spin_lock(&snap_registry_lock);
	r = snap_target_enlist(t);
	waits = !r && snap_target_is(t, BIT(SNAP_TARGET_WAITING));
	spin_unlock(&snap_registry_lock);
	if (r)
		goto bad_enlist;
	if (waits)
		return 0;

	snap = snap_create(t);
	if (IS_ERR(snap)) {
		r = PTR_ERR(snap);
		goto bad_snap;
	}
	dm_scaled_delay("snap-scaled:loaded");
	spin_lock(&snap_registry_lock);
	t->snap = snap;
	snap_target_enter(t, SNAP_TARGET_READY);
	spin_unlock(&snap_registry_lock);
	return 0;

bad_snap:
	spin_lock(&snap_registry_lock);
	list_del(&t->list);
	spin_unlock(&snap_registry_lock);
bad_enlist:
	snap_origin_put(t->origin);
	return r;
}

/* Gets a reference to the snapshot that a target has, or NULL. */
static struct dm_snapshot *snap_target_get(struct snap_target *t)
{
	struct dm_snapshot *snap;

	spin_lock(&snap_registry_lock);
	snap = snap_get(t->snap);
	spin_unlock(&snap_registry_lock);
	return snap;
}

/*
 * The snapshot that a target merges: only it starts and stops the merge. That of a suspended target
 * has been stopped, and may be another target's by now.
 */
static struct dm_snapshot *snap_target_get_merging(struct snap_target *t)
{
	struct dm_snapshot *snap = NULL;

	spin_lock(&snap_registry_lock);
	if (snap_target_is(t, BIT(SNAP_TARGET_ACTIVE)) && t->merges)
		snap = snap_get(t->snap);
	spin_unlock(&snap_registry_lock);
	return snap;
}

/* Stops the merge of a target that merges, and waits until no chunk is being merged. */
static void snap_target_stop_merge(struct snap_target *t)
{
	struct dm_snapshot *snap = snap_target_get_merging(t);

	dm_scaled_delay("snap-scaled:stop-merge");
	if (snap)
		snap_merge_stop(snap->merge);
	snap_put(snap);
}

static void snap_target_unregister(struct snap_target *t)
{
	struct dm_snapshot *snap;
	struct snap_target *waiter;

	snap_target_stop_merge(t);

	spin_lock(&snap_registry_lock);
	/* Another device's target may have taken it over. */
	snap = t->snap;
	t->snap = NULL;
	waiter = snap ? snap_find_target(t, BIT(SNAP_TARGET_WAITING)) : NULL;
	if (waiter) {
		snap_target_enter(waiter, SNAP_TARGET_ORPHANED);
		DMERR("%s: Snapshot was removed before %s could take it over",
		      dm_table_device_name(t->ti->table),
		      dm_table_device_name(waiter->ti->table));
	}
	list_del(&t->list);
	if (snap && t->origin->merging == snap)
		WRITE_ONCE(t->origin->merging, NULL);
	if (snap && snap->attached)
		snap_origin_detach(t->origin, snap);
	spin_unlock(&snap_registry_lock);

	if (snap) {
		synchronize_srcu(&t->origin->srcu);
		snap_destroy(snap);
	}
	snap_origin_put(t->origin);
}

/*
 *------------------------------------------------------------
 * Table lines
 *------------------------------------------------------------
 */

/* One of them is commit=. */
#define SNAP_MAX_FEATURES	3

/* LVM gives no features to its tables. */
static bool snapshot_commit_writes;
module_param(snapshot_commit_writes, bool, 0644);
MODULE_PARM_DESC(snapshot_commit_writes,
		 "Whether tables of persistent snapshots without commit= have commit=write");

static int snap_parse_commit(struct snap_target *t, const char *name, bool again)
{
	if (!t->persistent) {
		t->ti->error = "Feature commit= needs exception store P or PO";
		return -EINVAL;
	}
	if (again) {
		t->ti->error = "Feature commit= is there twice";
		return -EINVAL;
	}
	t->commits_writes = !strcasecmp(name, "commit=write");
	return 0;
}

static int snap_parse_features(struct snap_target *t, struct dm_arg_set *as)
{
	unsigned int nr, commits = 0, others = 0;
	struct dm_target *ti = t->ti;
	const char *name;

	t->commits_writes = t->persistent && READ_ONCE(snapshot_commit_writes);
	if (!as->argc)
		return 0;
	/* Not dm_read_arg_group(): to it 4294967297 is 1. */
	if (kstrtouint(dm_shift_arg(as), 10, &nr) || nr > SNAP_MAX_FEATURES || nr > as->argc)
		goto wrong_number;

	while (nr--) {
		name = dm_shift_arg(as);
		if (!strcasecmp(name, "commit=flush") || !strcasecmp(name, "commit=write")) {
			if (snap_parse_commit(t, name, commits++))
				return -EINVAL;
			continue;
		}
		others++;
		if (!strcasecmp(name, "discard_zeroes_cow")) {
			t->discard_zeroes_cow = true;
		} else if (!strcasecmp(name, "discard_passdown_origin")) {
			t->discard_passdown_origin = true;
		} else {
			ti->error = "Unknown feature";
			return -EINVAL;
		}
	}
	if (others > SNAP_MAX_FEATURES - 1)
		goto wrong_number;

	if (as->argc) {
		ti->error = "Arguments left over after the features";
		return -EINVAL;
	}
	if (t->discard_passdown_origin && !t->discard_zeroes_cow) {
		ti->error = "Feature discard_passdown_origin needs discard_zeroes_cow";
		return -EINVAL;
	}
	return 0;

wrong_number:
	ti->error = "Wrong number of features: must be 0 to 2, one more with commit=, as follow";
	return -EINVAL;
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
	r = snap_parse_store(t, argv[2]);
	if (!r)
		r = snap_parse_features(t, &as);
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
		t->merges = true;
	}

	r = dm_scaled_get_device_to_read(ti, argv[0], &t->origin_dev);
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
	if (t->merges) {
		t->new_merge = snap_merge_create(t->cow_dev->bdev, t->origin_dev->bdev);
		if (!t->new_merge) {
			ti->error = "No memory for the merge";
			r = -ENOMEM;
			goto bad_register;
		}
	}
	r = snap_target_register(t);
	if (r)
		goto bad_register;
	ti->private = t;
	/* Of a snapshot that is being merged, both devices have data. */
	ti->num_flush_bios = t->merges ? 2 : 1;
	ti->num_write_zeroes_bios = 1;
	/*
	 * What is written may be lost until it is flushed, whatever the devices below promise. Also
	 * where this table's line promises more: the next one, or the snapshot that is handed over,
	 * may not, and who stands on this device may not look again.
	 */
	ti->flush_supported = !t->merges;
	if (t->discard_zeroes_cow)
		ti->num_discard_bios = t->discard_passdown_origin ? 2 : 1;
	ti->per_io_data_size = sizeof(struct snap_bio);
	return 0;

bad_register:
	if (t->new_merge)
		snap_merge_destroy(t->new_merge);
	dm_scaled_devices_release(t->uses, ARRAY_SIZE(t->uses));
bad_devices:
	dm_put_device(ti, t->cow_dev);
bad_cow:
	dm_put_device(ti, t->origin_dev);
bad_args:
	kfree(t);
	return r;
}

static void snap_dtr(struct dm_target *ti)
{
	struct snap_target *t = ti->private;

	snap_target_unregister(t);
	if (t->new_merge)
		snap_merge_destroy(t->new_merge);
	dm_scaled_devices_release(t->uses, ARRAY_SIZE(t->uses));
	dm_put_device(ti, t->cow_dev);
	dm_put_device(ti, t->origin_dev);
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
 * Cuts a discard at the end of @nr chunks from its first, @chunk, on. Device-mapper sends the rest
 * in another bio, unless the discard is one of two copies, which cannot be cut: then the rest is
 * left as it is, as a discard may be.
 */
static void snap_cut_discard(struct dm_target *ti, const struct dm_snapshot *snap, struct bio *bio,
			     u64 chunk, u64 nr)
{
	sector_t room = snap_room(snap, bio, chunk, nr);

	if (likely(bio_sectors(bio) <= room))
		return;
	if (ti->num_discard_bios == 1)
		dm_accept_partial_bio(bio, room);
	else
		bio->bi_iter.bi_size = room << SECTOR_SHIFT;
}

/*
 * A discard of chunks that were copied zeroes the copies, or discards a part of one: it may begin
 * and end anywhere, as a target on top of this one has its own offset. Chunks that were not copied
 * stay as they are.
 */
static int snap_map_discard(struct snap_target *t, struct bio *bio, u64 chunk)
{
	struct dm_snapshot *snap = t->snap;
	u64 new, nr, full = snap_full_chunks(snap, bio);
	struct dm_io_region region;

	if (!snap_lookup(snap, chunk, snap_bio_chunks(snap, bio), &new, &nr) &&
	    !(snap->log && snap_pending_lookup(snap, chunk, &nr, &new))) {
		snap_cut_discard(t->ti, snap, bio, chunk, nr);
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}

	if (!full) {
		snap_cut_discard(t->ti, snap, bio, chunk, 1);
		snap_remap(snap, bio, new);
		return DM_MAPIO_REMAPPED;
	}

	nr = min(nr, full);
	snap_cut_discard(t->ti, snap, bio, chunk, nr);
	region.bdev = snap->store.cow;
	region.sector = new << snap->store.chunk_shift;
	region.count = nr << snap->store.chunk_shift;
	dm_kcopyd_mq_zero(snap->kcopyd, 1, &region, 0, snap_zero_done, bio);
	return DM_MAPIO_SUBMITTED;
}

/*
 * Whether a read of what turns out not to be in the table need not be tracked, nor looked for in
 * the bucket: nobody has written to the origin yet, and no write to the snapshot is under way there
 * or is not in the table yet. To be asked before the table is looked at.
 */
static bool snap_read_is_simple(const struct snap_target *t, const struct bio *bio, u64 chunk,
				u64 nr)
{
	if (bio_data_dir(bio) != READ || dm_scaled_refs_are_stopped(&t->origin->reads))
		return false;
	dm_scaled_delay("snap-scaled:is-read-simple");
	if (!snap_buckets_are_empty(t->snap, chunk, nr))
		return false;
	dm_scaled_delay("snap-scaled:read");
	return true;
}

static int snap_map(struct dm_target *ti, struct bio *bio)
{
	struct snap_target *t = ti->private;
	struct dm_snapshot *snap = t->snap;
	struct snap_bio *sb = dm_per_bio_data(bio, sizeof(*sb));
	u64 chunk, new, nr;
	bool simple;

	sb->nr = 0;
	sb->is_counted = false;

	if (unlikely(bio->bi_opf & REQ_PREFLUSH)) {
		if (snap && snap->log && snap_log_flush(snap->log, &sb->flush, bio))
			return DM_MAPIO_SUBMITTED;
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

	nr = snap_bio_chunks(snap, bio);
	simple = snap_read_is_simple(t, bio, chunk, nr);
	if (snap_lookup(snap, chunk, nr, &new, &nr)) {
		snap_cut(snap, bio, chunk, nr);
		snap_remap(snap, bio, new);
		return DM_MAPIO_REMAPPED;
	}

	if (bio_data_dir(bio) == WRITE) {
		if (unlikely(snap_copies_exceeded(snap)))
			snap_copies_wait(snap);
		return snap_pending_write(snap, chunk, bio);
	}

	sb->is_counted = simple && dm_scaled_refs_tryget(&t->origin->reads);
	if (sb->is_counted || snap_read_track(snap, chunk, &nr, sb, &new)) {
		bio_set_dev(bio, t->origin_dev->bdev);
		snap_cut(snap, bio, chunk, nr);
	} else {
		snap_cut(snap, bio, chunk, nr);
		snap_remap(snap, bio, new);
	}
	return DM_MAPIO_REMAPPED;
}

static int snap_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct snap_bio *sb = dm_per_bio_data(bio, sizeof(*sb));
	struct snap_target *t = ti->private;

	if (sb->is_counted)
		dm_scaled_refs_put(&t->origin->reads);
	else if (sb->nr)
		snap_read_done(t->snap, sb);
	else
		return DM_ENDIO_DONE;

	/*
	 * Since the snapshot became invalid the origin may have been written without a copy, and
	 * what was written to the snapshot, but not flushed, may have been forgotten.
	 */
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

static int snap_merge_map_data(struct snap_target *t, struct bio *bio, struct snap_bio *sb)
{
	struct dm_snapshot *snap = t->snap;
	u64 chunk, new, nr;

	if (unlikely(bio_op(bio) == REQ_OP_DISCARD)) {
		bio_endio(bio);
		return DM_MAPIO_SUBMITTED;
	}

	if (unlikely(!READ_ONCE(snap->valid)))
		return snap_merge_map_origin(t, bio);

	chunk = snap_chunk(snap, bio->bi_iter.bi_sector);
	if (!snap_lookup(snap, chunk, snap_bio_chunks(snap, bio), &new, &nr)) {
		/* None of those is added while the snapshot is being merged. */
		snap_cut(snap, bio, chunk, nr);
		return snap_merge_map_origin(t, bio);
	}
	if (bio_data_dir(bio) == READ) {
		snap_cut(snap, bio, chunk, nr);
		snap_remap(snap, bio, new);
		return DM_MAPIO_REMAPPED;
	}

	switch (snap_merge_write(snap->merge, snap, chunk, bio, sb)) {
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

static int snap_merge_map(struct dm_target *ti, struct bio *bio)
{
	struct snap_target *t = ti->private;
	struct dm_snapshot *snap = t->snap;
	struct snap_bio *sb = dm_per_bio_data(bio, sizeof(*sb));
	int r;

	sb->nr = 0;
	if (likely(snap))
		snap_merge_bio_begins(snap->merge);

	if (unlikely(bio->bi_opf & REQ_PREFLUSH)) {
		bio_set_dev(bio, dm_bio_get_target_bio_nr(bio) ? t->cow_dev->bdev :
								 t->origin_dev->bdev);
		return DM_MAPIO_REMAPPED;
	}
	/* Another target has it, and merges perhaps: what is written here would be lost. */
	if (unlikely(!snap))
		return DM_MAPIO_KILL;

	r = snap_merge_map_data(t, bio, sb);
	/* Device-mapper does not tell of its end. */
	if (unlikely(r == DM_MAPIO_KILL))
		snap_merge_bio_ends(snap->merge);
	return r;
}

static int snap_merge_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	struct snap_bio *sb = dm_per_bio_data(bio, sizeof(*sb));
	struct snap_target *t = ti->private;

	if (sb->nr) {
		snap_read_done(t->snap, sb);
		snap_merge_write_done(t->snap->merge);
	}
	/* The target has the same snapshot as when it mapped the bio. */
	if (likely(t->snap))
		snap_merge_bio_ends(t->snap->merge);
	return DM_ENDIO_DONE;
}

/*
 *------------------------------------------------------------
 * Suspend and resume, status
 *------------------------------------------------------------
 */

static int snap_preresume(struct dm_target *ti)
{
	struct snap_target *t = ti->private, *other;
	struct dm_snapshot *snap = NULL;
	int r = 0;

	spin_lock(&snap_registry_lock);
	if (snap_target_is(t, BIT(SNAP_TARGET_SUSPENDED)) &&
	    snap_find_target(t, BIT(SNAP_TARGET_WAITING))) {
		DMERR("%s: Cannot resume: a new table is waiting to take the snapshot over",
		      dm_table_device_name(ti->table));
		r = -EINVAL;
	}
	if (snap_target_is(t, BIT(SNAP_TARGET_WAITING))) {
		other = snap_find_target(t, BIT(SNAP_TARGET_ACTIVE));
		if (other) {
			DMERR("%s: Cannot take the snapshot over: %s is not suspended",
			      dm_table_device_name(ti->table),
			      dm_table_device_name(other->ti->table));
			r = -EINVAL;
		}
		/* If it is being resumed at this moment it may still win: see snap_is_torn(). */
		other = snap_find_target(t, SNAP_TARGET_IS_LIVE);
		if (!r && !t->merges && other && other->snap && snap_is_torn(other->snap))
			snap = snap_get(other->snap);
	}
	spin_unlock(&snap_registry_lock);

	/* It is going to write to the origin. */
	if (!r && t->merges)
		r = snap_origin_track_reads(t->origin);
	if (unlikely(snap)) {
		r = snap_merge_restore(snap->merge);
		if (r == -EUCLEAN)
			DMERR("%s: Cannot resume: its merge has failed for good: remove it first",
			      dm_table_device_name(ti->table));
		else if (r)
			DMERR("%s: Cannot resume until %pg can be written, as its merge has failed",
			      dm_table_device_name(ti->table), snap->store.cow);
		snap_put(snap);
	}
	return r;
}

/**
 * struct snap_still - what is kept still while a snapshot passes to a target
 * @md:      device through which the origin is written; suspended
 * @merging: snapshot whose merge, which writes to the origin, too, is paused
 * @snap:    snapshot that the target has, or is going to have; its lock is held
 */
struct snap_still {
	struct mapped_device *md;
	struct dm_snapshot *merging;
	struct dm_snapshot *snap;
};

static void snap_let_go(struct snap_still *still)
{
	if (still->merging)
		snap_merge_unpause(still->merging->merge);
	snap_put(still->merging);
	snap_origin_resume(still->md);
}

static void snap_unlock(struct snap_still *still)
{
	if (still->snap)
		mutex_unlock(&still->snap->lock);
	snap_put(still->snap);
}

/*
 * Stops writes to the origin, and takes the locks under which a snapshot passes to a target. All
 * that may wait is done without the registry's lock; so what has been stopped is looked at again
 * under it, and if it is no longer all that writes to the origin, we start over. The order: the
 * origin's device, then the merge, whose batch writes to that device may wait for, then the
 * snapshot's lock.
 */
static void snap_hold_still(struct snap_target *t, struct snap_still *still)
	__acquires(&snap_registry_lock)
{
	struct mapped_device *own = dm_table_get_md(t->ti->table);

	for (;;) {
		still->md = snap_origin_quiesce(t->origin, own);
		spin_lock(&snap_registry_lock);
		still->merging = snap_get(t->origin->merging);
		still->snap = snap_get(snap_target_source(t)->snap);
		spin_unlock(&snap_registry_lock);
		if (still->merging)
			snap_merge_pause(still->merging->merge);
		if (still->snap)
			mutex_lock(&still->snap->lock);
		dm_scaled_delay("snap-scaled:take-over");

		spin_lock(&snap_registry_lock);
		if (still->merging == t->origin->merging &&
		    still->snap == snap_target_source(t)->snap &&
		    snap_origin_is_quiet(t->origin, still->md, own))
			return;
		spin_unlock(&snap_registry_lock);
		snap_unlock(still);
		snap_let_go(still);
	}
}

static void snap_resume(struct dm_target *ti)
{
	struct snap_target *t = ti->private;
	struct snap_still still;
	bool merge;

	snap_hold_still(t, &still);
	merge = snap_target_activate(t) && t->merges;
	spin_unlock(&snap_registry_lock);
	snap_unlock(&still);

	if (merge) {
		/*
		 * Writes to the origin that still see the snapshot end, then the copies that they
		 * and writes to the snapshot have begun: only what is in the table can be read
		 * through this target, and merged.
		 */
		synchronize_srcu(&t->origin->srcu);
		snap_pending_drain(t->snap);
		dm_scaled_delay("snap-scaled:merge");
		snap_merge_start(t->snap->merge, t->snap);
	}
	snap_let_go(&still);
}

/* Ticks that a suspension waits for the log. */
#define SNAP_SYNC	HZ

static void snap_postsuspend(struct dm_target *ti)
{
	struct snap_target *t = ti->private;
	struct dm_snapshot *snap = snap_target_get(t);

	/* For who looks at the COW device now. One that hangs does not hang us. */
	if (snap && snap->log && !snap_log_sync(snap->log, SNAP_SYNC))
		DMWARN("%s: Suspended, but not all exceptions are on the COW device yet",
		       dm_table_device_name(ti->table));
	snap_put(snap);
	dm_scaled_delay("snap-scaled:suspended");
	spin_lock(&snap_registry_lock);
	if (!snap_target_is(t, SNAP_TARGET_IS_OVER))
		snap_target_enter(t, SNAP_TARGET_SUSPENDED);
	spin_unlock(&snap_registry_lock);
}

static void snap_merge_presuspend(struct dm_target *ti)
{
	snap_target_stop_merge(ti->private);
}

/* The device could not be suspended after all. */
static void snap_merge_presuspend_undo(struct dm_target *ti)
{
	struct dm_snapshot *snap = snap_target_get_merging(ti->private);

	if (snap)
		snap_merge_start(snap->merge, snap);
	snap_put(snap);
}

/* As for a target of the kind that has the snapshot, which may be another than is asked. */
static void snap_status_info(struct dm_snapshot *snap, bool merges, char *result,
			     unsigned int maxlen)
{
	sector_t allocated, total, metadata = 0;
	unsigned int sz = 0;
	u64 exceptions = 0;

	if (!snap || !READ_ONCE(snap->valid)) {
		DMEMIT("Invalid");
		return;
	}
	if (merges && snap->merge && snap_merge_failed(snap->merge)) {
		DMEMIT("Merge failed");
		return;
	}
	if (READ_ONCE(snap->overflowed)) {
		DMEMIT("Overflow");
		return;
	}
	if (snap->log) {
		exceptions = snap_log_exceptions(snap->log);
		metadata = snap_metadata_chunks(snap->store.area_shift, exceptions) <<
			   snap->store.chunk_shift;
	}
	snap_store_usage(&snap->store, &allocated, &total);
	/*
	 * Nothing is added any more, and what has been merged no longer counts. Both numbers are of
	 * one moment: they are equal when it is over, and not before.
	 */
	if (merges)
		allocated = snap_data_chunk(snap->store.area_shift, exceptions) <<
			    snap->store.chunk_shift;
	DMEMIT("%llu/%llu %llu", (unsigned long long)allocated, (unsigned long long)total,
	       (unsigned long long)metadata);
}

static void snap_status(struct dm_target *ti, status_type_t type, unsigned int flags, char *result,
			unsigned int maxlen)
{
	struct snap_target *t = ti->private, *source, now;
	struct dm_snapshot *snap;
	unsigned int sz = 0, nr;
	bool merges;

	/* A target that waits tells what it is going to have. */
	spin_lock(&snap_registry_lock);
	now = *t;
	source = snap_target_source(t);
	merges = source->merges;
	snap = snap_get(source->snap);
	spin_unlock(&snap_registry_lock);

	switch (type) {
	case STATUSTYPE_INFO:
		snap_status_info(snap, merges, result, maxlen);
		break;
	case STATUSTYPE_TABLE:
		DMEMIT("%s %s %s %u", now.origin_dev->name, now.cow_dev->name,
		       !now.persistent ? "N" : now.overflow ? "PO" : "P", now.chunk_size);
		nr = now.discard_zeroes_cow + now.discard_passdown_origin + now.commits_writes;
		if (nr)
			DMEMIT(" %u", nr);
		if (now.discard_zeroes_cow)
			DMEMIT(" discard_zeroes_cow");
		if (now.discard_passdown_origin)
			DMEMIT(" discard_passdown_origin");
		if (now.commits_writes)
			DMEMIT(" commit=write");
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		DMEMIT(",snap_origin_name=%s", now.origin_dev->name);
		DMEMIT(",snap_cow_name=%s", now.cow_dev->name);
		DMEMIT(",snap_valid=%c", snap && !READ_ONCE(snap->valid) ? 'n' : 'y');
		DMEMIT(",snap_merge_failed=%c",
		       merges && snap && snap->merge && snap_merge_failed(snap->merge) ? 'y' : 'n');
		DMEMIT(",snapshot_overflowed=%c;",
		       snap && READ_ONCE(snap->overflowed) ? 'y' : 'n');
		break;
	}
	snap_put(snap);
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
	unsigned int chunk_size;

	if (!t->discard_zeroes_cow)
		return;

	/* The chunk size that counts is that of the snapshot which is going to be handed over. */
	spin_lock(&snap_registry_lock);
	chunk_size = snap_target_source(t)->chunk_size;
	spin_unlock(&snap_registry_lock);

	limits->discard_granularity = chunk_size << SECTOR_SHIFT;
	/* One of two copies cannot be cut where its chunks are elsewhere. */
	dm_scaled_set_max_discard_sectors(limits, t->discard_passdown_origin ? chunk_size :
					  round_down(UINT_MAX >> SECTOR_SHIFT, chunk_size));
}

static int snap_message(struct dm_target *ti, unsigned int argc, char **argv, char *result,
			unsigned int maxlen)
{
	struct dm_snapshot *snap = snap_target_get(ti->private);
	struct copy_offload *co;
	int r;

	co = snap ? dm_kcopyd_mq_client_offloads_to(snap->kcopyd) : NULL;
	r = copy_offload_message(co, argc, argv, result, maxlen);
	if (r == -EINVAL)
		DMERR("message %s: must be stats, or offload auto or offload off", argv[0]);
	snap_put(snap);
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
	.postsuspend = snap_postsuspend,
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
	.presuspend_undo = snap_merge_presuspend_undo,
	.postsuspend = snap_postsuspend,
	.preresume = snap_preresume,
	.resume = snap_resume,
	.status = snap_status,
	.message = snap_message,
	.iterate_devices = snap_iterate_devices,
	.io_hints = snap_io_hints,
};

/*
 * In the order in which they are registered. If one of stock's names is not to be had, those before
 * it are given back: "snapshot" comes last, as a table that somebody has made meanwhile would get
 * stock's target with the next one.
 */
static struct target_type *snap_own_types[] = {
	&snap_merge_target_type,
	&snap_origin_target_type,
	&snap_target_type,
};

static const char * const snap_stock_names[] = {
	"snapshot-merge",
	"snapshot-origin",
	"snapshot",
};

/* As those above, under stock's names; filled in when they are registered. */
static struct target_type snap_stock_types[ARRAY_SIZE(snap_stock_names)];

/* How many there are of each. */
static unsigned int snap_nr_own, snap_nr_stock;

static void snap_give_back(void)
{
	while (snap_nr_stock)
		dm_unregister_target(&snap_stock_types[--snap_nr_stock]);
}

static void snap_unregister_types(void)
{
	snap_give_back();
	while (snap_nr_own)
		dm_unregister_target(snap_own_types[--snap_nr_own]);
}

int dm_snap_scaled_register(void)
{
	struct target_type *type;
	int r;

	for (; snap_nr_own < ARRAY_SIZE(snap_own_types); snap_nr_own++) {
		type = snap_own_types[snap_nr_own];
		r = dm_register_target(type);
		if (r < 0) {
			DMERR("Cannot register target %s: error %d", type->name, r);
			snap_unregister_types();
			return r;
		}
	}
	return 0;
}

int dm_snap_scaled_take_over(void)
{
	struct target_type *type;
	int r;

	BUILD_BUG_ON(ARRAY_SIZE(snap_stock_types) != ARRAY_SIZE(snap_own_types));

	for (; snap_nr_stock < ARRAY_SIZE(snap_stock_types); snap_nr_stock++) {
		type = &snap_stock_types[snap_nr_stock];
		*type = *snap_own_types[snap_nr_stock];
		type->name = snap_stock_names[snap_nr_stock];
		r = dm_register_target(type);
		if (r < 0) {
			DMWARN("Cannot take over target %s: error %d: %s", type->name, r,
			       "for takeover=snapshot load dm_scaled while dm_snapshot is not loaded");
			snap_give_back();
			return r;
		}
	}
	return 0;
}

int dm_snap_scaled_init(void)
{
	int r;

	r = snap_pending_init();
	if (r)
		DMERR("No memory for the cache of pending exceptions");
	return r;
}

void dm_snap_scaled_exit(void)
{
	snap_unregister_types();
	snap_pending_exit();
}
