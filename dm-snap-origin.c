// SPDX-License-Identifier: GPL-2.0-only
/*
 * Origins: the registry, the way of a write, and the target that maps it.
 *
 * A write to an origin walks the snapshots that see it. Where all have exceptions for its chunks,
 * it takes no lock and writes to no memory but its own CPU's: it reads each snapshot's table and
 * goes on.
 *
 * A write may be of any length. It is cut where that lets a part of it go on earlier, and nothing
 * but speed depends on that: the walk goes from one stretch of chunks to the next, each as long as
 * each snapshot has copied all of it or nothing, or has just begun to copy it.
 *
 * An origin that nobody writes (but by discards that a snapshot passes down, which wait for no read
 * anyhow), the base of many micro-VMs perhaps, has snapshots that read it with no lock and no list.
 * They count their reads, each on its CPU. The first target through which the origin can be written
 * has the counting end before it is resumed, and waits for those that have been counted; from then
 * on reads are tracked in the buckets, and that never ends again.
 */
#define DM_MSG_PREFIX "origin-scaled"

#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "dm-scaled-delay.h"
#include "dm-scaled-devices.h"
#include "dm-snap-scaled.h"

#define SNAP_ORIGIN_HASH_BITS	6
/* No write is as long as this many sectors, a power of two: there are no snapshots. */
#define SNAP_NO_SPLIT		BIT(31)
/* Sectors at a multiple of which, a power of two, a write that has to wait for copies is cut. */
#define SNAP_CUT_SECTORS	(SZ_512K >> SECTOR_SHIFT)
/* Sectors of a write that are looked at, at most, to find where it is best cut. */
#define SNAP_LOOK_SECTORS	(SZ_16M >> SECTOR_SHIFT)
/* So many sectors that need no copy are not kept waiting for copies of those beside them. */
#define SNAP_PASS_SECTORS	(SZ_64K >> SECTOR_SHIFT)
/* Stretches of chunks that a write is to wait for, and of which a walk makes copies, at most. */
#define SNAP_CUT_STRETCHES	16
#define SNAP_WALK_STRETCHES	64

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
	if (init_srcu_struct(&origin->srcu))
		goto bad_srcu;
	if (dm_scaled_refs_init(&origin->reads))
		goto bad_reads;
	origin->bdev = bdev;
	origin->split = SNAP_NO_SPLIT;
	origin->refs = 1;
	INIT_LIST_HEAD(&origin->snapshots);
	INIT_LIST_HEAD(&origin->targets);
	INIT_LIST_HEAD(&origin->origins);
	atomic_set(&origin->copies, 0);
	init_waitqueue_head(&origin->copied);
	mutex_init(&origin->track_lock);
	return origin;

bad_reads:
	cleanup_srcu_struct(&origin->srcu);
bad_srcu:
	kfree(origin);
	return NULL;
}

/* A target ends after all its bios, so that none of these uses @reads any more. */
static void snap_origin_free(struct snap_origin *origin)
{
	dm_scaled_refs_exit(&origin->reads);
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

int snap_origin_track_reads(struct snap_origin *origin)
{
	int r;

	r = mutex_lock_killable(&origin->track_lock);
	if (r)
		return r;
	if (!dm_scaled_refs_are_stopped(&origin->reads))
		dm_scaled_refs_stop(&origin->reads);
	dm_scaled_delay("snap-origin:track");
	/* Who has to wait longer than for a device to answer can be killed, and try again. */
	r = wait_for_completion_killable(&origin->reads.drained);
	mutex_unlock(&origin->track_lock);
	return r ? -EINTR : 0;
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

/* Whether sectors are, for each snapshot, of one chunk. */
static bool snap_origin_is_one_chunk(const struct snap_origin *origin, sector_t begin, sector_t end)
{
	unsigned int split = READ_ONCE(origin->split);

	return end - begin <= split - ((unsigned int)begin & (split - 1));
}

/*
 * Whether what is written at @sector has to be copied first for a snapshot. @end, where the write
 * ends, becomes the sector up to which that is so if it comes first. Chunks that are being copied
 * have not been.
 */
static bool snap_wants_copies(struct dm_snapshot *snap, sector_t sector, sector_t *end)
{
	u64 chunk = snap_chunk(snap, sector), max, nr, unused;
	sector_t snap_end = READ_ONCE(snap->end);
	bool copied;

	if (sector >= snap_end || !READ_ONCE(snap->valid))
		return false;
	*end = min(*end, snap_end);
	max = snap_chunk(snap, *end - 1) - chunk + 1;
	copied = snap_exception_lookup_run(&snap->exceptions, chunk, max, &unused, &nr);
	if (copied && nr < max)
		nr += snap_exception_count(&snap->exceptions, chunk + nr, max - nr);
	*end = min(*end, (sector_t)(chunk + nr) << snap->store.chunk_shift);
	return !copied;
}

/* As snap_wants_copies(), for any snapshot. */
static bool snap_origin_wants_copies(struct snap_origin *origin, sector_t sector, sector_t *end)
{
	struct dm_snapshot *snap;
	bool wants = false;

	list_for_each_entry_srcu(snap, &origin->snapshots, list,
				 srcu_read_lock_held(&origin->srcu))
		wants |= snap_wants_copies(snap, sector, end);
	return wants;
}

/*
 * Where a write is to be cut: what need not wait goes on alone if it is long enough, and a write
 * that waits does so for a few copies and for no more than SNAP_CUT_SECTORS. @waits is set to
 * whether it does.
 */
static sector_t snap_origin_find_cut(struct snap_origin *origin, sector_t begin, sector_t end,
				     bool *waits)
{
	sector_t wait_end = round_down(begin, SNAP_CUT_SECTORS) + SNAP_CUT_SECTORS;
	sector_t sector, next;
	unsigned int copies = 0;

	for (sector = begin; sector < end && copies < SNAP_CUT_STRETCHES; sector = next) {
		next = end;
		if (snap_origin_wants_copies(origin, sector, &next)) {
			copies++;
			end = min(end, wait_end);
			next = min(next, end);
		} else if (next - sector >= SNAP_PASS_SECTORS) {
			if (!copies)
				sector = next;
			break;
		}
	}
	*waits = copies;
	return sector;
}

/*
 * Maps no more of a write to several chunks than is best written at a time. Returns false if none
 * of that needs a copy.
 */
static bool snap_origin_cut(struct snap_origin *origin, struct bio *bio)
{
	sector_t begin = bio->bi_iter.bi_sector, end;
	bool waits;
	int idx;

	idx = srcu_read_lock(&origin->srcu);
	end = min_t(sector_t, bio_end_sector(bio), begin + SNAP_LOOK_SECTORS);
	end = snap_origin_find_cut(origin, begin, end, &waits);
	srcu_read_unlock(&origin->srcu, idx);
	if (end < bio_end_sector(bio))
		dm_accept_partial_bio(bio, end - begin);
	return waits;
}

/* Whether a write to one chunk has to be preceded by a copy for this snapshot. */
static bool snap_wants_copy(struct dm_snapshot *snap, sector_t sector)
{
	u64 unused;

	return sector < READ_ONCE(snap->end) && READ_ONCE(snap->valid) &&
	       !snap_exception_lookup(&snap->exceptions, snap_chunk(snap, sector), &unused);
}

/**
 * struct snap_walk - the walk of a write over the snapshots of its origin
 * @origin: the origin
 * @bio:    the write, if it waits for the first copy that it makes, or NULL
 * @sector: the walk has come so far
 * @end:    where the write ends
 * @spare:  memory for a pending exception, or NULL
 * @list:   pending exceptions that it has made
 * @nr:     how many
 * @chunks: of how many chunks
 * @stretches: of how many stretches
 * @worst:  what is to be done about the worst of what was found
 * @snap:   snapshot where the walk has stopped
 */
struct snap_walk {
	struct snap_origin *origin;
	struct bio *bio;
	sector_t sector;
	sector_t end;
	struct snap_pending *spare;
	struct snap_pending_list list;
	unsigned int nr;
	u64 chunks;
	unsigned int stretches;
	enum snap_copy worst;
	struct dm_snapshot *snap;
};

/*
 * Makes the pending exception of a snapshot's chunks at the walk's sector up to @next, unless
 * somebody else has. If it is of fewer, @next becomes where it ends.
 */
static __always_inline enum snap_copy snap_walk_make(struct snap_walk *walk,
						     struct dm_snapshot *snap, bool one_chunk,
						     sector_t *next)
{
	u64 chunk = snap_chunk(snap, walk->sector);
	u64 nr = one_chunk ? 1 : snap_chunk(snap, *next - 1) - chunk + 1;
	struct snap_pending *pe;
	enum snap_copy copy;

	copy = snap_pending_find(snap, chunk, &nr, walk->nr ? NULL : walk->bio, &walk->spare, &pe);
	if (pe) {
		snap_pending_chain(&walk->list, pe);
		walk->nr++;
		walk->chunks += nr;
	}
	if (!one_chunk)
		*next = min(*next, (sector_t)(chunk + nr) << snap->store.chunk_shift);
	walk->worst = max(walk->worst, copy);
	return copy;
}

static void snap_walk_init(struct snap_walk *walk, struct snap_origin *origin, sector_t sector,
			   sector_t end)
{
	*walk = (struct snap_walk) { .origin = origin, .sector = sector, .end = end };
}

/* The walk, which has made nothing, begins again. */
static void snap_walk_restart(struct snap_walk *walk, sector_t begin)
{
	walk->sector = begin;
	walk->stretches = 0;
	walk->worst = SNAP_COPY_NOT_NEEDED;
}

/*
 * Whether a walk has made as much as is to be started at a time. One that has made nothing goes on:
 * its bio has to find something to wait for, or that there is nothing.
 */
static bool snap_walk_has_enough(const struct snap_walk *walk, bool throttle)
{
	return walk->nr && (walk->stretches >= SNAP_WALK_STRETCHES ||
			    (throttle && snap_copies_are_enough(walk->chunks)));
}

/*
 * Goes on with a walk, in a read section of the origin's SRCU, to the end of the write, or to where
 * enough copies have been made, or to a snapshot that @throttle tells to wait for, or that there is
 * no memory for. What is before the walk's sector is then dealt with for all snapshots.
 * Returns false if it has stopped before the end.
 */
static __always_inline bool snap_walk_on(struct snap_walk *walk, bool throttle, bool one_chunk)
{
	struct snap_origin *origin = walk->origin;
	struct dm_snapshot *snap;
	sector_t next;
	bool wants;

	for (; walk->sector < walk->end; walk->sector = next) {
		next = walk->end;
		if (!one_chunk) {
			if (unlikely(snap_walk_has_enough(walk, throttle)))
				return false;
			/* A hint: so the snapshots' pending exceptions are of the same chunks. */
			if (snap_origin_wants_copies(origin, walk->sector, &next))
				walk->stretches++;
		}
		dm_scaled_delay("snap-origin:walk");
		list_for_each_entry_srcu(snap, &origin->snapshots, list,
					 srcu_read_lock_held(&origin->srcu)) {
			/*
			 * What was known before may have changed: whether a copy is wanted, and for
			 * how many chunks, must come from the same look.
			 */
			wants = one_chunk ? snap_wants_copy(snap, walk->sector) :
					    snap_wants_copies(snap, walk->sector, &next);
			if (!wants)
				continue;
			walk->snap = snap;
			if (unlikely(snap_copies_exceeded(snap)) && throttle && !walk->nr)
				return false;
			if (unlikely(snap_walk_make(walk, snap, one_chunk, &next) ==
				     SNAP_COPY_PARK))
				return false;
		}
	}
	return true;
}

/* Lets a bio wait for a pending exception that somebody else has made. */
static bool snap_origin_join(struct snap_origin *origin, struct bio *bio)
{
	sector_t sector = bio->bi_iter.bi_sector, end;
	struct dm_snapshot *snap;
	bool joined = false;
	int idx;

	idx = srcu_read_lock(&origin->srcu);
	list_for_each_entry_srcu(snap, &origin->snapshots, list,
				 srcu_read_lock_held(&origin->srcu)) {
		end = min(bio_end_sector(bio), READ_ONCE(snap->end));
		if (sector < end && READ_ONCE(snap->valid)) {
			u64 chunk = snap_chunk(snap, sector);

			joined = snap_pending_join(snap, chunk,
						   snap_chunk(snap, end - 1) - chunk + 1, bio);
			if (joined)
				break;
		}
	}
	srcu_read_unlock(&origin->srcu, idx);

	return joined;
}

/*
 * A write to one chunk waits for the first exception that is ours: that cannot end before all are
 * made. One that may make many waits for the last, and is then nearly done.
 */
static __always_inline int snap_origin_copy(struct snap_origin *origin, struct bio *bio, bool retry,
					    bool one_chunk)
{
	sector_t begin = bio->bi_iter.bi_sector;
	struct dm_snapshot *throttled, *starved;
	bool done, parked, throttle = !retry;
	struct snap_walk walk;
	int idx;

	snap_walk_init(&walk, origin, begin, bio_end_sector(bio));
	walk.bio = one_chunk ? bio : NULL;
restart:
	throttled = NULL;
	starved = NULL;
	parked = false;
	idx = srcu_read_lock(&origin->srcu);
	done = snap_walk_on(&walk, throttle, one_chunk);
	/* A bio that waits is mapped again anyhow. */
	if (unlikely(!done && !walk.nr)) {
		if (walk.worst != SNAP_COPY_PARK) {
			throttle = false;
			throttled = snap_get(walk.snap);
		} else if (retry) {
			parked = true;
			snap_park(walk.snap, bio);
		} else {
			starved = snap_get(walk.snap);
		}
	}
	srcu_read_unlock(&origin->srcu, idx);
	/* The rest is another bio, which waits here for what this one could not have. */
	if (unlikely(!done && walk.nr && !retry && walk.sector > begin))
		dm_accept_partial_bio(bio, walk.sector - begin);

	if (unlikely(walk.spare)) {
		snap_pending_spare_free(walk.spare);
		walk.spare = NULL;
	}
	if (unlikely(throttled)) {
		snap_copies_wait(throttled);
		snap_put(throttled);
		snap_walk_restart(&walk, begin);
		goto restart;
	}
	if (unlikely(starved)) {
		/* Our reference is the spare's now. */
		walk.spare = snap_pending_wait(starved);
		snap_walk_restart(&walk, begin);
		goto restart;
	}

	dm_scaled_delay("snap-origin:start-copies");
	if (walk.nr) {
		if (!one_chunk)
			snap_pending_attach(&walk.list, bio);
		snap_pending_start(walk.list.first);
	}
	if (walk.nr || parked)
		return DM_MAPIO_SUBMITTED;
	if (walk.worst == SNAP_COPY_PENDING && snap_origin_join(origin, bio))
		return DM_MAPIO_SUBMITTED;
	return DM_MAPIO_REMAPPED;
}

static int snap_origin_copy_chunk(struct snap_origin *origin, struct bio *bio, bool retry)
{
	return snap_origin_copy(origin, bio, retry, true);
}

static noinline int snap_origin_copy_chunks(struct snap_origin *origin, struct bio *bio, bool retry)
{
	if (!retry && !snap_origin_cut(origin, bio))
		return DM_MAPIO_REMAPPED;
	return snap_origin_copy(origin, bio, retry, false);
}

int snap_origin_write(struct snap_origin *origin, struct bio *bio, bool retry)
{
	if (likely(snap_origin_is_one_chunk(origin, bio->bi_iter.bi_sector, bio_end_sector(bio))))
		return snap_origin_copy_chunk(origin, bio, retry);
	return snap_origin_copy_chunks(origin, bio, retry);
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

/* Starts what is missing of the copies. Returns what is to be done about the worst. */
static enum snap_copy snap_origin_start_copies(struct snap_origin *origin, sector_t begin,
					       sector_t end)
{
	struct snap_walk walk;
	int idx;

	snap_walk_init(&walk, origin, begin, end);
	idx = srcu_read_lock(&origin->srcu);
	if (!snap_walk_on(&walk, false, false))
		walk.worst = max(walk.worst, SNAP_COPY_PENDING);
	srcu_read_unlock(&origin->srcu, idx);

	snap_pending_start(walk.list.first);
	return walk.worst;
}

/* Where the first chunk is of which a copy is still wanted; @end if there is none. */
static sector_t snap_origin_copied_up_to(struct snap_origin *origin, sector_t sector, sector_t end)
{
	sector_t next;
	int idx;

	idx = srcu_read_lock(&origin->srcu);
	for (; sector < end; sector = next) {
		next = end;
		if (snap_origin_wants_copies(origin, sector, &next))
			break;
	}
	srcu_read_unlock(&origin->srcu, idx);
	return sector;
}

bool snap_origin_copy_out(struct snap_origin *origin, sector_t sector, sector_t count,
			  bool (*may_go_on)(void *arg), void *arg)
{
	sector_t end = sector + count;
	enum snap_copy copy;
	int copies;

	for (;;) {
		copies = atomic_read(&origin->copies);
		sector = snap_origin_copied_up_to(origin, sector, end);
		if (sector >= end)
			return true;
		copy = snap_origin_start_copies(origin, sector, end);
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
	ti->num_write_zeroes_bios = 1;
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

	return snap_origin_write(origin, bio, false);
}

/* The first write comes after this. */
static int snap_origin_preresume(struct dm_target *ti)
{
	struct snap_origin_target *o = ti->private;

	return snap_origin_track_reads(o->origin);
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
	.preresume = snap_origin_preresume,
	.resume = snap_origin_resumed,
	.postsuspend = snap_origin_postsuspend,
	.status = snap_origin_status,
	.iterate_devices = snap_origin_iterate_devices,
};
