// SPDX-License-Identifier: GPL-2.0-only
/*
 * A clone's commits: what flushes and FUA wait for, what happens once a second, and failures.
 *
 * If the metadata device fails the clone becomes read-only as far as its regions are concerned: no
 * more of them are hydrated. Those that have been stay where they are, in memory, with all that was
 * written to them. Flushes fail until that is on the metadata device, so nobody is told that
 * something is durable that is not. Resuming the device tries again.
 */
#define DM_MSG_PREFIX "clone-scaled"

#include <linux/bio.h>
#include <linux/blkdev.h>

#include "dm-clone-scaled.h"

#define CLONE_TICK	HZ

static void clone_set_mode(struct clone *clone, enum clone_mode mode)
{
	static const char * const names[] = { "read-write", "read-only", "fail" };

	lockdep_assert_held(&clone->commit_lock);

	if (clone->mode == mode || clone->mode == CLONE_FAIL)
		return;
	WRITE_ONCE(clone->mode, mode);
	DMINFO("%s: Switching to %s mode", clone_name(clone), names[mode]);
	dm_table_event(clone->ti->table);
}

static void clone_commit_failed(struct clone *clone, const char *what, int error)
{
	DMERR("%s: Cannot %s: error %d", clone_name(clone), what, error);
	error = clone_bitmap_verify(clone->bitmap);
	if (error)
		DMERR("%s: Metadata device cannot be read, or was changed: error %d",
		      clone_name(clone), error);
	clone_set_mode(clone, error ? CLONE_FAIL : CLONE_READ_ONLY);
}

static int clone_commit_locked(struct clone *clone, bool *flushed)
{
	int r;

	lockdep_assert_held(&clone->commit_lock);

	if (!clone_bitmap_stage(clone->bitmap))
		return 0;

	r = blkdev_issue_flush(clone->dest->bdev);
	if (r) {
		clone_commit_failed(clone, "flush the destination", r);
		return r;
	}
	*flushed = true;

	r = clone_bitmap_write(clone->bitmap);
	if (r) {
		clone_commit_failed(clone, "write to the metadata device", r);
		return r;
	}

	if (!clone->completed && clone_bitmap_is_complete(clone->bitmap)) {
		clone->completed = true;
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
	if (!clone_bitmap_is_clean(clone->bitmap))
		r = clone_writable(clone) ? clone_commit_locked(clone, flushed) : -EPERM;
	mutex_unlock(&clone->commit_lock);
	return r;
}

void clone_commit_recover(struct clone *clone)
{
	bool flushed;

	mutex_lock(&clone->commit_lock);
	if (clone->mode == CLONE_READ_ONLY && !clone_commit_locked(clone, &flushed))
		clone_set_mode(clone, CLONE_WRITE);
	mutex_unlock(&clone->commit_lock);
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
			submit_bio_noacct(bio);
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
	if (clone_bitmap_is_clean(clone->bitmap) && clone_bitmap_is_complete(clone->bitmap))
		clone->completed = true;
	else
		queue_delayed_work(clone->wq, &clone->tick, CLONE_TICK);
}

void clone_commit_stop(struct clone *clone)
{
	cancel_delayed_work_sync(&clone->tick);
	flush_work(&clone->commit_work);
	clone_commit(clone, NULL);
}
