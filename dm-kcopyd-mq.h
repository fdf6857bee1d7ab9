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
 * DOC: the contract
 *
 * The interface is that of <linux/dm-kcopyd.h>, name by name with an _mq infix; its
 * DM_KCOPYD_MAX_REGIONS, flag numbers and dm_kcopyd_notify_fn are used as they are. What is
 * different is where things happen:
 *
 * - A job belongs to the CPU that submitted it. Its reads, writes and callback run there, unless
 *   that CPU has gone offline; then they run on another.
 * - A small copy is read in the context of the caller; nothing is handed to another thread.
 * - Callbacks run in process context, may sleep and may submit further jobs. Callbacks of jobs that
 *   were submitted on one CPU run one at a time; callbacks of jobs of *different* CPUs run
 *   concurrently. Stock runs all callbacks of a client one at a time.
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
 * dm_kcopyd_mq_client_create() - create a client with its reserves
 * @throttle: throttle to obey, or NULL
 *
 * The client keeps what one sub-job needs in reserve, so that its copies progress without any
 * memory.
 *
 * Return: the client, or ERR_PTR(-ENOMEM).
 */
struct dm_kcopyd_mq_client *dm_kcopyd_mq_client_create(struct dm_kcopyd_mq_throttle *throttle);

/**
 * dm_kcopyd_mq_client_create_background() - create a client for copies that nobody waits for
 * @throttle: throttle to obey, or NULL
 *
 * Its writes and callbacks run at the lowest priority: whoever else wants the CPU comes first.
 *
 * Return: the client, or ERR_PTR(-ENOMEM).
 */
struct dm_kcopyd_mq_client *
dm_kcopyd_mq_client_create_background(struct dm_kcopyd_mq_throttle *throttle);

/**
 * dm_kcopyd_mq_client_destroy() - wait for everything submitted, then free the client
 * @kc: the client; the caller no longer submits to it
 *
 * Waits for jobs, for callbacks that were prepared, and for queued items. Must not be called by one
 * of the client's own callbacks.
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
 * dm_kcopyd_mq_client_flush() - wait until callbacks of finished I/O have run
 * @kc: the client
 *
 * When it returns, all callbacks have run whose I/O had ended before the call, on every CPU. Must
 * not be called by one of the client's own callbacks.
 */
void dm_kcopyd_mq_client_flush(struct dm_kcopyd_mq_client *kc);

/**
 * dm_kcopyd_mq_copy() - copy a range to one or several destinations
 * @kc:        the client
 * @from:      source; copied, the caller keeps it
 * @num_dests: number of destinations, 1 to DM_KCOPYD_MAX_REGIONS
 * @dests:     destinations, each as long as the source; copied, the caller keeps them
 * @flags:     BIT(DM_KCOPYD_IGNORE_ERROR): copy on after an error. BIT(DM_KCOPYD_WRITE_SEQ): issue
 *             writes in ascending order; errors then end the job. Set by itself when a
 *             destination is a host-managed zoned device
 * @fn:        called once when the job has ended
 * @context:   for @fn
 *
 * @fn is given read_err, 0 or 1, and write_err, in which bit i stands for a failed write to
 * @dests[i]. A job that cannot be run at all ends with read_err and all bits of write_err set.
 *
 * Context: process context. May be called from a map function: it never waits for I/O that stands
 * on current->bio_list.
 */
void dm_kcopyd_mq_copy(struct dm_kcopyd_mq_client *kc, const struct dm_io_region *from,
		       unsigned int num_dests, const struct dm_io_region *dests,
		       unsigned int flags, dm_kcopyd_notify_fn fn, void *context);

/**
 * dm_kcopyd_mq_zero() - write zeroes to one or several destinations
 * @kc:        the client
 * @num_dests: number of destinations, 1 to DM_KCOPYD_MAX_REGIONS
 * @dests:     destinations of equal length
 * @flags:     as for dm_kcopyd_mq_copy()
 * @fn:        called once when the job has ended; read_err is 0
 * @context:   for @fn
 *
 * Uses REQ_OP_WRITE_ZEROES where all destinations offer it, and writes pages of zeroes where they
 * do not or where the command turns out not to be supported.
 *
 * Context: process context.
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
 * Context: process context.
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
 * Context: process context.
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
