// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies that are left to the device.
 *
 * A job whose source and destination are on a disk that copies is not read: it is put on its CPU's
 * list, and the worker, which starts when the submitter pauses, finds all that has come together
 * meanwhile. Jobs that follow each other in the destination become one request with several source
 * ranges, as chunks of a snapshot do whose exceptions are handed out one after another:
 *
 *	origin   ..[c]....[a]........[b]..
 *	                \  |        /
 *	COW device     ..[a][b][c]......        one command, three ranges
 *
 * If the device will not copy, or fails, all jobs of the request are read and written.
 */
#include "compat.h"
#include "copy-offload.h"
#include "dm-kcopyd-mq-job.h"

static bool kmq_is_read_and_written(const struct kmq_job *first)
{
	/* One read serves several destinations; WRITE_SEQ is for devices that are told to write. */
	return first->zero || first->num_dests != 1 || (first->flags & BIT(DM_KCOPYD_WRITE_SEQ));
}

bool kmq_offload_segment(struct kmq_job *job)
{
	struct copy_offload *co = job->kc->offload;
	const struct kmq_job *first = job->first;
	unsigned int count = min(job->count, co->limits.command);

	if (kmq_is_read_and_written(first) ||
	    !copy_offload_usable(co, first->source.bdev, first->source.sector + job->offset,
				 first->dests[0].bdev, first->dests[0].sector + job->offset, count))
		return false;
	job->count = count;
	return true;
}

/* In whichever context the request ends. */
static void kmq_offload_done(void *context, enum copy_offload_result result)
{
	struct kmq_job *job = context;

	job->failed = result != COPY_OFFLOAD_COPIED;
	kmq_queue(job);
}

static void kmq_offload_add(struct copy_offload_request *req, const struct kmq_job *job)
{
	const struct dm_io_region *source = &job->first->source;

	copy_offload_add(req, source->bdev, source->sector + job->offset, job->count);
}

/* Ranges and sectors of what is submitted as one request. */
struct kmq_bundle {
	unsigned int ranges;
	unsigned int sectors;
};

/* A disk that is being probed gets one job at a time: for the others nobody waits. */
static bool kmq_offload_fits(const struct copy_offload *co, const struct kmq_bundle *bundle,
			     const struct kmq_job *job)
{
	return !copy_offload_is_probed(co) &&
	       bundle->ranges + copy_offload_ranges(co, job->count) <= co->limits.ranges &&
	       bundle->sectors + job->count <= co->limits.command;
}

/* Submits a job and those that are chained to it. */
static void kmq_offload_submit(struct kmq_job *leader, const struct kmq_bundle *bundle)
{
	struct copy_offload *co = leader->kc->offload;
	const struct dm_io_region *dest = &leader->first->dests[0];
	struct copy_offload_request *req;
	struct kmq_job *job;

	leader->state = KMQ_OFFLOADED;
	req = copy_offload_alloc(co, bundle->ranges);
	if (unlikely(!req)) {
		copy_offload_count_not(co, COPY_OFFLOAD_NO_MEMORY);
		kmq_offload_done(leader, COPY_OFFLOAD_REFUSED);
		return;
	}
	for (job = leader; job; job = job->gather)
		kmq_offload_add(req, job);
	copy_offload_submit(req, dest->bdev, dest->sector + leader->offset, kmq_offload_done,
			    leader);
}

void kmq_offload_chain(struct kmq_job *leader)
{
	struct copy_offload *co = leader->kc->offload;
	struct kmq_bundle bundle = { 0, 0 };
	struct kmq_job *job, *next, *last = NULL;

	for (job = leader; job; job = next) {
		next = job->gather;
		job->gather = NULL;
		if (last && kmq_follows(last, job) && kmq_offload_fits(co, &bundle, job)) {
			last->gather = job;
		} else if (last) {
			kmq_offload_submit(leader, &bundle);
			leader = job;
			bundle = (struct kmq_bundle){ 0, 0 };
		}
		bundle.ranges += copy_offload_ranges(co, job->count);
		bundle.sectors += job->count;
		last = job;
	}
	kmq_offload_submit(leader, &bundle);
}

bool dm_kcopyd_mq_client_offload(struct dm_kcopyd_mq_client *kc, struct block_device *from,
				 struct block_device *to)
{
	if (!kc->offload)
		kc->offload = copy_offload_get(from, to);
	return kc->offload;
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_client_offload);

struct copy_offload *dm_kcopyd_mq_client_offloads_to(struct dm_kcopyd_mq_client *kc)
{
	return kc->offload;
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_client_offloads_to);
