/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log of a persistent snapshot: makes exceptions durable, many with one write.
 */
#ifndef DM_SNAP_LOG_H
#define DM_SNAP_LOG_H

#include <linux/list.h>
#include <linux/llist.h>
#include <linux/types.h>

struct bio;
struct dm_kcopyd_mq_client;
struct snap_disk_end;
struct snap_disk_exception;
struct snap_log;
struct snap_log_entry;
struct snap_store;
struct work_struct;

/**
 * typedef snap_log_fn - exceptions are durable, or never will be
 * @entry:  the exceptions
 * @failed: they never will be, or not all of them: the log has failed
 *
 * Context: process context, a worker of the engine's client on the CPU that has committed @entry.
 */
typedef void (*snap_log_fn)(struct snap_log_entry *entry, bool failed);

/**
 * struct snap_log_entry - exceptions on their way to the log; embedded in the caller's structure
 * @node:   in one of the log's lists
 * @old:    first chunk of the origin
 * @new:    first chunk of the COW device
 * @nr:     number of chunks, which follow each other on both devices
 * @filled: how many of them have been put into what is written, or was
 * @cpu:    where its copy began; then where to go on
 * @epoch:  in which of the log's counters it is
 * @counted: it is in one
 * @deferred: it was deferred
 * @failed: the log has failed
 *
 * The caller sets @old, @new and @nr; the others are the log's.
 */
struct snap_log_entry {
	struct llist_node node;
	u64 old;
	u64 new;
	unsigned int nr;
	unsigned int filled;
	unsigned int cpu;
	u8 epoch;
	bool counted;
	bool deferred;
	bool failed;
};

/**
 * struct snap_log_flush - a flush that waits for the log; embedded in what a target knows of a bio
 * @node:  in one of the log's lists
 * @bio:   the flush
 * @until: it waits until so many entries have ended
 *
 * All fields are the log's.
 */
struct snap_log_flush {
	struct list_head node;
	struct bio *bio;
	u64 until;
};

/**
 * snap_log_create() - make the log of a snapshot
 * @store:  its store; the log uses the device and the geometry
 * @kcopyd: the engine's client: writes zeroes, and runs what comes after a write
 * @end:    where the list on disk ends
 * @fn:     called once for each committed entry
 *
 * Context: process context, not in a map function: the last block is read.
 * Return: the log or an ERR_PTR().
 */
struct snap_log *snap_log_create(struct snap_store *store, struct dm_kcopyd_mq_client *kcopyd,
				 const struct snap_disk_end *end, snap_log_fn fn);

/**
 * snap_log_close() - start no write any more
 * @log: the log; it has no entries
 *
 * What is under way ends before the engine's client is destroyed, which is to be done next.
 *
 * Context: process context, may sleep.
 */
void snap_log_close(struct snap_log *log);

/**
 * snap_log_destroy() - free a closed log
 * @log: the log; the engine's client, and with it the workqueue, has been destroyed
 */
void snap_log_destroy(struct snap_log *log);

/**
 * snap_log_begin() - a chunk is going to be copied
 * @log:    the log
 * @entry:  its exception, which is given to snap_log_commit(), snap_log_defer() or snap_log_abort()
 *          later
 * @wanted: somebody is going to wait until it is durable
 *
 * A write to the log waits a little for the copies that had begun when it could have been started,
 * and are wanted.
 *
 * Context: any but NMI.
 */
void snap_log_begin(struct snap_log *log, struct snap_log_entry *entry, bool wanted);

/**
 * snap_log_commit() - make an exception durable
 * @log:   the log
 * @entry: the exception; its chunk has been copied
 *
 * Context: process context, a worker of the engine's client.
 */
void snap_log_commit(struct snap_log *log, struct snap_log_entry *entry);

/**
 * snap_log_defer() - make an exception durable some time
 * @log:   the log
 * @entry: the exception, not wanted when it began; its chunk has been written
 *
 * That is with the next exception that is committed, before a flush that comes later has ended,
 * after snap_log_hurry(), when there are many, or after a second. The entry may have ended when
 * this returns; the caller sees to it that the log is still there.
 *
 * Context: any, does not sleep.
 */
void snap_log_defer(struct snap_log *log, struct snap_log_entry *entry);

/**
 * snap_log_hurry() - make durable what was deferred
 * @log: the log
 *
 * Does not wait for that.
 *
 * Context: any, does not sleep.
 */
void snap_log_hurry(struct snap_log *log);

/**
 * snap_log_may_defer() - whether an exception may be deferred that begins now
 * @log: the log
 *
 * Not while this CPU has deferred as much as it may: who waits for the log does not get further
 * ahead of it.
 *
 * Context: any.
 */
bool snap_log_may_defer(const struct snap_log *log);

/**
 * snap_log_flush() - make durable what has been written when a flush comes
 * @log:   the log
 * @flush: lives as long as @bio
 * @bio:   an empty flush
 *
 * Context: process context; may be a map function.
 * Return: true if the log ends @bio, with an error if what was deferred has been lost, and no other
 * flush was told; false if all exceptions are durable, and the caller has to send @bio to the COW
 * device.
 */
bool snap_log_flush(struct snap_log *log, struct snap_log_flush *flush, struct bio *bio);

/**
 * snap_log_sync() - wait until what was deferred is durable
 * @log:   the log
 * @ticks: how long to wait at most
 *
 * Context: process context, sleeps; not a worker, nor a map function.
 * Return: true if it is durable, or never will be.
 */
bool snap_log_sync(struct snap_log *log, unsigned long ticks);

/**
 * snap_log_abort() - a chunk could not be copied
 * @log:   the log
 * @entry: its exception, the caller's again
 *
 * Context: process context, a worker of the engine's client.
 */
void snap_log_abort(struct snap_log *log, struct snap_log_entry *entry);

/**
 * snap_log_may_span() - whether exceptions of several blocks can be taken off the list together
 * @log: the log
 *
 * They can if each block is an area of its own: behind the area in which a list ends anything may
 * be, as an area is zeroed before the one in front of it is full. Behind the end of the list in its
 * own area there must be zeroes: stock takes what is there for exceptions when the list grows.
 *
 * Context: any.
 */
bool snap_log_may_span(const struct snap_log *log);

/**
 * snap_log_tail() - get the last exceptions of the list
 * @log:   the log; it has no entries, and gets none until the caller is done
 * @end:   slot behind them: snap_log_slots(), or where the block begins that was got before
 * @table: filled with the block that has them, SNAP_MAX_BLOCK bytes
 *
 * Context: process context, not in a map function.
 * Return: number of exceptions in @table before @end, 0 if there are none, or a negative error.
 */
int snap_log_tail(struct snap_log *log, u64 end, struct snap_disk_exception *table);

/**
 * snap_log_truncate() - take the last exceptions off the list, and wait until that is durable
 * @log:   the log, as for snap_log_tail()
 * @table: from snap_log_tail(): the block that has slot @slots; the exceptions are removed from it
 * @slots: number of exceptions that stay, fewer than there are. Those that go are in one block
 *         unless snap_log_may_span()
 *
 * It takes one write of a block. A torn one leaves some of the exceptions.
 *
 * Context: process context, not in a map function.
 * Return: 0, or a negative error; then nobody knows whether they are in the list, and if its last
 * block is not what was to be written, the list does not grow any more: the log has failed. The
 * same may be tried again.
 */
int snap_log_truncate(struct snap_log *log, struct snap_disk_exception *table, u64 slots);

/**
 * snap_log_restore() - make durable that snap_log_truncate(), which has failed, has done nothing
 * @log:   the log, as for snap_log_tail()
 * @table: from snap_log_tail(), with the exceptions
 * @slots: as for snap_log_truncate()
 *
 * The list has all of its exceptions again, and more may be added.
 *
 * Context: process context, not in a map function.
 * Return: 0, or a negative error; then still nobody knows.
 */
int snap_log_restore(struct snap_log *log, const struct snap_disk_exception *table, u64 slots);

/**
 * snap_log_exceptions() - number of exceptions in the list, and of those that are deferred
 * @log: the log
 *
 * Context: process context.
 * Return: their number. A copy for a write to the origin counts when it is in the list. What is
 * deferred takes room as if it was on disk: the status is as with commit=write.
 */
u64 snap_log_exceptions(struct snap_log *log);

/**
 * snap_log_slots() - number of exceptions in the list
 * @log: the log
 */
u64 snap_log_slots(struct snap_log *log);

/**
 * snap_log_invalidate() - mark the snapshot on disk as unusable, and wait until it is
 * @log: the log
 *
 * Context: work that snap_log_queue_work() has queued, once at a time. Allocates nothing.
 * Return: 0 or a negative error.
 */
int snap_log_invalidate(struct snap_log *log);

/**
 * snap_log_queue_work() - run something that may wait for the COW device
 * @log:  the log
 * @work: ends before the log is destroyed
 *
 * Context: any.
 */
void snap_log_queue_work(struct snap_log *log, struct work_struct *work);

#endif /* DM_SNAP_LOG_H */
