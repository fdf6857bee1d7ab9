/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * copy-offload: copies that a block device makes by itself.
 */
#ifndef COPY_OFFLOAD_H
#define COPY_OFFLOAD_H

#include <linux/atomic.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/list.h>
#include <linux/math.h>
#include <linux/percpu.h>

/**
 * DOC: what it is for
 *
 * Some devices copy blocks from one place of theirs to another without the data passing through the
 * host. Whoever copies asks once for each device, copy_offload_get(), for each copy whether it may
 * be left to the device, copy_offload_usable(), and then submits requests, each of one or more
 * source ranges that go to one contiguous destination.
 *
 * The device may always say no, and a request may fail for reasons that reading and writing do not
 * know. So the caller must be able to read and write what was not copied; only if that fails, too,
 * is there an error. Nothing here depends on device-mapper. Positions and lengths are in sectors.
 *
 * A request is not ordered against I/O under way: what is to be copied must have been written, and
 * nothing may write to source or destination until it has ended. When it has, its data are where
 * those of a write would be: a flush makes them durable.
 */

struct copy_offload;
struct copy_offload_request;

/**
 * struct copy_offload_limits - what a device takes
 * @align:   sectors of which all positions, on the whole disk, and lengths are multiples
 * @range:   sectors of a source range
 * @command: sectors of a request
 * @ranges:  source ranges of a request
 */
struct copy_offload_limits {
	unsigned int align;
	unsigned int range;
	unsigned int command;
	unsigned int ranges;
};

/**
 * enum copy_offload_why - why something was not copied by the device
 * @COPY_OFFLOAD_OFF:         switched off by the administrator
 * @COPY_OFFLOAD_GAVE_UP:     too many requests have failed
 * @COPY_OFFLOAD_ELSEWHERE:   source or destination is on another disk
 * @COPY_OFFLOAD_UNALIGNED:   not whole blocks of the device
 * @COPY_OFFLOAD_BEYOND:      not inside the partition or disk
 * @COPY_OFFLOAD_READ_ONLY:   the destination is
 * @COPY_OFFLOAD_CHANGED:     the device's block size is no longer what it was
 * @COPY_OFFLOAD_NO_MEMORY:   for the request
 * @COPY_OFFLOAD_FAILED:      the device tried, or refused
 * @COPY_OFFLOAD_INTERRUPTED: the device was reset or removed
 * @COPY_OFFLOAD_TIMED_OUT:   the request took longer than its time limit, however it ended
 * @COPY_OFFLOAD_PROBING:     after a time-out one request at a time is issued, and there is one
 * @COPY_OFFLOAD_WHYS:        number of reasons
 */
enum copy_offload_why {
	COPY_OFFLOAD_OFF,
	COPY_OFFLOAD_GAVE_UP,
	COPY_OFFLOAD_ELSEWHERE,
	COPY_OFFLOAD_UNALIGNED,
	COPY_OFFLOAD_BEYOND,
	COPY_OFFLOAD_READ_ONLY,
	COPY_OFFLOAD_CHANGED,
	COPY_OFFLOAD_NO_MEMORY,
	COPY_OFFLOAD_FAILED,
	COPY_OFFLOAD_INTERRUPTED,
	COPY_OFFLOAD_TIMED_OUT,
	COPY_OFFLOAD_PROBING,
	COPY_OFFLOAD_WHYS,
};

/**
 * enum copy_offload_result - how a request ended
 * @COPY_OFFLOAD_COPIED: all ranges are where they should be
 * @COPY_OFFLOAD_REFUSED: nothing was copied, as the device will not do it, at least not now
 * @COPY_OFFLOAD_BROKEN: the device failed; any part of the destination may have been written
 */
enum copy_offload_result {
	COPY_OFFLOAD_COPIED,
	COPY_OFFLOAD_REFUSED,
	COPY_OFFLOAD_BROKEN,
};

/**
 * typedef copy_offload_fn - called at the end of a request
 * @context: the caller's
 * @result:  what has become of it
 *
 * Context: any, also hard interrupts; or the context in which the request was submitted.
 */
typedef void (*copy_offload_fn)(void *context, enum copy_offload_result result);

/**
 * enum copy_offload_state - what a disk is trusted with
 * @COPY_OFFLOAD_TRUSTED:  any number of requests
 * @COPY_OFFLOAD_PROBED:   one request at a time, with one copy of one user: the last time-out made
 *                         users wait, and what is in flight shows whether the next one would, too
 * @COPY_OFFLOAD_GIVEN_UP: no request
 *
 *	                    time-out
 *	            +-----------------------+
 *	            |                       v
 *	     +-> TRUSTED <--------------- PROBED -+
 *	     |      |     copied in time          |
 *	     |      |                             |
 *	     |      +----------> GIVEN_UP <-------+
 *	     |  too much trouble    |
 *	     +----------------------+
 *	           administrator
 *
 * copy_offload_change() makes each transition.
 */
enum copy_offload_state {
	COPY_OFFLOAD_TRUSTED,
	COPY_OFFLOAD_PROBED,
	COPY_OFFLOAD_GIVEN_UP,
};

/**
 * struct copy_offload_ops - a way to have copies made
 * @name:     of the provider
 * @open:     finds out whether the disk copies, and sets the limits. Context: may sleep, in a task
 *            with user memory and CAP_SYS_ADMIN. 0, or a negative error code: it does not
 * @close:    undoes @open
 * @set_range: enters source range number i of a request; the sector is of the whole disk
 * @issue:    starts a request, or ends it at once by copy_offload_end(). When it has what it may
 *            have to wait for it asks copy_offload_may_issue(). Context: may sleep
 * @range_bytes: memory of the provider for each range of a request
 */
struct copy_offload_ops {
	const char *name;
	int (*open)(struct copy_offload *co);
	void (*close)(struct copy_offload *co);
	void (*set_range)(struct copy_offload_request *req, unsigned int i, sector_t sector,
			  unsigned int count);
	void (*issue)(struct copy_offload_request *req);
	unsigned int range_bytes;
};

/**
 * struct copy_offload_stats - what a CPU has had the device do
 * @commands: requests that have copied something
 * @ranges:   source ranges of these
 * @sectors:  sectors of these
 * @not:      what was left to reading and writing, by reason; requests that copied too late as well
 */
struct copy_offload_stats {
	u64 commands;
	u64 ranges;
	u64 sectors;
	u64 not[COPY_OFFLOAD_WHYS];
};

/**
 * struct copy_offload - a disk that copies, or is being asked whether it does
 * @list:    in the list of all, under the list's lock; empty when the disk does not copy
 * @users:   number of those that have got it, under the list's lock
 * @opened:  completed when @copies and what follows it are set
 * @copies:  whether it copies; false until it has been asked
 * @disk:    the disk; its users hold it
 * @ops:     how it copies
 * @limits:  what it takes; never changes
 * @off:     switched off
 * @state:   what it is trusted with
 * @probe:   1 while a request is in flight that was issued in COPY_OFFLOAD_PROBED
 * @trouble: rises with each failure and falls with each success; written only when it is not 0
 * @failed_at: jiffies of the last failure that @trouble knows
 * @stats:   per CPU
 * @private: the provider's
 *
 * Shared by all users of the disk. Nothing that is here is written by a copy that succeeds, but for
 * the CPU's own statistics.
 */
struct copy_offload {
	struct list_head list;
	unsigned int users;
	struct completion opened;
	bool copies;
	struct gendisk *disk;
	const struct copy_offload_ops *ops;
	struct copy_offload_limits limits;
	bool off;
	enum copy_offload_state state;
	atomic_t probe;
	atomic_t trouble;
	unsigned long failed_at;
	struct copy_offload_stats __percpu *stats;
	void *private;
};

/**
 * struct copy_offload_request - a request, from copy_offload_alloc() to copy_offload_end()
 * @co:      whose
 * @to:      destination
 * @sector:  where there
 * @count:   sectors of all ranges
 * @nr:      ranges
 * @size:    ranges for which there is room
 * @copies:  copies of users that it makes: calls of copy_offload_add()
 * @probe:   it has set @co->probe
 * @issued_at: jiffies; the provider's
 * @fn:      called at the end
 * @context: for @fn
 * @ranges:  the provider's
 */
struct copy_offload_request {
	struct copy_offload *co;
	struct block_device *to;
	sector_t sector;
	unsigned int count;
	unsigned int nr;
	unsigned int size;
	unsigned int copies;
	bool probe;
	unsigned long issued_at;
	copy_offload_fn fn;
	void *context;
	u64 ranges[] __aligned(8);
};

/**
 * copy_offload_get() - find out whether copies between two devices can be left to their disk
 * @from: source, held by the caller until copy_offload_put()
 * @to:   destination, likewise
 *
 * Context: process context, in a task with user memory and CAP_SYS_ADMIN, as a target's constructor
 * is. Sends commands to the device, and waits for them, or for another caller to have done that for
 * the same disk. No lock is held meanwhile: other disks are not affected.
 * Return: what stands for their disk, to be put by copy_offload_put(), or NULL.
 */
struct copy_offload *copy_offload_get(struct block_device *from, struct block_device *to);

/**
 * copy_offload_put() - no more copies will be submitted, and those that were have ended
 * @co: what copy_offload_get() returned; may be NULL
 *
 * Context: process context.
 */
void copy_offload_put(struct copy_offload *co);

/**
 * copy_offload_usable() - ask whether a copy may be left to the device
 * @co:        what copy_offload_get() returned, for these or other devices
 * @from:      source
 * @from_sector: where there
 * @to:        destination
 * @to_sector: where there
 * @count:     sectors; need not fit into one range or request
 *
 * If not, it is counted why.
 *
 * Context: any.
 */
bool copy_offload_usable(struct copy_offload *co, struct block_device *from, sector_t from_sector,
			 struct block_device *to, sector_t to_sector, sector_t count);

/**
 * copy_offload_ranges() - source ranges that it takes to copy so much
 * @co:    the disk
 * @count: sectors that follow each other
 */
static inline unsigned int copy_offload_ranges(const struct copy_offload *co, unsigned int count)
{
	return DIV_ROUND_UP(count, co->limits.range);
}

/**
 * copy_offload_alloc() - make an empty request
 * @co:     the disk
 * @ranges: number of ranges that are going to be added, at most @co->limits.ranges
 *
 * Context: any; never waits for memory.
 * Return: the request, or NULL.
 */
struct copy_offload_request *copy_offload_alloc(struct copy_offload *co, unsigned int ranges);

/**
 * copy_offload_add() - have something copied behind what the request copies already
 * @req:    the request
 * @from:   source; usable, as by copy_offload_usable()
 * @sector: where there
 * @count:  sectors; the request is at most @limits.command long with them, and has room
 *
 * Context: any.
 */
void copy_offload_add(struct copy_offload_request *req, struct block_device *from, sector_t sector,
		      unsigned int count);

/**
 * copy_offload_is_probed() - whether a request should make one copy only
 * @co: the disk
 *
 * Context: any. The answer may change; copy_offload_may_issue() refuses what does not fit.
 */
static inline bool copy_offload_is_probed(const struct copy_offload *co)
{
	return unlikely(READ_ONCE(co->state) == COPY_OFFLOAD_PROBED);
}

/**
 * copy_offload_submit() - start a request
 * @req:     the request, which is no longer the caller's
 * @to:      destination; usable, as by copy_offload_usable()
 * @sector:  where there
 * @fn:      called once, perhaps before this returns
 * @context: for @fn
 *
 * Context: process context; may sleep as long as a bio might that was submitted instead.
 */
void copy_offload_submit(struct copy_offload_request *req, struct block_device *to, sector_t sector,
			 copy_offload_fn fn, void *context);

/**
 * copy_offload_message() - obey a message to a target
 * @co:     the disk that copies for it, or NULL
 * @argc:   words
 * @argv:   stats: tell what the disk has copied, or that there is none; offload auto, offload off:
 *          switch
 * @result: where to tell
 * @maxlen: of @result, bytes
 *
 * Return: 1 if @result is set, 0 if it was obeyed, -EOPNOTSUPP if there is no such disk, -EINVAL if
 * it is another message.
 */
int copy_offload_message(struct copy_offload *co, unsigned int argc, char **argv, char *result,
			 unsigned int maxlen);

/* For providers. */

/**
 * copy_offload_may_issue() - look again, now that nothing has to be waited for any more
 * @req: about to be issued
 *
 * The device may have become read-only, or have been changed, while its queue was frozen, or a
 * request may have timed out.
 *
 * Return: true if it may be issued; else it is counted why not.
 */
bool copy_offload_may_issue(struct copy_offload_request *req);

/**
 * copy_offload_end() - a request is over
 * @req:    the request; gone when this returns
 * @result: what has become of it
 * @why:    if it did not copy: why. COPY_OFFLOAD_TIMED_OUT also if it did, but too late
 *
 * Context: any. The last that a provider does for a request.
 */
void copy_offload_end(struct copy_offload_request *req, enum copy_offload_result result,
		      enum copy_offload_why why);

/**
 * copy_offload_count_not() - count that something was left to reading and writing
 * @co:  the disk
 * @why: why
 */
void copy_offload_count_not(struct copy_offload *co, enum copy_offload_why why);

extern const struct copy_offload_ops copy_offload_nvme;
extern const struct copy_offload_ops copy_offload_blk;

struct dentry;

/**
 * copy_offload_init() - create the debugfs file
 * @dir: directory of the module, which its owner removes
 */
void copy_offload_init(struct dentry *dir);

#endif /* COPY_OFFLOAD_H */
