// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing several copies with one bio.
 *
 * Copies of chunks that lie anywhere in the source often follow each other in the destination. When
 * a worker finds several whose reads have ended, it sorts them by destination, and those that
 * follow each other are written together, by the bios of the first of them:
 *
 *	leader            follower          follower
 *	+-------+         +-------+         +-------+
 *	|  job  |-gather->|  job  |-gather->|  job  |
 *	+-------+         +-------+         +-------+
 *	  vecs: page, page, page  ----> one bio for each destination
 *
 * The leader has room for the pages of all. When its writes are back, all of them go on. If one of
 * them failed, each copy is written again by itself: an error is of the copy that it is for.
 */
#include <linux/list_sort.h>
#include <linux/string.h>

#include "dm-kcopyd-mq-job.h"

static sector_t kmq_dest_sector(const struct kmq_job *job, unsigned int dest)
{
	return job->first->dests[dest].sector + job->offset;
}

bool kmq_follows(const struct kmq_job *a, const struct kmq_job *b)
{
	const struct kmq_job *x = a->first, *y = b->first;
	unsigned int i;

	if (x->num_dests != y->num_dests)
		return false;
	for (i = 0; i < x->num_dests; i++)
		if (x->dests[i].bdev != y->dests[i].bdev ||
		    kmq_dest_sector(a, i) + a->write_count != kmq_dest_sector(b, i))
			return false;
	return true;
}

static bool kmq_has_room(const struct kmq_job *leader, const struct kmq_job *job)
{
	return leader->write_count / PAGE_SECTORS + job->nr_pages <= KMQ_INLINE_VECS;
}

/* By first destination; which device comes first does not matter. */
static int kmq_compare(void *unused, const struct list_head *x, const struct list_head *y)
{
	const struct kmq_job *a = list_entry(x, struct kmq_job, list);
	const struct kmq_job *b = list_entry(y, struct kmq_job, list);

	if (a->first->dests[0].bdev != b->first->dests[0].bdev)
		return a->first->dests[0].bdev > b->first->dests[0].bdev ? 1 : -1;
	return kmq_dest_sector(a, 0) > kmq_dest_sector(b, 0) ? 1 : -1;
}

static struct kmq_job *kmq_sort(struct kmq_job *chain)
{
	struct kmq_job *job, *next, **tail = &chain;
	LIST_HEAD(jobs);

	for (job = chain; job; job = job->gather)
		list_add_tail(&job->list, &jobs);
	list_sort(NULL, &jobs, kmq_compare);
	list_for_each_entry_safe(job, next, &jobs, list) {
		*tail = job;
		tail = &job->gather;
	}
	*tail = NULL;
	return chain;
}

static bool kmq_is_sorted(const struct kmq_job *chain)
{
	for (; chain->gather; chain = chain->gather)
		if (kmq_compare(NULL, &chain->list, &chain->gather->list) > 0)
			return false;
	return true;
}

/* Takes those jobs out of a list that are ready for something, and chains them in order. */
static struct kmq_job *kmq_take_ready(struct llist_node **list,
				      struct kmq_job *(*ready)(struct llist_node *node))
{
	struct kmq_job *taken, **chain = &taken;
	struct llist_node *node;
	struct kmq_job *job;

	while ((node = *list)) {
		job = ready(node);
		if (!job) {
			list = &node->next;
			continue;
		}
		*list = node->next;
		*chain = job;
		chain = &job->gather;
	}
	*chain = NULL;
	if (taken && !kmq_is_sorted(taken))
		taken = kmq_sort(taken);
	return taken;
}

struct llist_node *kmq_gather_copies(struct llist_node *list)
{
	struct kmq_job *job = kmq_take_ready(&list, kmq_ready_to_offload);

	if (job)
		kmq_offload_chain(job);
	return list;
}

struct llist_node *kmq_gather_writes(struct llist_node *list)
{
	struct kmq_job *job, *next, *leader = NULL, *last = NULL;

	/* There must be two of them. */
	if (!list || !list->next)
		return list;

	job = kmq_take_ready(&list, kmq_ready_to_gather);
	for (; job; job = next) {
		next = job->gather;
		job->gather = NULL;
		if (leader && kmq_follows(leader, job) && kmq_has_room(leader, job)) {
			memcpy(&leader->vecs[leader->write_count / PAGE_SECTORS], job->vecs,
			       job->nr_pages * sizeof(*job->vecs));
			leader->write_count += job->count;
			last->gather = job;
		} else {
			if (leader)
				kmq_write_segment(leader);
			leader = job;
		}
		last = job;
	}
	if (leader)
		kmq_write_segment(leader);
	return list;
}
