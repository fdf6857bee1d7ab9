/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of dm-kcopyd-mq share: clients, jobs, and where their memory comes from.
 */
#ifndef DM_KCOPYD_MQ_JOB_H
#define DM_KCOPYD_MQ_JOB_H

#include <linux/bio.h>
#include <linux/list.h>
#include <linux/mempool.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "dm-kcopyd-mq.h"
#include "dm-scaled-refs.h"

/* Vectors inside a job: a copy of up to this many pages is a single allocation. */
#define KMQ_INLINE_VECS		16

/*
 * What a client keeps for when memory is exhausted: little, as there may be thousands of clients. A
 * job waits for no other one, so that one of them, and pages for a logical block, which a segment
 * must not split, would be enough to go on; see dm_kcopyd_mq_client_blocks().
 */
#define KMQ_MIN_JOBS		4
#define KMQ_RESERVE_PAGES	DIV_ROUND_UP(SZ_16K, PAGE_SIZE)

/* Limits of the module parameter for the size of a sub-job, KiB. */
#define KMQ_SUBJOB_KB_DEFAULT	512
#define KMQ_SUBJOB_KB_MAX	1024
#define KMQ_MAX_VECS		((KMQ_SUBJOB_KB_MAX << 10) / PAGE_SIZE)

/**
 * enum kmq_state - what a job does next when its CPU's worker sees it
 *
 * A job that is copied in one piece, or a sub-job that copies one segment after another::
 *
 *    NEW --(pages)--> READ --> WRITE --> END
 *     |                 |        ^
 *     |                 +--> SALVAGE     (read error, errors are ignored)
 *     |   (zeroes)
 *     +--------------------------->
 *     |
 *     +--> OFFLOAD --> OFFLOADED --> END
 *             |            |
 *             NEW <--------+         (the device did not copy it)
 *
 * NEW:      needs leave by the throttle and pages, then reads
 * READ:     the read came back, writes are next
 * SALVAGE:  one page of a failed read came back
 * WRITE:    the writes came back
 * OFFLOAD:  to be copied by the device, with others that are found on the list
 * OFFLOADED: the device's answer came back
 * CALLBACK: a prepared callback was triggered; there is no I/O
 *
 * kmq_run() makes every transition but the first one of a small copy, which
 * dm_kcopyd_mq_copy() makes for it in the context of the caller.
 */
enum kmq_state {
	KMQ_NEW,
	KMQ_READ,
	KMQ_SALVAGE,
	KMQ_WRITE,
	KMQ_OFFLOAD,
	KMQ_OFFLOADED,
	KMQ_CALLBACK,
};

/**
 * struct kmq_cpu - a client on one CPU
 * @items:   work for this CPU; any CPU adds, only @work takes
 * @taken:   what is left of the list that @work took last, in order; @work only. A background
 *           client's worker leaves items here when others want the CPU
 * @running: @work is going to look at @items again, so there is no need to queue it
 * @work:    runs the items on this CPU
 * @kc:      the client
 * @task:    thread that runs @work at the moment
 * @submitter: who last submitted something on this CPU; only compared
 * @lazy:    @lazy_node is in use
 * @lazy_since: jiffies when it was put to use
 * @hasty:   how often not to be lazy, as it would only cost time
 * @backoff: what @hasty was last set to: doubles when being lazy has cost time, halves when not
 * @lazy_node: in the list of those to be kicked when the CPU has nothing better to do; which of the
 *           two lists depends on the client: see struct kmq_lazy
 * @cpu:     number of the CPU
 *
 * @items is the only one that another CPU writes to, and only when a completion arrives on the
 * wrong CPU.
 */
struct kmq_cpu {
	struct llist_head items;
	struct llist_node *taken;
	bool running;
	struct work_struct work;
	struct dm_kcopyd_mq_client *kc;
	struct task_struct *task;
	struct task_struct *submitter;
	bool lazy;
	unsigned long lazy_since;
	unsigned int hasty;
	unsigned int backoff;
	struct llist_node lazy_node;
	unsigned int cpu;
};

/**
 * struct kmq_reserve - what lets a client progress without memory
 * @lock:     protects all fields, nests inside nothing; not taken while memory lasts
 * @low:      something is missing or somebody waits: whoever frees pages calls kmq_refill()
 * @pages:    reserved pages, linked by page->lru
 * @nr_pages: length of @pages
 * @size:     number of pages when complete, at most KMQ_RESERVE_PAGES, or those of a logical block
 * @waiting:  jobs that found no memory, oldest first, by kmq_job.list
 *
 * A job that needs more pages than @size makes its segment shorter, see kmq_job.rest.
 */
struct kmq_reserve {
	spinlock_t lock;	/* protects all fields */
	bool low;
	struct list_head pages;
	unsigned int nr_pages;
	unsigned int size;
	struct list_head waiting;
};

/**
 * struct dm_kcopyd_mq_client - a user of the engine
 * @cpus:         its per-CPU part
 * @wq:           runs kmq_cpu.work, and what the client's owner queues; one per client, so that
 *                stacked clients do not share a rescuer
 * @sub_job_size: sectors that a job copies at once
 * @throttle:     or NULL
 * @offload:      disk that copies by itself, or NULL
 * @background:   its workers are started when their CPU is idle, and give way to other tasks
 * @urgent:       number of those who wait for copies of the background: it does neither then
 * @refs:         one for each job, prepared callback and held item
 * @jobs:         jobs for when memory is exhausted
 * @parked:       tickets that wait for a job, oldest first, by item.node; under @park_lock. Looked
 *                at without it when a job of @jobs is given back
 * @parked_last:  the youngest of them; under @park_lock
 * @park_lock:    nests inside nothing; not taken while memory lasts
 * @bios:         bios for the second and later destinations
 * @reserve:      pages for when memory is exhausted
 * @delay_lock:   protects @delayed
 * @delayed:      jobs that the throttle holds back, oldest first, by kmq_job.list
 * @delay_work:   gives them another try
 *
 * All but @reserve, @delayed, @parked, @jobs and @urgent is read-only between creation and
 * destruction.
 */
struct dm_kcopyd_mq_client {
	struct kmq_cpu __percpu *cpus;
	struct workqueue_struct *wq;
	unsigned int sub_job_size;
	struct dm_kcopyd_mq_throttle *throttle;
	struct copy_offload *offload;
	bool background;
	atomic_t urgent;
	struct dm_scaled_refs refs;
	mempool_t jobs;
	struct dm_kcopyd_mq_ticket *parked;
	struct bio_set bios;

	struct kmq_reserve reserve;

	spinlock_t park_lock;	/* protects @parked, @parked_last */
	struct dm_kcopyd_mq_ticket *parked_last;

	spinlock_t delay_lock;	/* protects @delayed */
	struct list_head delayed;
	struct delayed_work delay_work;
};

/**
 * struct kmq_job - a copy, a part of one, or a prepared callback
 * @item:       in the list of @cpu
 * @kc:         client
 * @cpu:        where the job lives
 * @state:      see there
 * @op:         how to write: REQ_OP_WRITE or REQ_OP_WRITE_ZEROES
 * @num_dests:  destinations, of the whole copy
 * @flags:      as given to dm_kcopyd_mq_copy()
 * @zero:       writes zeroes, has no source
 * @offload:    the device is to copy the segment
 * @accounted:  counted by the throttle
 * @delays:     how often the throttle held it back
 * @read_err:   first job: a segment could not be read
 * @write_err:  first job: destinations, a bit for each, to which a segment was not written
 * @failed:     destinations that failed to write the segment; OFFLOADED: the device did not copy
 * @unwritten:  destinations that there were no bios for: written when the present writes are back
 * @own_dest:   destination that @bio writes to
 * @unsupported: destinations that failed REQ_OP_WRITE_ZEROES
 * @writes:     writes of the segment that have not come back; used with several destinations
 * @fn:         callback
 * @context:    for @fn
 * @first:      the job that stands for the whole copy; itself, unless this is one of its helpers
 * @offset:     the segment's start, sectors from the start of the copy
 * @count:      the segment's length in sectors
 * @rest:       sectors behind the segment that are this job's, too: its segment was made shorter,
 *              as the reserve has few pages
 * @progress:   first job: sectors handed out as segments so far
 * @write_pos:  first job: with WRITE_SEQ, offset of the segment to be written next
 * @live:       first job: jobs at work on this copy
 * @seq_wait:   first job: with WRITE_SEQ, jobs whose segment was read too early, by @list
 * @list:       in @seq_wait, kmq_reserve.waiting or dm_kcopyd_mq_client.delayed
 * @gather:     next job whose segment is written by the bios of the first in this chain, or copied
 *              by its request
 * @write_count: sectors that its bios write: @count, or those of all jobs in the chain
 * @nr_pages:   pages in @vecs
 * @salvaged:   pages dealt with after a failed read
 * @vecs:       @inline_vecs, or an array of the client's sub-job size
 * @source:     first job: what to copy
 * @dests:      first job: where to
 * @bio:        reads, then writes to @own_dest
 *
 * Between submission and callback a job and its helpers are touched by its CPU's worker and by the
 * completions of its own bios, never by two of them at a time; so nothing here needs a lock. Only
 * @failed, @unsupported and @writes are written by several completions at a time. What @first sums
 * up is the worker's: a segment of its own may be in flight while another's is added.
 */
struct kmq_job {
	struct dm_kcopyd_mq_item item;
	struct dm_kcopyd_mq_client *kc;
	unsigned int cpu;
	enum kmq_state state;
	enum req_op op;
	u8 num_dests;
	u8 flags;
	bool zero;
	bool offload;
	bool accounted;
	u8 delays;
	int read_err;
	unsigned long write_err;
	unsigned long failed;
	unsigned long unsupported;
	unsigned long unwritten;
	unsigned int own_dest;
	atomic_t writes;

	dm_kcopyd_notify_fn fn;
	void *context;

	struct kmq_job *first;
	sector_t offset;
	unsigned int count;
	unsigned int rest;
	unsigned int nr_pages;
	unsigned int salvaged;
	struct bio_vec *vecs;
	struct bio bio;

	struct dm_io_region source;
	struct dm_io_region dests[DM_KCOPYD_MAX_REGIONS];

	sector_t progress;
	sector_t write_pos;
	unsigned int live;
	struct list_head seq_wait;
	struct list_head list;
	struct kmq_job *gather;
	unsigned int write_count;

	struct bio_vec inline_vecs[KMQ_INLINE_VECS];
};

/* dm-kcopyd-mq-mem.c */

/**
 * kmq_job_alloc() - get a job
 * @kc:     the client, held by the caller for this job
 * @direct: set to true if the job may be submitted in the context of the caller, false if it comes
 *          from a reserve and must be left to the worker, which has no current->bio_list
 *
 * Context: process context, but not a worker; waits for another job to end if there is no memory.
 * Return: a job whose contents are undefined, but for @inline_vecs' pages: there are none.
 */
struct kmq_job *kmq_job_alloc(struct dm_kcopyd_mq_client *kc, bool *direct);

/**
 * kmq_job_try_alloc() - get a job if there is memory
 *
 * Context: process context, does not sleep.
 * Return: a job as kmq_job_alloc() returns it, or NULL.
 */
struct kmq_job *kmq_job_try_alloc(void);

/**
 * kmq_job_reserve() - get a job for a ticket, or have it wait for one
 * @kc:     the client, held by the caller for this job
 * @ticket: gets the job; or @item is run, on @cpu, when it has got one
 *
 * Context: process context, does not sleep.
 * Return: true if @ticket has a job.
 */
bool kmq_job_reserve(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket);

/**
 * kmq_job_free() - return a job
 * @job: without pages
 *
 * If tickets wait for a job, one of them gets it.
 *
 * Context: process context, does not sleep.
 */
void kmq_job_free(struct kmq_job *job);

/**
 * kmq_pages_try_get() - get pages for a segment if there is memory
 * @job: with @count set; holds no pages
 *
 * Context: process context, does not sleep.
 * Return: true if @vecs and @nr_pages are set up.
 */
bool kmq_pages_try_get(struct kmq_job *job);

/**
 * kmq_pages_get() - get pages for a segment, or wait for them
 * @job: with @count set and no @rest; holds no pages
 *
 * When it returns false the job is the reserve's: it comes back to its CPU in state KMQ_NEW,
 * holding its pages, as soon as enough are free. Pages of the reserve may be fewer than asked for:
 * then @count is smaller, and @rest says what it lacks.
 *
 * Context: process context, does not sleep.
 * Return: true if @vecs and @nr_pages are set up.
 */
bool kmq_pages_get(struct kmq_job *job);

/**
 * kmq_pages_put() - return a job's pages
 * @job: may hold none
 *
 * Context: process context, does not sleep.
 */
void kmq_pages_put(struct kmq_job *job);

int kmq_reserve_init(struct dm_kcopyd_mq_client *kc);

/**
 * kmq_reserve_grow() - let the reserve have more pages
 * @kc:    the client, which copies nothing yet
 * @pages: that it needs at least, at most KMQ_INLINE_VECS
 *
 * Context: process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int kmq_reserve_grow(struct dm_kcopyd_mq_client *kc, unsigned int pages);
void kmq_reserve_exit(struct dm_kcopyd_mq_client *kc);
int kmq_mem_init(void);
void kmq_mem_exit(void);

/* dm-kcopyd-mq-throttle.c */

/**
 * kmq_throttle_start() - ask for leave to start a job
 * @t:     throttle
 * @force: start whatever the throttle says
 * @now:   jiffies
 *
 * Context: any; takes t->lock.
 * Return: true if the job is now accounted, false if it has to wait.
 */
bool kmq_throttle_start(struct dm_kcopyd_mq_throttle *t, bool force, unsigned int now);

/**
 * kmq_throttle_finish() - an accounted job has ended
 * @t:   throttle
 * @now: jiffies
 *
 * Context: any; takes t->lock.
 */
void kmq_throttle_finish(struct dm_kcopyd_mq_throttle *t, unsigned int now);

/* dm-kcopyd-mq-kick.c */

/**
 * kmq_kick_lazily() - have a worker started when its submitter pauses
 * @kcc: a CPU's part of a client
 *
 * Context: any; in an RCU read section.
 * Return: true if the worker is going to be started, false if the caller has to start it: the
 * submitter is not running here, or is not one that pauses, or another task would have the CPU
 * when it does.
 */
bool kmq_kick_lazily(struct kmq_cpu *kcc) __must_hold(RCU);

/**
 * kmq_kick_idle() - have a background client's worker started when its CPU is idle
 * @kcc: a CPU's part of the client
 *
 * It is started at once if the client is urgent, or becomes so.
 *
 * Context: any; in an RCU read section.
 */
void kmq_kick_idle(struct kmq_cpu *kcc) __must_hold(RCU);

/**
 * kmq_kick_all() - start all workers that kmq_kick_lazily() or kmq_kick_idle() was called for
 *
 * After a grace period of RCU nobody uses the struct kmq_cpu of a client that has no jobs.
 */
void kmq_kick_all(void);

int kmq_kick_init(void);
void kmq_kick_exit(void);

/* dm-kcopyd-mq-gather.c */

/**
 * kmq_follows() - look whether a job's segment continues that of another in each destination
 * @a: the other, with followers in @write_count
 * @b: the job
 */
bool kmq_follows(const struct kmq_job *a, const struct kmq_job *b);

/**
 * kmq_gather_copies() - have what the device copies copied, several jobs at once where possible
 * @list: what a worker is about to run
 *
 * Context: a worker, under a plug. May sleep as a bio's submitter may.
 * Return: what is left to be run.
 */
struct llist_node *kmq_gather_copies(struct llist_node *list);

/**
 * kmq_gather_writes() - write what has been read, several copies at once where they allow it
 * @list: what a worker is about to run
 *
 * Context: a worker, under a plug. May sleep as a bio's submitter may.
 * Return: what is left to be run.
 */
struct llist_node *kmq_gather_writes(struct llist_node *list);

/* dm-kcopyd-mq-offload.c */

/**
 * kmq_offload_segment() - ask whether the device may copy a job's segment
 * @job: with @offset and @count, which is made smaller if it is more than a request may copy; its
 *       client has a disk that copies
 *
 * If it may not, that is counted.
 *
 * Context: any.
 */
bool kmq_offload_segment(struct kmq_job *job);

/**
 * kmq_offload_chain() - have the device copy jobs
 * @leader: of one client and state KMQ_OFFLOAD, first of a chain by @gather in the order of the
 *          destination. Comes back in state KMQ_OFFLOADED, and so do those that were not chained
 *          to another
 *
 * Context: a worker. May sleep as a bio's submitter may.
 */
void kmq_offload_chain(struct kmq_job *leader);

/* dm-kcopyd-mq.c */

/**
 * kmq_ready_to_offload() - look whether an item is a job that the device is to copy
 * @node: an item of a worker's list
 *
 * Context: a worker.
 * Return: the job, or NULL.
 */
struct kmq_job *kmq_ready_to_offload(struct llist_node *node);

/**
 * kmq_ready_to_gather() - look whether an item is a job that can be written together with others
 * @node: an item of a worker's list
 *
 * Its read has ended well, it may be written at once, and it consists of whole pages, which fit
 * into kmq_job.inline_vecs with room to spare.
 *
 * Context: a worker.
 * Return: the job, or NULL.
 */
struct kmq_job *kmq_ready_to_gather(struct llist_node *node);

/**
 * kmq_write_segment() - write what was read, when it is this segment's turn
 * @job: the job, with followers in @gather whose pages @vecs has, too
 *
 * Context: a worker. May sleep as a bio's submitter may.
 */
void kmq_write_segment(struct kmq_job *job);

/**
 * kmq_bios_init() - make a client's bios for the second and later destinations
 * @bios: the client's
 *
 * Return: 0 or a negative error code. Undone by bioset_exit().
 */
int kmq_bios_init(struct bio_set *bios);

int kmq_io_init(void);
void kmq_io_exit(void);

/* dm-kcopyd-mq-client.c */

/**
 * kmq_enter() - take a reference for something that is going to be run on this CPU
 * @kc: the client
 *
 * Context: any.
 * Return: the CPU.
 */
static inline unsigned int kmq_enter(struct dm_kcopyd_mq_client *kc)
{
	unsigned int cpu = raw_smp_processor_id();

	dm_scaled_refs_get(&kc->refs);
	WRITE_ONCE(per_cpu_ptr(kc->cpus, cpu)->submitter, current);
	return cpu;
}

/**
 * kmq_queue() - have a job's CPU look at it
 * @job: with @state saying what is next; its CPU owns it from now on
 *
 * Context: any.
 */
void kmq_queue(struct kmq_job *job);

#endif /* DM_KCOPYD_MQ_JOB_H */
