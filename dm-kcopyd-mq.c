// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-kcopyd-mq: a copy engine in which every job stays on the CPU that submitted it.
 *
 * A small copy is read by its submitter. When the read has come back, its completion puts the job
 * on the lock-less list of the job's CPU; the worker of that CPU, which is started only if the list
 * was empty, takes the whole list at once, and under one plug writes what was read and calls back
 * what was written. Under load a worker finds many jobs at a time and the block layer merges their
 * writes; without load it finds one.
 *
 * Here is what becomes of a job; lists, workers and clients are in dm-kcopyd-mq-client.c.
 */
#define DM_MSG_PREFIX "kcopyd-mq"

#include <linux/blk-cgroup.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "compat.h"
#include "dm-kcopyd-mq-job.h"
#include "dm-scaled-cache.h"
#include "dm-scaled-delay.h"

/* Segments of one copy that are in flight at a time. */
#define KMQ_SPLIT		8
/* How often, and for how long, the throttle may hold a job back. */
#define KMQ_MAX_DELAYS		10
#define KMQ_DELAY		(HZ / 10)
#define KMQ_MIN_BIOS		DM_KCOPYD_MAX_REGIONS

/* Every write of zeroes has this table. */
static struct bio_vec *kmq_zero_vecs;

/* Keeps the slab cache for struct kmq_bio, which would else come and go with the clients. */
static struct bio_set kmq_keep_bios;

/**
 * struct kmq_bio - write to a second or later destination
 * @job:  whose write
 * @dest: number of the destination
 * @bio:  the write
 */
struct kmq_bio {
	struct kmq_job *job;
	unsigned int dest;
	struct bio bio;
};

static struct kmq_job *kmq_job_of(struct dm_kcopyd_mq_item *item)
{
	return container_of(item, struct kmq_job, item);
}

/*
 *------------------------------------------------------------
 * Bios
 *------------------------------------------------------------
 */

/*
 * Copies serve whoever wrote to the device, not only the task in whose context they are submitted;
 * so they are the root group's, and a limit of that task's group does not hold up others.
 */
static void kmq_bio_aim(struct bio *bio, struct block_device *bdev, sector_t sector)
{
	bio->bi_bdev = bdev;
	bio->bi_iter.bi_sector = sector;
	bio_associate_blkg_from_css(bio, blkcg_root_css);
}

static void kmq_read_endio(struct bio *bio)
{
	kmq_queue(bio->bi_private);
}

/* Reads @count sectors, from @skip on, of the job's segment into its pages from @vecs on. */
static void kmq_submit_read(struct kmq_job *job, struct bio_vec *vecs, unsigned int nr_vecs,
			    unsigned int skip, unsigned int count, enum kmq_state next)
{
	const struct dm_io_region *source = &job->first->source;
	struct bio *bio = &job->bio;

	bio_init(bio, NULL, vecs, nr_vecs, REQ_OP_READ);
	bio->bi_vcnt = nr_vecs;
	bio->bi_iter.bi_size = count << SECTOR_SHIFT;
	kmq_bio_aim(bio, source->bdev, source->sector + job->offset + skip);
	bio->bi_end_io = kmq_read_endio;
	bio->bi_private = job;
	job->state = next;
	submit_bio_noacct(bio);
}

static void kmq_read(struct kmq_job *job)
{
	unsigned int nr_vecs = DIV_ROUND_UP(job->count, PAGE_SECTORS);

	job->vecs[nr_vecs - 1].bv_len =
		(job->count - (nr_vecs - 1) * PAGE_SECTORS) << SECTOR_SHIFT;
	kmq_submit_read(job, job->vecs, nr_vecs, 0, job->count, KMQ_READ);
}

static void kmq_write_done(struct kmq_job *job, unsigned int dest, blk_status_t status)
{
	if (unlikely(status)) {
		/* Disks that do not know the command give various errors. Writing decides. */
		if (job->op == REQ_OP_WRITE_ZEROES)
			set_bit(dest, &job->unsupported);
		else
			set_bit(dest, &job->failed);
	}
	if (job->first->num_dests == 1 || atomic_dec_and_test(&job->writes))
		kmq_queue(job);
}

static void kmq_write_endio(struct bio *bio)
{
	struct kmq_job *job = bio->bi_private;

	kmq_write_done(job, job->own_dest, bio->bi_status);
}

static void kmq_extra_write_endio(struct bio *bio)
{
	struct kmq_bio *kb = container_of(bio, struct kmq_bio, bio);
	struct kmq_job *job = kb->job;
	unsigned int dest = kb->dest;
	blk_status_t status = bio->bi_status;

	bio_put(bio);
	kmq_write_done(job, dest, status);
}

static blk_opf_t kmq_write_opf(const struct kmq_job *job)
{
	if (likely(job->op == REQ_OP_WRITE))
		return REQ_OP_WRITE;
	return job->op | (job->first->flags & BIT(DM_KCOPYD_MQ_NOUNMAP) ? REQ_NOUNMAP : 0);
}

static void kmq_setup_write(struct kmq_job *job, struct bio *bio, unsigned int dest)
{
	const struct dm_io_region *to = &job->first->dests[dest];

	if (job->op == REQ_OP_WRITE) {
		/* The table is not the bio's: bi_max_vecs stays 0, or bio_put() frees it. */
		bio->bi_io_vec = job->zero ? kmq_zero_vecs : job->vecs;
		bio->bi_vcnt = DIV_ROUND_UP(job->write_count, PAGE_SECTORS);
	}
	bio->bi_iter.bi_size = job->write_count << SECTOR_SHIFT;
	kmq_bio_aim(bio, to->bdev, to->sector + job->offset);
}

static struct kmq_bio *kmq_bio_try_alloc(struct kmq_job *job)
{
	struct bio *bio;

	if (unlikely(dm_scaled_no_memory()))
		return NULL;
	bio = bio_alloc_bioset(NULL, 0, kmq_write_opf(job), GFP_NOWAIT | __GFP_NOWARN,
			       &job->kc->bios);
	return bio ? container_of(bio, struct kmq_bio, bio) : NULL;
}

/* Without memory for a bio, the job's own writes to that destination later. */
static void kmq_write_extra(struct kmq_job *job, unsigned int dest)
{
	struct kmq_bio *kb = kmq_bio_try_alloc(job);

	if (unlikely(!kb)) {
		job->unwritten |= BIT(dest);
		atomic_dec(&job->writes);
		return;
	}
	kb->job = job;
	kb->dest = dest;
	kmq_setup_write(job, &kb->bio, dest);
	kb->bio.bi_end_io = kmq_extra_write_endio;
	submit_bio_noacct(&kb->bio);
}

/* Writes the job's segment to those destinations whose bit is set. */
static void kmq_write(struct kmq_job *job, unsigned long which)
{
	unsigned int own = __ffs(which), dest;

	job->state = KMQ_WRITE;
	job->own_dest = own;
	/* The job's own bio comes last: until it has been submitted the job stays ours. */
	if (job->first->num_dests > 1) {
		atomic_set(&job->writes, hweight_long(which));
		for (dest = job->first->num_dests - 1; dest > own; dest--)
			if (which & BIT(dest))
				kmq_write_extra(job, dest);
	}

	bio_init(&job->bio, NULL, NULL, 0, kmq_write_opf(job));
	kmq_setup_write(job, &job->bio, own);
	job->bio.bi_end_io = kmq_write_endio;
	job->bio.bi_private = job;
	submit_bio_noacct(&job->bio);
}

/*
 *------------------------------------------------------------
 * Jobs
 *------------------------------------------------------------
 */

static bool kmq_is_throttled(const struct dm_kcopyd_mq_client *kc)
{
	return unlikely(kc->throttle && READ_ONCE(kc->throttle->throttle) < 100);
}

/* Whether a failed read is repeated page by page. */
static bool kmq_salvages(const struct kmq_job *job)
{
	return job->first->flags & BIT(DM_KCOPYD_IGNORE_ERROR);
}

static bool kmq_writes_in_order(const struct kmq_job *job)
{
	return job->first->flags & BIT(DM_KCOPYD_WRITE_SEQ);
}

/* Whether an error has ended the copy: no more segments are begun. */
static bool kmq_has_failed(const struct kmq_job *first)
{
	if (likely(!first->read_err && !first->write_err) || kmq_salvages(first))
		return false;
	return first->read_err || !(first->flags & BIT(DM_KCOPYD_MQ_IGNORE_WRITE_ERROR));
}

/* The copy is over; @job stands for it. */
static void kmq_finish(struct kmq_job *job)
{
	struct dm_kcopyd_mq_client *kc = job->kc;
	dm_kcopyd_notify_fn fn = job->fn;
	void *context = job->context;
	unsigned long write_err = job->write_err;
	int read_err = job->read_err;

	if (job->accounted)
		kmq_throttle_finish(kc->throttle, jiffies);

	kmq_job_free(job);
	fn(read_err, write_err, context);
	dm_scaled_refs_put(&kc->refs);
}

/* Goes on with what a job that was short of memory has left, as far as it has pages, if any. */
static void kmq_next_of_rest(struct kmq_job *job)
{
	job->offset += job->count;
	job->count = job->rest;
	if (job->nr_pages)
		job->count = min_t(unsigned int, job->rest, job->nr_pages * PAGE_SECTORS);
	job->rest -= job->count;
	job->write_count = job->count;
}

/* Gives the job its next segment. */
static bool kmq_next_segment(struct kmq_job *job)
{
	struct kmq_job *first = job->first;
	sector_t left = first->source.count - first->progress;

	if (kmq_has_failed(first))
		return false;
	if (unlikely(job->rest)) {
		kmq_next_of_rest(job);
		return true;
	}
	if (!left)
		return false;

	job->offset = first->progress;
	job->count = min_t(sector_t, left, job->kc->sub_job_size);
	job->offload = unlikely(job->kc->offload) && kmq_offload_segment(job);
	job->write_count = job->count;
	first->progress += job->count;
	return true;
}

static void kmq_begin(struct kmq_job *job);
static void kmq_release_ordered(struct kmq_job *first);
static void kmq_run(struct dm_kcopyd_mq_item *item);

static void kmq_segment_end(struct kmq_job *job)
{
	struct kmq_job *first = job->first;

	first->write_err |= job->failed;
	job->failed = 0;
	/*
	 * Somebody may be short of the pages of this segment; then the next one gets new ones. A
	 * job that writes in order keeps them while it has a rest, see dm-kcopyd-mq-mem.c.
	 */
	if (likely(!job->rest || !kmq_writes_in_order(job)))
		kmq_pages_put(job);

	if (kmq_next_segment(job)) {
		kmq_begin(job);
		return;
	}

	kmq_pages_put(job);
	if (job != first)
		kmq_job_free(job);
	if (!--first->live)
		kmq_finish(first);
}

void kmq_write_segment(struct kmq_job *job)
{
	struct kmq_job *first = job->first;

	if (likely(!kmq_writes_in_order(job))) {
		kmq_write(job, GENMASK(first->num_dests - 1, 0));
		return;
	}

	list_add_tail(&job->list, &first->seq_wait);
	kmq_release_ordered(first);
}

/*
 * Starts those writes whose turn has come. After an error there are no more turns: segments end
 * without being written. The count in @live keeps the copy from being finished meanwhile.
 */
static void kmq_release_ordered(struct kmq_job *first)
{
	struct kmq_job *job, *next;

	first->live++;
restart:
	list_for_each_entry_safe(job, next, &first->seq_wait, list) {
		if (kmq_has_failed(first)) {
			list_del(&job->list);
			kmq_segment_end(job);
			goto restart;
		}
		if (job->offset == first->write_pos) {
			list_del(&job->list);
			first->write_pos += job->count;
			kmq_write(job, GENMASK(first->num_dests - 1, 0));
			goto restart;
		}
	}
	if (!--first->live)
		kmq_finish(first);
}

static void kmq_begin(struct kmq_job *job)
{
	if (job->first->zero) {
		kmq_write_segment(job);
		return;
	}
	if (unlikely(job->offload)) {
		job->state = KMQ_OFFLOAD;
		kmq_queue(job);
		return;
	}

	job->state = KMQ_NEW;
	if (job->nr_pages || kmq_pages_get(job))
		kmq_read(job);
}

static void kmq_read_end(struct kmq_job *job)
{
	/* Not read_err, which may be that of another segment. */
	if (likely(!job->bio.bi_status)) {
		kmq_write_segment(job);
		return;
	}

	job->first->read_err = 1;
	if (!kmq_salvages(job)) {
		if (kmq_writes_in_order(job)) {
			kmq_write_segment(job);
			return;
		}
		kmq_segment_end(job);
		return;
	}

	/* What can be read is copied, page by page. */
	job->salvaged = 0;
	kmq_submit_read(job, job->vecs, 1, 0, job->vecs[0].bv_len >> SECTOR_SHIFT, KMQ_SALVAGE);
}

/* One page of a failed read is back. What cannot be read becomes zeroes: no old contents leak. */
static void kmq_salvage_end(struct kmq_job *job)
{
	unsigned int nr_vecs = DIV_ROUND_UP(job->count, PAGE_SECTORS);
	struct bio_vec *vec = &job->vecs[job->salvaged];

	if (job->bio.bi_status)
		memzero_page(vec->bv_page, 0, PAGE_SIZE);

	if (++job->salvaged < nr_vecs) {
		vec++;
		kmq_submit_read(job, vec, 1, job->salvaged * PAGE_SECTORS,
				vec->bv_len >> SECTOR_SHIFT, KMQ_SALVAGE);
		return;
	}
	kmq_write_segment(job);
}

static struct kmq_job *kmq_job_in_list(struct llist_node *node)
{
	struct dm_kcopyd_mq_item *item = llist_entry(node, struct dm_kcopyd_mq_item, node);

	return item->fn == kmq_run ? kmq_job_of(item) : NULL;
}

struct kmq_job *kmq_ready_to_offload(struct llist_node *node)
{
	struct kmq_job *job = kmq_job_in_list(node);

	return job && job->state == KMQ_OFFLOAD ? job : NULL;
}

struct kmq_job *kmq_ready_to_gather(struct llist_node *node)
{
	struct kmq_job *job = kmq_job_in_list(node);

	if (!job)
		return NULL;
	if (job->state != KMQ_READ || job->bio.bi_status || kmq_writes_in_order(job))
		return NULL;
	if (job->nr_pages >= KMQ_INLINE_VECS || job->count % PAGE_SECTORS)
		return NULL;
	return job;
}

/* Writes jobs one by one that could not be written together. */
static void kmq_write_apart(struct kmq_job *job)
{
	unsigned long failed = job->failed;
	struct kmq_job *next;

	for (; job; job = next) {
		next = job->gather;
		job->gather = NULL;
		job->write_count = job->count;
		job->failed = 0;
		kmq_write(job, failed);
	}
}

static void kmq_write_end(struct kmq_job *job)
{
	unsigned long refused = job->unsupported, unwritten = job->unwritten;
	struct kmq_job *next;

	if (unlikely(unwritten)) {
		job->unwritten = 0;
		kmq_write(job, unwritten);
		return;
	}

	if (unlikely(refused)) {
		job->unsupported = 0;
		job->op = REQ_OP_WRITE;
		kmq_write(job, refused);
		return;
	}

	if (unlikely(kmq_writes_in_order(job)) && job->failed) {
		struct kmq_job *first = job->first;

		first->live++;
		kmq_segment_end(job);
		kmq_release_ordered(first);
		if (!--first->live)
			kmq_finish(first);
		return;
	}

	if (unlikely(job->gather && job->failed)) {
		kmq_write_apart(job);
		return;
	}
	do {
		next = job->gather;
		job->gather = NULL;
		kmq_segment_end(job);
		job = next;
	} while (job);
}

/* The device has copied the segments of all jobs in the chain, or they are read and written. */
static void kmq_offload_end(struct kmq_job *job)
{
	bool failed = job->failed;
	struct kmq_job *next;

	for (; job; job = next) {
		next = job->gather;
		job->gather = NULL;
		job->failed = 0;
		if (likely(!failed)) {
			kmq_segment_end(job);
		} else {
			job->offload = false;
			kmq_begin(job);
		}
	}
}

/* Starts a job: alone, or with helpers if the copy has several segments. */
static void kmq_start(struct kmq_job *job)
{
	struct dm_kcopyd_mq_client *kc = job->kc;
	unsigned int i;

	if (kmq_is_throttled(kc) && !job->accounted) {
		if (!kmq_throttle_start(kc->throttle, job->delays >= KMQ_MAX_DELAYS, jiffies)) {
			job->delays++;
			spin_lock(&kc->delay_lock);
			list_add_tail(&job->list, &kc->delayed);
			spin_unlock(&kc->delay_lock);
			queue_delayed_work(kc->wq, &kc->delay_work, KMQ_DELAY);
			return;
		}
		job->accounted = true;
	}

	/*
	 * In ascending order: with WRITE_SEQ a segment holds its pages until those before it are
	 * written, so those before it must not wait for pages behind it.
	 */
	job->live = 1;
	kmq_begin(job);
	for (i = 1; i < KMQ_SPLIT && job->progress < job->source.count; i++) {
		struct kmq_job *helper = kmq_job_try_alloc();

		if (!helper)
			break;

		helper->item.fn = job->item.fn;
		helper->kc = kc;
		helper->cpu = job->cpu;
		helper->op = job->op;
		helper->zero = job->zero;
		helper->accounted = false;
		helper->failed = 0;
		helper->unsupported = 0;
		helper->unwritten = 0;
		helper->gather = NULL;
		helper->rest = 0;
		helper->vecs = helper->inline_vecs;
		helper->first = job;
		if (!kmq_next_segment(helper)) {
			kmq_job_free(helper);
			break;
		}
		job->live++;
		kmq_begin(helper);
	}
}

static void kmq_run(struct dm_kcopyd_mq_item *item)
{
	struct kmq_job *job = kmq_job_of(item);

	switch (job->state) {
	case KMQ_NEW:
		if (job->first != job || job->live)
			kmq_begin(job);
		else
			kmq_start(job);
		break;
	case KMQ_READ:
		kmq_read_end(job);
		break;
	case KMQ_SALVAGE:
		kmq_salvage_end(job);
		break;
	case KMQ_WRITE:
		kmq_write_end(job);
		break;
	case KMQ_OFFLOAD:
		kmq_offload_chain(job);
		break;
	case KMQ_OFFLOADED:
		kmq_offload_end(job);
		break;
	case KMQ_CALLBACK:
		kmq_finish(job);
		break;
	}
}

/*
 *------------------------------------------------------------
 * Interface
 *------------------------------------------------------------
 */

static struct kmq_job *kmq_prepare(struct dm_kcopyd_mq_client *kc,
				   struct dm_kcopyd_mq_ticket *ticket, dm_kcopyd_notify_fn fn,
				   void *context, bool *direct)
{
	struct kmq_job *job;
	unsigned int cpu;

	if (ticket) {
		job = ticket->job;
		cpu = ticket->cpu;
		*direct = ticket->direct;
	} else {
		cpu = kmq_enter(kc);
		job = kmq_job_alloc(kc, direct);
	}
	job->item.fn = kmq_run;
	job->kc = kc;
	job->cpu = cpu;
	job->flags = 0;
	job->zero = false;
	job->accounted = false;
	job->delays = 0;
	job->read_err = 0;
	job->write_err = 0;
	job->failed = 0;
	job->unsupported = 0;
	job->unwritten = 0;
	job->fn = fn;
	job->context = context;
	job->first = job;
	job->live = 0;
	job->gather = NULL;
	job->rest = 0;
	job->vecs = job->inline_vecs;
	return job;
}

/* @ticket is NULL if the caller may wait. */
static void kmq_submit(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket,
		       const struct dm_io_region *from, unsigned int num_dests,
		       const struct dm_io_region *dests, unsigned int flags,
		       dm_kcopyd_notify_fn fn, void *context)
{
	struct kmq_job *job;
	unsigned int i;
	bool direct;

	job = kmq_prepare(kc, ticket, fn, context, &direct);

	if (unlikely(!num_dests || num_dests > DM_KCOPYD_MAX_REGIONS)) {
		DMERR_LIMIT("Copy to %u destinations: must be 1 to %d", num_dests,
			    DM_KCOPYD_MAX_REGIONS);
		job->read_err = 1;
		job->write_err = ~0UL;
		job->state = KMQ_CALLBACK;
		kmq_queue(job);
		return;
	}

	job->num_dests = num_dests;
	memcpy(job->dests, dests, num_dests * sizeof(*dests));
	for (i = 0; i < num_dests; i++)
		if (dm_scaled_bdev_writes_in_order(dests[i].bdev))
			flags |= BIT(DM_KCOPYD_WRITE_SEQ);
	if (flags & BIT(DM_KCOPYD_WRITE_SEQ))
		flags &= ~(BIT(DM_KCOPYD_IGNORE_ERROR) | BIT(DM_KCOPYD_MQ_IGNORE_WRITE_ERROR));
	job->flags = flags;

	job->op = REQ_OP_WRITE;
	if (from) {
		job->source = *from;
	} else {
		job->zero = true;
		job->source.count = dests[0].count;
		job->op = REQ_OP_WRITE_ZEROES;
		for (i = 0; i < num_dests; i++)
			if (!bdev_write_zeroes_sectors(dests[i].bdev))
				job->op = REQ_OP_WRITE;
	}

	job->progress = 0;
	if (unlikely(!kmq_next_segment(job))) {
		job->state = KMQ_CALLBACK;
		kmq_queue(job);
		return;
	}

	if (flags & BIT(DM_KCOPYD_WRITE_SEQ)) {
		job->write_pos = 0;
		INIT_LIST_HEAD(&job->seq_wait);
	}

	job->state = KMQ_NEW;
	if (likely(from && job->progress == job->source.count) && !kmq_is_throttled(kc)) {
		if (unlikely(job->offload)) {
			job->live = 1;
			job->state = KMQ_OFFLOAD;
		} else if (likely(direct) && kmq_pages_try_get(job)) {
			job->live = 1;
			kmq_read(job);
			return;
		}
	}
	kmq_queue(job);
}

void dm_kcopyd_mq_copy(struct dm_kcopyd_mq_client *kc, const struct dm_io_region *from,
		       unsigned int num_dests, const struct dm_io_region *dests,
		       unsigned int flags, dm_kcopyd_notify_fn fn, void *context)
{
	kmq_submit(kc, NULL, from, num_dests, dests, flags, fn, context);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_copy);

bool dm_kcopyd_mq_reserve(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket)
{
	ticket->cpu = kmq_enter(kc);
	return kmq_job_reserve(kc, ticket);
}

void dm_kcopyd_mq_copy_with(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket,
			    const struct dm_io_region *from, unsigned int num_dests,
			    const struct dm_io_region *dests, unsigned int flags,
			    dm_kcopyd_notify_fn fn, void *context)
{
	kmq_submit(kc, ticket, from, num_dests, dests, flags, fn, context);
}

void dm_kcopyd_mq_zero_with(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket,
			    unsigned int num_dests, const struct dm_io_region *dests,
			    unsigned int flags, dm_kcopyd_notify_fn fn, void *context)
{
	kmq_submit(kc, ticket, NULL, num_dests, dests, flags, fn, context);
}

void dm_kcopyd_mq_zero(struct dm_kcopyd_mq_client *kc, unsigned int num_dests,
		       const struct dm_io_region *dests, unsigned int flags,
		       dm_kcopyd_notify_fn fn, void *context)
{
	kmq_submit(kc, NULL, NULL, num_dests, dests, flags, fn, context);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_zero);

void *dm_kcopyd_mq_prepare_callback(struct dm_kcopyd_mq_client *kc, dm_kcopyd_notify_fn fn,
				    void *context)
{
	bool direct;
	struct kmq_job *job = kmq_prepare(kc, NULL, fn, context, &direct);

	job->state = KMQ_CALLBACK;
	return job;
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_prepare_callback);

void dm_kcopyd_mq_do_callback(void *prepared, int read_err, unsigned long write_err)
{
	struct kmq_job *job = prepared;

	job->read_err = read_err;
	job->write_err = write_err;
	kmq_queue(job);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_do_callback);

int kmq_bios_init(struct bio_set *bios)
{
	return bioset_init(bios, KMQ_MIN_BIOS, offsetof(struct kmq_bio, bio), 0);
}

int kmq_io_init(void)
{
	unsigned int i;
	int r;

	kmq_zero_vecs = kmalloc_array(KMQ_MAX_VECS, sizeof(*kmq_zero_vecs), GFP_KERNEL);
	if (!kmq_zero_vecs)
		return -ENOMEM;
	for (i = 0; i < KMQ_MAX_VECS; i++) {
		kmq_zero_vecs[i].bv_page = ZERO_PAGE(0);
		kmq_zero_vecs[i].bv_len = PAGE_SIZE;
		kmq_zero_vecs[i].bv_offset = 0;
	}

	r = bioset_init(&kmq_keep_bios, 1, offsetof(struct kmq_bio, bio), 0);
	if (r)
		kfree(kmq_zero_vecs);
	return r;
}

void kmq_io_exit(void)
{
	bioset_exit(&kmq_keep_bios);
	kfree(kmq_zero_vecs);
}
