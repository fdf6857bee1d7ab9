/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dm-kcopyd-mq: copy block-device ranges on the CPU that asks for it.
 */
#ifndef DM_KCOPYD_MQ_H
#define DM_KCOPYD_MQ_H

#include <linux/dm-io.h>
#include <linux/dm-kcopyd.h>
#include <linux/llist.h>
#include <linux/spinlock.h>

/**
 * DOC: a worker waits for nothing
 *
 * Jobs, pages and pending exceptions are given back by workers, and one worker serves all jobs of a
 * client on its CPU. A worker that waited for any of these could wait for itself; with two
 * snapshots of one origin, whose workers submit jobs to each other's clients, for one that waits
 * for it. So code that a worker runs (callbacks, items)
 *
 * - does not wait for a mempool, nor allocate with GFP_NOIO: it takes what is there, and parks what
 *   it cannot go on with. A copy is started with a ticket: dm_kcopyd_mq_reserve();
 * - does not wait for I/O, for another worker, or for a work item;
 * - takes no lock that is held while somebody waits for one of these.
 *
 * It may sleep for a mutex that is held for a short time, and where the block layer makes a
 * submitter sleep: what is below a submitted bio does not depend on the worker. For the same reason
 * a map function that a submitted bio gets to may wait, even in a worker.
 *
 * dm_kcopyd_mq_may_wait() checks it where something waits, on a kernel with lockdep.
 */

/**
 * DOC: the contract
 *
 * The interface is that of <linux/dm-kcopyd.h>, name by name with an _mq infix; its
 * DM_KCOPYD_MAX_REGIONS, flag numbers and dm_kcopyd_notify_fn are used as they are. What is
 * different is where things happen:
 *
 * - A job belongs to the CPU that submitted it. Its reads, writes and callback run there, unless
 *   that CPU has gone offline; then they run on another.
 * - A small copy is read in the context of the caller; nothing is handed to another thread.
 * - Callbacks run in process context and may submit further jobs, with a ticket; see above for what
 *   they may not do. Callbacks of jobs that were submitted on one CPU run one at a time; callbacks
 *   of jobs of *different* CPUs run concurrently. Stock runs all callbacks of a client one at a
 *   time.
 *
 * Sizes and positions are in sectors of 512 bytes. Functions may sleep unless they say otherwise.
 */

/**
 * struct dm_kcopyd_mq_throttle - how much of the time copies may be in flight
 * @throttle:     percentage of time; 100 and above mean no limit
 * @lock:         protects all fields below
 * @num_io_jobs:  accounted jobs in flight
 * @io_period:    jiffies with a job in flight, decaying
 * @total_period: jiffies in all, decaying
 * @last_jiffies: when the periods were last brought up to date
 *
 * Several clients may share one. With @throttle at 100 or more no other field is touched, so that
 * the sharing costs nothing.
 */
struct dm_kcopyd_mq_throttle {
	unsigned int throttle;

	spinlock_t lock;	/* protects the fields below */
	unsigned int num_io_jobs;
	unsigned int io_period;
	unsigned int total_period;
	unsigned int last_jiffies;
};

#define DM_KCOPYD_MQ_THROTTLE_INIT(name) {				\
	.throttle = 100,						\
	.lock = __SPIN_LOCK_UNLOCKED(name.lock),			\
}

/* Declares a throttle and the module parameter that sets its percentage. */
#define DECLARE_DM_KCOPYD_MQ_THROTTLE_WITH_MODULE_PARM(name, description)	\
static struct dm_kcopyd_mq_throttle dm_kcopyd_mq_throttle =			\
	DM_KCOPYD_MQ_THROTTLE_INIT(dm_kcopyd_mq_throttle);			\
module_param_named(name, dm_kcopyd_mq_throttle.throttle, uint, 0644);		\
MODULE_PARM_DESC(name, description)

/*
 * Flag of a copy, beside stock's: a destination that fails does not end the copy for the others,
 * but a failed read does. With stock's DM_KCOPYD_IGNORE_ERROR a failed read is repeated page by
 * page, and what cannot be read is written as zeroes.
 */
#define DM_KCOPYD_MQ_IGNORE_WRITE_ERROR	7
/* Flag of zeroes: what is zeroed by a command stays allocated, as with REQ_NOUNMAP. */
#define DM_KCOPYD_MQ_NOUNMAP		8

struct copy_offload;
struct dm_kcopyd_mq_client;
struct dm_kcopyd_mq_item;

/**
 * typedef dm_kcopyd_mq_item_fn - function that an item runs
 * @item: the item; the function owns it and may free it
 *
 * Context: process context, on the CPU the item was queued for.
 */
typedef void (*dm_kcopyd_mq_item_fn)(struct dm_kcopyd_mq_item *item);

/**
 * struct dm_kcopyd_mq_item - a piece of work for a CPU, embedded in the caller's structure
 * @node: on the CPU's lock-less list
 * @fn:   what to run
 */
struct dm_kcopyd_mq_item {
	struct llist_node node;
	dm_kcopyd_mq_item_fn fn;
};

/**
 * struct dm_kcopyd_mq_ticket - starts a copy without waiting, embedded in the caller's structure
 * @item:   @item.fn is set by the caller: starts the copy when @ticket has had to wait for a job
 * @job:    the engine's: the job that dm_kcopyd_mq_copy_with() is going to use
 * @cpu:    the engine's: CPU of the job
 * @direct: the engine's: the job may be submitted in the context of the caller
 *
 * At most one copy at a time is started with a ticket. It is free again as soon as that copy has
 * been submitted.
 */
struct dm_kcopyd_mq_ticket {
	struct dm_kcopyd_mq_item item;
	void *job;
	unsigned int cpu;
	bool direct;
};

/**
 * dm_kcopyd_mq_may_wait() - assert that the caller is no worker of the engine's
 *
 * To be called by what may wait for memory that I/O gives back, or for I/O. Complains once, on a
 * kernel with lockdep; does nothing on others.
 *
 * Context: any.
 */
#ifdef CONFIG_LOCKDEP
void dm_kcopyd_mq_may_wait(void);
#else
static inline void dm_kcopyd_mq_may_wait(void)
{
}
#endif

/**
 * dm_kcopyd_mq_client_create() - create a client with its reserves
 * @throttle: throttle to obey, or NULL
 *
 * The client keeps some jobs and 16 KiB in reserve, so that its copies progress without any memory.
 * With logical blocks that are larger dm_kcopyd_mq_client_blocks() has to be called, too.
 *
 * Return: the client, or ERR_PTR(-ENOMEM).
 */
struct dm_kcopyd_mq_client *dm_kcopyd_mq_client_create(struct dm_kcopyd_mq_throttle *throttle);

/**
 * dm_kcopyd_mq_client_create_background() - create a client for copies that nobody waits for
 * @throttle: throttle to obey, or NULL
 *
 * Its writes and callbacks run when no other task wants the CPU, one at a time otherwise and with
 * pauses in between; but while somebody waits for its copies, which
 * dm_kcopyd_mq_client_urgent_get() says, as those of any other client. None of them ever runs at a
 * low priority: what a copy holds, a region or a lock, is never held by a task that gets no CPU.
 *
 * Return: the client, or ERR_PTR(-ENOMEM).
 */
struct dm_kcopyd_mq_client *
dm_kcopyd_mq_client_create_background(struct dm_kcopyd_mq_throttle *throttle);

/**
 * dm_kcopyd_mq_client_urgent_get() - somebody waits for a background client's copies
 * @kc: the client
 *
 * Until dm_kcopyd_mq_client_urgent_put() the client's copies, those that have been begun as well,
 * go on as those of other clients do. Whoever waits for a copy of the background calls this first:
 * who is waited for inherits the waiter's urgency. Calls nest.
 *
 * Context: any.
 */
void dm_kcopyd_mq_client_urgent_get(struct dm_kcopyd_mq_client *kc);

/**
 * dm_kcopyd_mq_client_urgent_put() - the caller does not wait any more
 * @kc: the client that was passed to dm_kcopyd_mq_client_urgent_get()
 *
 * Context: any.
 */
void dm_kcopyd_mq_client_urgent_put(struct dm_kcopyd_mq_client *kc);

/**
 * dm_kcopyd_mq_client_destroy() - wait for everything submitted, then free the client
 * @kc: the client; the caller no longer submits to it
 *
 * Waits for jobs, for callbacks that were prepared, and for queued items. Must not be called by a
 * worker.
 */
void dm_kcopyd_mq_client_destroy(struct dm_kcopyd_mq_client *kc);

/**
 * dm_kcopyd_mq_client_offload() - let copies be made by the device, if it can
 * @kc:   the client, to which nothing has been submitted yet
 * @from: device from which much is going to be copied, held until the client is destroyed
 * @to:   device to which, likewise
 *
 * Copies between any two devices on their disk are then the device's; what it cannot copy, or
 * fails to, is read and written.
 *
 * Context: process context, in a task with user memory and CAP_SYS_ADMIN, see copy_offload_get().
 * Return: true if the device copies.
 */
bool dm_kcopyd_mq_client_offload(struct dm_kcopyd_mq_client *kc, struct block_device *from,
				 struct block_device *to);

/**
 * dm_kcopyd_mq_client_offloads_to() - get the disk that copies by itself
 * @kc: the client
 *
 * Context: any.
 * Return: the disk, valid as long as the client, or NULL.
 */
struct copy_offload *dm_kcopyd_mq_client_offloads_to(struct dm_kcopyd_mq_client *kc);

/**
 * dm_kcopyd_mq_client_blocks() - tell a client how large its devices' logical blocks are
 * @kc:    the client, which copies nothing yet
 * @bytes: of the largest one
 *
 * Its reserve then has room for one. Without memory a copy might else be for ever too short for
 * blocks of more than 16 KiB.
 *
 * Context: process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int dm_kcopyd_mq_client_blocks(struct dm_kcopyd_mq_client *kc, unsigned int bytes);

/**
 * dm_kcopyd_mq_client_wq() - get the workqueue that a client's workers are in
 * @kc: the client
 *
 * For work of the client's owner, which then needs no thread of its own for when memory is
 * exhausted. It may wait for I/O to a device, but for nothing that @kc does. It must not be queued
 * by anybody who does not keep the client from being destroyed; what is queued by then has run when
 * the client has been destroyed.
 *
 * Context: any.
 */
struct workqueue_struct *dm_kcopyd_mq_client_wq(struct dm_kcopyd_mq_client *kc);

/**
 * dm_kcopyd_mq_client_flush() - wait until callbacks of finished I/O have run
 * @kc: the client
 *
 * When it returns, all callbacks have run whose I/O had ended before the call, on every CPU. Must
 * not be called by a worker.
 */
void dm_kcopyd_mq_client_flush(struct dm_kcopyd_mq_client *kc);

/**
 * dm_kcopyd_mq_copy() - copy a range to one or several destinations
 * @kc:        the client
 * @from:      source; copied, the caller keeps it
 * @num_dests: number of destinations, 1 to DM_KCOPYD_MAX_REGIONS
 * @dests:     destinations, each as long as the source; copied, the caller keeps them
 * @flags:     BIT(DM_KCOPYD_IGNORE_ERROR): copy on after an error.
 *             BIT(DM_KCOPYD_MQ_IGNORE_WRITE_ERROR), see there. BIT(DM_KCOPYD_WRITE_SEQ): issue
 *             writes in ascending order; errors then end the job. Set by itself when a
 *             destination is a host-managed zoned device
 * @fn:        called once when the job has ended
 * @context:   for @fn
 *
 * @fn is given read_err, 0 or 1, and write_err, in which bit i stands for a failed write to
 * @dests[i]. A job that cannot be run at all ends with read_err and all bits of write_err set.
 *
 * Context: process context, but not a worker: waits for another job to end if there is no memory.
 * May be called from a map function: it never waits for I/O that stands on current->bio_list.
 */
void dm_kcopyd_mq_copy(struct dm_kcopyd_mq_client *kc, const struct dm_io_region *from,
		       unsigned int num_dests, const struct dm_io_region *dests,
		       unsigned int flags, dm_kcopyd_notify_fn fn, void *context);

/**
 * dm_kcopyd_mq_reserve() - get what dm_kcopyd_mq_copy_with() needs, without waiting
 * @kc:     the client
 * @ticket: of the copy that is going to be started
 *
 * If it returns false, @ticket->item.fn is called as soon as a job has been given back, by a worker
 * of @kc, in the order in which tickets began to wait. It starts the copy, and must do so.
 *
 * Context: process context, does not sleep.
 * Return: true if the caller has to start the copy now.
 */
bool dm_kcopyd_mq_reserve(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket);

/**
 * dm_kcopyd_mq_copy_with() - as dm_kcopyd_mq_copy(), but never waits
 * @kc:        the client
 * @ticket:    from dm_kcopyd_mq_reserve(), or in its @item.fn
 * @from:      as for dm_kcopyd_mq_copy(), like those that follow
 * @num_dests: likewise
 * @dests:     likewise
 * @flags:     likewise
 * @fn:        likewise
 * @context:   likewise
 *
 * Context: process context, any thread. May sleep as a bio's submitter may.
 */
void dm_kcopyd_mq_copy_with(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket,
			    const struct dm_io_region *from, unsigned int num_dests,
			    const struct dm_io_region *dests, unsigned int flags,
			    dm_kcopyd_notify_fn fn, void *context);

/**
 * dm_kcopyd_mq_zero_with() - as dm_kcopyd_mq_zero(), but never waits
 * @kc:        the client
 * @ticket:    from dm_kcopyd_mq_reserve(), or in its @item.fn
 * @num_dests: as for dm_kcopyd_mq_zero(), like those that follow
 * @dests:     likewise
 * @flags:     likewise
 * @fn:        likewise
 * @context:   likewise
 *
 * Context: process context, any thread. Does not sleep.
 */
void dm_kcopyd_mq_zero_with(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket,
			    unsigned int num_dests, const struct dm_io_region *dests,
			    unsigned int flags, dm_kcopyd_notify_fn fn, void *context);

/**
 * dm_kcopyd_mq_zero() - write zeroes to one or several destinations
 * @kc:        the client
 * @num_dests: number of destinations, 1 to DM_KCOPYD_MAX_REGIONS
 * @dests:     destinations of equal length
 * @flags:     as for dm_kcopyd_mq_copy(); BIT(DM_KCOPYD_MQ_NOUNMAP), see there
 * @fn:        called once when the job has ended; read_err is 0
 * @context:   for @fn
 *
 * Uses REQ_OP_WRITE_ZEROES where all destinations offer it, and writes pages of zeroes where they
 * do not, or where the command fails.
 *
 * Context: process context, but not a worker: waits for another job to end if there is no memory.
 */
void dm_kcopyd_mq_zero(struct dm_kcopyd_mq_client *kc, unsigned int num_dests,
		       const struct dm_io_region *dests, unsigned int flags,
		       dm_kcopyd_notify_fn fn, void *context);

/**
 * dm_kcopyd_mq_prepare_callback() - get a callback that is later triggered from any context
 * @kc:      the client
 * @fn:      function to call
 * @context: for @fn
 *
 * Context: process context, but not a worker: waits for another job to end if there is no memory.
 * Return: a handle for dm_kcopyd_mq_do_callback(), which must be called exactly once with it.
 */
void *dm_kcopyd_mq_prepare_callback(struct dm_kcopyd_mq_client *kc, dm_kcopyd_notify_fn fn,
				    void *context);

/**
 * dm_kcopyd_mq_do_callback() - have a prepared callback called
 * @job:       what dm_kcopyd_mq_prepare_callback() returned
 * @read_err:  passed on
 * @write_err: passed on
 *
 * The callback runs on the CPU that prepared it.
 *
 * Context: any.
 */
void dm_kcopyd_mq_do_callback(void *job, int read_err, unsigned long write_err);

/**
 * dm_kcopyd_mq_hold() - announce an item
 * @kc: the client, which will not be destroyed before dm_kcopyd_mq_release() has been called
 *
 * Context: any.
 * Return: this CPU, on which the item is to be queued.
 */
unsigned int dm_kcopyd_mq_hold(struct dm_kcopyd_mq_client *kc);

/**
 * dm_kcopyd_mq_release() - an item is over
 * @kc: the client that was held
 *
 * Context: the last thing that an item's function does.
 */
void dm_kcopyd_mq_release(struct dm_kcopyd_mq_client *kc);

/**
 * dm_kcopyd_mq_queue_item() - run an item among a CPU's callbacks
 * @kc:   the client, held for this item by dm_kcopyd_mq_hold()
 * @item: the caller's, with @item->fn set
 * @cpu:  what dm_kcopyd_mq_hold() returned
 *
 * What dm_kcopyd_mq_prepare_callback() and dm_kcopyd_mq_do_callback() do, without an allocation.
 *
 * Context: any.
 */
void dm_kcopyd_mq_queue_item(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_item *item,
			     unsigned int cpu);

int dm_kcopyd_mq_init(void);
void dm_kcopyd_mq_exit(void);

#endif /* DM_KCOPYD_MQ_H */
