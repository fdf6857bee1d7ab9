// SPDX-License-Identifier: GPL-2.0-only
/*
 * A clone's commits: what flushes and FUA wait for, what happens once a second, and failures.
 *
 * If the metadata device fails the clone becomes read-only as far as its regions are concerned: no
 * more of them are hydrated. Those that have been stay where they are, in memory, with all that was
 * written to them. Flushes fail until that is on the metadata device, so nobody is told that
 * something is durable that is not. Resuming the device tries again.
 *
 * If a flush of the destination fails, whoever sent it, the destination may have lost whatever was
 * written since the last one, and reports that once. No later flush shows that a region has
 * its data whose bit is not on the metadata device yet. Its old data in the source are not right
 * either, as a user may have written to it. So I/O to such regions fails, and flushes fail, also
 * after resuming the device and in a new table. Removing the clone and creating it again is, for
 * the regions, what a power cut is: the clone is what the metadata device says.
 */
#define DM_MSG_PREFIX "clone-scaled"

#include <linux/bio.h>
#include <linux/blkdev.h>

#include "dm-clone-scaled.h"
#include "dm-scaled-delay.h"

#define CLONE_TICK	HZ

/* The diagram of the modes is in dm-clone-scaled.h. */
static void clone_set_mode(struct clone *clone, enum clone_mode mode)
{
	static const char * const names[] = {
		[CLONE_WRITE] = "read-write",
		[CLONE_READ_ONLY] = "read-only",
		[CLONE_LOST] = "read-only (data lost)",
		[CLONE_FAIL] = "fail",
	};

	lockdep_assert_held(&clone->commit_lock);

	if (clone->mode == mode || clone->mode == CLONE_FAIL)
		return;
	if (WARN_ON_ONCE(clone->mode == CLONE_LOST && mode == CLONE_READ_ONLY))
		return;
	WRITE_ONCE(clone->mode, mode);
	DMINFO("%s: Switching to %s mode", clone_name(clone), names[mode]);
	dm_table_event(clone->ti->table);
}

/* Returns whether there are regions that may have lost their data. */
static bool clone_report_lost(struct clone *clone)
{
	unsigned long lost = clone_bitmap_lost(clone->bitmap);

	if (lost)
		DMERR("%s: %lu regions may have lost data: I/O to them fails until %s",
		      clone_name(clone), lost,
		      "the clone is removed and created again, which goes back to its last commit");
	return lost;
}

static void clone_commit_failed(struct clone *clone, enum clone_failure failure, int error)
{
	enum clone_mode mode = CLONE_READ_ONLY;

	lockdep_assert_held(&clone->commit_lock);

	switch (failure) {
	case CLONE_FAILURE_META:
		DMERR("%s: Cannot write to the metadata device: error %d", clone_name(clone),
		      error);
		error = clone_bitmap_verify(clone->bitmap);
		break;
	case CLONE_FAILURE_DEST:
		DMERR("%s: Cannot flush the destination: error %d", clone_name(clone), error);
		mode = CLONE_LOST;
		error = clone_bitmap_revert(clone->bitmap);
		break;
	}
	if (error) {
		DMERR("%s: Metadata device cannot be read, or was changed: error %d",
		      clone_name(clone), error);
		mode = CLONE_FAIL;
	}
	clone_set_mode(clone, mode);
	if (mode == CLONE_LOST)
		clone_report_lost(clone);
}

static int clone_flush_dest(struct clone *clone)
{
	int r = blkdev_issue_flush(clone->dest->bdev);

	/* The error may have been reported to a flush that a user has sent. */
	if (!r && READ_ONCE(clone->dest_failed))
		r = -EIO;
	return r;
}

static int clone_commit_locked(struct clone *clone, bool *flushed)
{
	int r;

	lockdep_assert_held(&clone->commit_lock);

	if (!clone_bitmap_stage(clone->bitmap))
		return 0;

	dm_scaled_delay("clone-commit:flush");
	r = clone_flush_dest(clone);
	if (r) {
		clone_commit_failed(clone, CLONE_FAILURE_DEST, r);
		return r;
	}
	*flushed = true;

	dm_scaled_delay("clone-commit:write");
	r = clone_bitmap_write(clone->bitmap);
	if (r) {
		clone_commit_failed(clone, CLONE_FAILURE_META, r);
		return r;
	}

	/* Regions that were hydrated since the first half are not in this commit. */
	if (!clone->completed && clone_bitmap_is_committed(clone->bitmap)) {
		WRITE_ONCE(clone->completed, true);
		dm_table_event(clone->ti->table);
	}
	return 0;
}

int clone_commit(struct clone *clone, bool *flushed)
{
	bool ignored;
	int r = 0;

	if (!flushed)
		flushed = &ignored;
	*flushed = false;

	mutex_lock(&clone->commit_lock);
	if (READ_ONCE(clone->dest_failed) && clone->mode < CLONE_LOST)
		clone_commit_failed(clone, CLONE_FAILURE_DEST, -EIO);
	if (!clone_bitmap_is_clean(clone->bitmap))
		r = clone_writable(clone) ? clone_commit_locked(clone, flushed) : -EPERM;
	mutex_unlock(&clone->commit_lock);
	return r;
}

void clone_dest_failed(struct clone *clone)
{
	/* Then no region depends on it any more. What users have written they know to be lost. */
	if (READ_ONCE(clone->completed))
		return;
	WRITE_ONCE(clone->dest_failed, true);
	queue_work(clone->wq, &clone->commit_work);
}

void clone_commit_recover(struct clone *clone)
{
	bool flushed, again = false;

	mutex_lock(&clone->commit_lock);
	if (clone->mode == CLONE_READ_ONLY)
		again = true;
	if (clone->mode == CLONE_LOST && !clone_report_lost(clone)) {
		/* Nothing has been copied or written since. */
		WRITE_ONCE(clone->dest_failed, false);
		again = true;
	}
	if (again && !clone_commit_locked(clone, &flushed))
		clone_set_mode(clone, CLONE_WRITE);
	mutex_unlock(&clone->commit_lock);
}

void clone_commit_adopt(struct clone *clone, struct clone *from)
{
	clone_bitmap_adopt(clone->bitmap, from->bitmap);
	if (from->mode == CLONE_LOST)
		clone->mode = CLONE_LOST;
}

/*
 *------------------------------------------------------------
 * Bios that wait
 *------------------------------------------------------------
 */

void clone_commit_wait(struct clone *clone, struct bio *bio)
{
	if (llist_add(&clone_bio_of(bio)->item.node, &clone->commits))
		queue_work(clone->wq, &clone->commit_work);
}

/* To the destination, as there was nothing to commit, or as it has data. */
static void clone_commit_submit(struct clone *clone, struct bio *bio)
{
	clone_bio_of(bio)->flushes = clone_bio_flushes(clone, bio);
	submit_bio_noacct(bio);
}

static void clone_commit_work(struct work_struct *work)
{
	struct clone *clone = container_of(work, struct clone, commit_work);
	struct llist_node *bios = llist_reverse_order(llist_del_all(&clone->commits));
	struct clone_bio *cb, *next;
	struct blk_plug plug;
	struct bio *bio;
	bool flushed;
	int r;

	r = clone_commit(clone, &flushed);

	blk_start_plug(&plug);
	llist_for_each_entry_safe(cb, next, bios, item.node) {
		bio = clone_bio_bio(cb);
		if (r)
			bio_io_error(bio);
		else if (cb->state == CLONE_BIO_FILLED ||
			 (bio->bi_opf & REQ_PREFLUSH && flushed))
			bio_endio(bio);
		else
			clone_commit_submit(clone, bio);
	}
	blk_finish_plug(&plug);
}

/*
 *------------------------------------------------------------
 * Once a second
 *------------------------------------------------------------
 */

static void clone_tick(struct work_struct *work)
{
	struct clone *clone = container_of(to_delayed_work(work), struct clone, tick);

	if (clone_writable(clone))
		clone_commit(clone, NULL);
	/* When all is done nothing can change any more. */
	if (!READ_ONCE(clone->completed))
		queue_delayed_work(clone->wq, &clone->tick, CLONE_TICK);
}

void clone_commit_init(struct clone *clone)
{
	mutex_init(&clone->commit_lock);
	init_llist_head(&clone->commits);
	INIT_WORK(&clone->commit_work, clone_commit_work);
	INIT_DELAYED_WORK(&clone->tick, clone_tick);
}

void clone_commit_run(struct clone *clone)
{
	if (clone_bitmap_is_committed(clone->bitmap))
		WRITE_ONCE(clone->completed, true);
	else
		queue_delayed_work(clone->wq, &clone->tick, CLONE_TICK);
}

void clone_commit_stop(struct clone *clone)
{
	cancel_delayed_work_sync(&clone->tick);
	flush_work(&clone->commit_work);
	clone_commit(clone, NULL);
}
