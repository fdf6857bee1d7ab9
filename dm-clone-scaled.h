/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the clone target share.
 *
 * A clone shows the contents of a source, which is only read, and takes writes: these go to a
 * destination, to which the source is copied, region by region. A region is hydrated when the
 * destination has it.
 */
#ifndef DM_CLONE_SCALED_H
#define DM_CLONE_SCALED_H

#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "dm-clone-bitmap.h"
#include "dm-kcopyd-mq.h"
#include "dm-scaled-bios.h"
#include "dm-scaled-devices.h"

struct clone_waiters;

/**
 * enum clone_mode - what may be done
 * @CLONE_WRITE:     everything
 * @CLONE_READ_ONLY: the metadata device failed: no region is hydrated any more
 * @CLONE_LOST:      the destination could not be flushed: no region is hydrated any more, and those
 *                   that were hydrated, but are not on the metadata device, are neither read nor
 *                   written, as their data may be lost; flushes fail
 * @CLONE_FAIL:      what the metadata device holds is not known: all I/O fails
 *
 *	        metadata error              flush error
 *	WRITE -----------------> READ_ONLY -------------> LOST
 *	  |  ^    resumed, committed  |                   ^  |
 *	  |  +------------------------+                   |  |
 *	  +-----------------------------------------------+  |
 *	  ^        flush error                               |
 *	  +--------------------------------------------------+
 *	           resumed, no such region
 *
 *	all -----> FAIL: the metadata device cannot be read, or is not the clone's any more
 *
 * clone_set_mode() makes all transitions. Each mode allows less than the one before. Status shows
 * READ_ONLY and LOST as "ro".
 */
enum clone_mode {
	CLONE_WRITE,
	CLONE_READ_ONLY,
	CLONE_LOST,
	CLONE_FAIL,
};

/**
 * enum clone_failure - what failed in a commit
 * @CLONE_FAILURE_META: writing to the metadata device: what was not written is written again later
 * @CLONE_FAILURE_DEST: flushing the destination: what it had in its cache is gone until shown
 *                      otherwise, and a flush that succeeds later shows nothing
 */
enum clone_failure {
	CLONE_FAILURE_META,
	CLONE_FAILURE_DEST,
};

/**
 * struct clone_cpu - what a CPU counts
 * @bios:   of the clone
 * @filled: regions whose filling, by whatever it is, has begun, less those where it has ended
 */
struct clone_cpu {
	struct dm_scaled_bios bios;
	long filled;
};

/**
 * struct clone_hydrator - copies regions that nobody has asked for
 * @lock:      protects all fields; taken once for a batch. Others read @threshold, @batch, @enabled
 *             and @copying without it
 * @work:      starts batches
 * @batches:   reserve of batches
 * @threshold: regions that may be copied at a time
 * @batch:     regions that are copied together
 * @enabled:   by the user
 * @running:   the device is not suspended
 * @next:      where to look for a region
 * @careful:   from this one on
 * @careful_end: to before this one regions are copied one by one, as together they failed
 * @copying:   regions being copied; set before a region is claimed, cleared after its release
 * @step:      sectors that may be copied at a time now, @ceiling at most; grows as long as nobody
 *             else does I/O
 * @ceiling:   where @step stops growing, as the devices are not faster
 * @latency:   ns that the quickest of the smallest copies takes with nothing else under way, a
 *             second if longer; 0: not known
 * @mean:      ns that they take on average
 * @run:       regions of the last batch, if there were no more beside each other; else 0
 * @probes:    such copies since @probe_at
 * @probed:    ns that they took, all together
 * @quickest:  ns that the quickest of them took
 * @measured:  ns; since then what copies of a full window take is averaged; 0: not now
 * @measured_took: ns that they took, all together
 * @measured_nr: number of them
 * @failures:  regions that failed one after another
 * @begun:     bios mapped when it was last looked
 * @others:    there were bios of others then
 * @retry_at:  ns; nothing is begun before
 * @probe_at:  ns; when @latency is measured again
 * @trickle_at: ns; when a small batch is due although others do I/O
 * @calm_at:   ns; @step does not grow before, as others have done I/O
 * @idle:      woken when @copying becomes 0
 */
struct clone_hydrator {
	struct mutex lock;	/* see above */
	struct delayed_work work;
	mempool_t batches;
	unsigned int threshold;
	unsigned int batch;
	bool enabled;
	bool running;
	unsigned long next;
	unsigned long careful;
	unsigned long careful_end;
	unsigned long copying;
	sector_t step;
	sector_t ceiling;
	u64 latency;
	u64 mean;
	unsigned long run;
	unsigned int probes;
	u64 probed;
	u64 quickest;
	u64 measured;
	u64 measured_took;
	unsigned int measured_nr;
	unsigned int failures;
	unsigned long begun;
	bool others;
	u64 retry_at;
	u64 probe_at;
	u64 trickle_at;
	u64 calm_at;
	wait_queue_head_t idle;
};

/**
 * struct clone - a clone target
 * @ti:           the target
 * @dest:         destination
 * @source:       source
 * @uses:         of these three devices
 * @bitmap:       which regions are hydrated
 * @busy:         bit for each region: somebody is filling it, and nobody else may
 * @region_shift: log2 of a region's sectors
 * @regions:      number of them
 * @mode:         what may be done; changes under @commit_lock
 * @kcopyd:       copies what a bio waits for, and runs what has to be done after a completion
 * @background:   copies what nobody waits for, when no task wants the CPU; who waits for it makes
 *                it urgent, see dm_kcopyd_mq_client_urgent_get()
 * @waiters:      bios that wait for a region that somebody is filling
 * @cpus:         per CPU
 * @meta:         metadata device
 * @list:         in the list of all clones
 * @loaded:       the bitmap has been loaded or taken over, and nobody has taken it over since
 * @passdown:     discards go to the destination
 * @pinned:       number of those who need it although it may be about to be destroyed
 * @commit_lock:  held during a commit, and when @mode changes
 * @dest_failed:  a flush of the destination has failed; the next commit changes @mode
 * @commits:      bios that wait for a commit
 * @commit_work:  commits for them
 * @tick:         commits once a second
 * @completed:    all regions are hydrated, and the metadata device says so; user space has been
 *                told; changes under @commit_lock
 * @hydrator:     copies in the background
 * @wq:           for all work
 * @args:         table line from the region size on, as it was given
 *
 * I/O reads the first fields and writes none of the structure's, but for the bits of the regions
 * concerned and the CPU's own counters.
 */
struct clone {
	struct dm_target *ti;
	struct dm_dev *dest;
	struct dm_dev *source;
	struct dm_scaled_use uses[3];
	struct clone_bitmap *bitmap;
	unsigned long *busy;
	unsigned int region_shift;
	unsigned long regions;
	enum clone_mode mode;
	struct dm_kcopyd_mq_client *kcopyd;
	struct dm_kcopyd_mq_client *background;
	struct clone_waiters *waiters;
	struct clone_cpu __percpu *cpus;

	struct dm_dev *meta;
	struct list_head list;
	bool loaded;
	bool passdown;
	unsigned int pinned;
	struct mutex commit_lock;	/* see above */
	bool dest_failed;
	struct llist_head commits;
	struct work_struct commit_work;
	struct delayed_work tick;
	bool completed;
	struct clone_hydrator hydrator;
	struct workqueue_struct *wq;
	char *args;
};

/**
 * enum clone_bio_state - what its end means
 * @CLONE_BIO_PLAIN:  nothing more
 * @CLONE_BIO_FILLED: what it fills is over, and so is a commit
 * @CLONE_BIO_FILLS:  its region is hydrated, as the bio has written all of it
 * @CLONE_BIO_FILLS_RANGE: its regions are, once what it has not written of them has been copied
 */
enum clone_bio_state {
	CLONE_BIO_PLAIN,
	CLONE_BIO_FILLED,
	CLONE_BIO_FILLS,
	CLONE_BIO_FILLS_RANGE,
};

/**
 * struct clone_bio - data of each bio that a clone maps
 * @item:   goes on with it, in the engine's worker; or its place among those that wait for a commit
 * @ticket: starts the copy of its region, or those of what it leaves of a range
 * @clone:  whose
 * @region: that it waits for or fills, or the first of the range that it fills
 * @nr:     regions from the first to the last one that it fills; those between that are hydrated
 *          already are not its own
 * @state:  what its end means
 * @cpu:    where to go on
 * @status: what became of the region that it has waited for, or of the write of a range
 * @head:   sectors before the write that have to be copied; 0 once that has been submitted
 * @tail:   sectors behind it
 * @parts:  of the write and these copies, those that have not ended
 * @head_failed: so did that copy
 * @tail_failed: likewise
 * @fua:    it fills its regions, which must be on the metadata device before its end is told
 * @flushes: it was sent to the destination as a flush: its error says that the cache was lost
 * @urgent: it waits, and has made the background urgent
 */
struct clone_bio {
	struct dm_kcopyd_mq_item item;
	struct dm_kcopyd_mq_ticket ticket;
	struct clone *clone;
	unsigned long region;
	unsigned long nr;
	enum clone_bio_state state;
	unsigned int cpu;
	blk_status_t status;
	unsigned int head;
	unsigned int tail;
	atomic_t parts;
	bool head_failed;
	bool tail_failed;
	bool fua;
	bool flushes;
	bool urgent;
};

static inline struct clone_bio *clone_bio_of(struct bio *bio)
{
	return dm_per_bio_data(bio, sizeof(struct clone_bio));
}

static inline struct bio *clone_bio_bio(struct clone_bio *cb)
{
	return dm_bio_from_per_bio_data(cb, sizeof(*cb));
}

static inline sector_t clone_region_size(const struct clone *clone)
{
	return (sector_t)1 << clone->region_shift;
}

static inline const char *clone_name(const struct clone *clone)
{
	return dm_table_device_name(clone->ti->table);
}

static inline bool clone_writable(const struct clone *clone)
{
	return likely(READ_ONCE(clone->mode) == CLONE_WRITE);
}

/*
 * Whether an error of a bio says that the destination could not write its cache. With FUA only if
 * the block layer makes a write and a flush of it.
 */
static inline bool clone_bio_flushes(struct clone *clone, struct bio *bio)
{
	return bio->bi_opf & REQ_PREFLUSH ||
	       (bio->bi_opf & REQ_FUA && !bdev_fua(clone->dest->bdev));
}

static inline sector_t clone_first_sector(const struct clone *clone, unsigned long region)
{
	return (sector_t)region << clone->region_shift;
}

/* Sectors of some regions; the last region of all may be a short one. */
static inline sector_t clone_sectors(const struct clone *clone, unsigned long region,
				     unsigned long nr)
{
	sector_t first = clone_first_sector(clone, region);

	return min(clone_first_sector(clone, region + nr), clone->ti->len) - first;
}

/*
 * Whether the background may be the one that fills a region whose busy bit the caller has just
 * seen. The background sets @copying before it claims a region.
 */
static inline bool clone_hydrator_is_copying(const struct clone *clone)
{
	/* Pairs with the full barrier of test_and_set_bit() in clone_region_claim(). */
	smp_rmb();
	return READ_ONCE(clone->hydrator.copying);
}

/* dm-clone-region.c: regions being filled, and the bios that do so or wait for it. */

/**
 * clone_waiters_create() - make room for bios that wait for regions
 *
 * Return: what clone_waiters_destroy() takes, or NULL.
 */
struct clone_waiters *clone_waiters_create(void);
void clone_waiters_destroy(struct clone_waiters *waiters);

/**
 * clone_region_claim() - become the one that fills a region
 * @clone:  the clone
 * @region: the region
 *
 * Context: any.
 * Return: true if it is the caller's, until clone_region_release(); false if it is being filled, or
 * has been.
 */
bool clone_region_claim(struct clone *clone, unsigned long region);

/**
 * clone_region_release() - a region is filled, or failed to be
 * @clone:  the clone
 * @region: a region that clone_region_claim() has given to the caller
 * @status: an error if the region itself could not be copied: bios that wait for it fail with it.
 *          BLK_STS_OK otherwise: they look at the region again, and fill it if nobody has
 *
 * Bios that wait for it go on, on their own CPUs.
 *
 * Context: any.
 */
void clone_region_release(struct clone *clone, unsigned long region, blk_status_t status);

/**
 * clone_region_filled() - release a region, which is hydrated if nothing failed
 * @clone:  the clone
 * @region: a region that clone_region_claim() has given to the caller
 * @status: what became of the attempt to fill it
 *
 * Context: any.
 * Return: @status, or BLK_STS_IOERR if that can no longer be recorded.
 */
blk_status_t clone_region_filled(struct clone *clone, unsigned long region, blk_status_t status);

/**
 * clone_region_abandon() - release a region whose filling failed, without saying why
 * @clone:  the clone
 * @region: a region that clone_region_claim() has given to the caller
 *
 * For regions that were copied together with others, or by a write that was meant to replace them:
 * the error may belong to another region, or to that write alone. Bios that wait for the region
 * fill it themselves. Only a copy of one region on behalf of a bio passes its error on to the bios
 * that wait, by clone_region_filled().
 *
 * Context: any.
 */
void clone_region_abandon(struct clone *clone, unsigned long region);

/**
 * clone_copy() - copy neighbouring regions to the destination
 * @clone:   the clone
 * @kcopyd:  one of its two engines
 * @ticket:  from dm_kcopyd_mq_reserve() with @kcopyd
 * @region:  the first one; all are the caller's, by clone_region_claim()
 * @nr:      number of them
 * @fn:      called at the end, see dm_kcopyd_mq_copy()
 * @context: for @fn
 *
 * Context: process context, any thread: waits for nothing.
 */
void clone_copy(struct clone *clone, struct dm_kcopyd_mq_client *kcopyd,
		struct dm_kcopyd_mq_ticket *ticket, unsigned long region, unsigned long nr,
		dm_kcopyd_notify_fn fn, void *context);

/**
 * clone_map() - map a bio
 * @ti:  the target
 * @bio: the bio
 *
 * Context: process context.
 * Return: DM_MAPIO_*.
 */
int clone_map(struct dm_target *ti, struct bio *bio);

/**
 * clone_end_io() - a mapped bio has ended
 * @ti:    the target
 * @bio:   the bio
 * @error: its status, which may be changed
 *
 * Context: any.
 * Return: DM_ENDIO_*.
 */
int clone_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error);

/* dm-clone-commit.c: commits, and what happens if they fail. */

/**
 * clone_commit() - make durable which regions are hydrated
 * @clone:   the clone
 * @flushed: set to whether the destination was flushed for that; may be NULL
 *
 * Context: process context, does I/O.
 * Return: 0, or a negative error code: the mode has changed, or does not allow it.
 */
int clone_commit(struct clone *clone, bool *flushed);

/**
 * clone_commit_wait() - have a bio wait for a commit
 * @clone: the clone
 * @bio:   a flush or a write with FUA, pointing at the destination; or, after its end, one that has
 *         filled a region
 *
 * Context: any.
 */
void clone_commit_wait(struct clone *clone, struct bio *bio);

/**
 * clone_dest_failed() - a flush that was sent to the destination failed
 * @clone: the clone
 *
 * The destination may have lost what other regions were filled with, so that a later flush, though
 * it succeeds, means nothing for them.
 *
 * Context: any.
 */
void clone_dest_failed(struct clone *clone);

/**
 * clone_commit_adopt() - take over from another target which regions are hydrated, and what is lost
 * @clone: the clone, which nobody uses yet
 * @from:  the other one, suspended; its metadata device is known
 *
 * Context: process context.
 */
void clone_commit_adopt(struct clone *clone, struct clone *from);

/**
 * clone_commit_recover() - try once more what has failed
 * @clone: the clone, to which no bio is mapped and for which nothing is copied
 *
 * After an error of the metadata device all that was not written is written. After an error of the
 * destination's flush nothing is tried as long as data may be lost.
 *
 * Context: process context, does I/O.
 */
void clone_commit_recover(struct clone *clone);

void clone_commit_init(struct clone *clone);

/**
 * clone_commit_run() - commit once a second
 * @clone: the clone
 */
void clone_commit_run(struct clone *clone);

/**
 * clone_commit_stop() - commit what there is, and no more
 * @clone: the clone, to which no bio is mapped and for which nothing is copied
 */
void clone_commit_stop(struct clone *clone);

/* dm-clone-hydrate.c: copies in the background. */

/**
 * clone_hydrator_init() - set up the background's copies; they do not run
 * @clone: the clone
 *
 * Return: 0 or -ENOMEM.
 */
int clone_hydrator_init(struct clone *clone);
void clone_hydrator_exit(struct clone *clone);

/**
 * clone_hydrator_set() - change how much is copied at a time
 * @clone:     the clone
 * @threshold: regions at a time, or NULL
 * @batch:     regions together, or NULL
 */
void clone_hydrator_set(struct clone *clone, const unsigned int *threshold,
			const unsigned int *batch);

/**
 * clone_hydrator_enable() - let it copy, or do not
 * @clone:  the clone
 * @enable: what the user wants
 */
void clone_hydrator_enable(struct clone *clone, bool enable);

/**
 * clone_hydrator_run() - the device is in use
 * @clone: the clone
 */
void clone_hydrator_run(struct clone *clone);

/**
 * clone_hydrator_stop() - start no more copies, and wait for those under way
 * @clone: the clone
 */
void clone_hydrator_stop(struct clone *clone);

int clone_hydrator_module_init(void);
void clone_hydrator_module_exit(void);

/* dm-clone-scaled.c: the target. */

/**
 * dm_clone_scaled_init() - what all clones share; dm_clone_scaled_exit() undoes this and the rest
 *
 * Return: 0 or a negative error, which has been logged.
 */
int dm_clone_scaled_init(void);

/**
 * dm_clone_scaled_register() - register the target; once, after dm_clone_scaled_init()
 *
 * Return: 0 or a negative error, which has been logged.
 */
int dm_clone_scaled_register(void);

/**
 * dm_clone_scaled_take_over() - register the target under stock's name, too
 *
 * Once, after dm_clone_scaled_register(); dm_clone_scaled_exit() gives the name back.
 *
 * Return: 0 or a negative error, which has been logged: -EEXIST, or -EBUSY in later kernels,
 * if dm-clone is loaded.
 */
int dm_clone_scaled_take_over(void);
void dm_clone_scaled_exit(void);

#endif /* DM_CLONE_SCALED_H */
