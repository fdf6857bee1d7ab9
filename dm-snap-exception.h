/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Completed exceptions: which chunk of the origin was copied to which chunk of the COW device.
 */
#ifndef DM_SNAP_EXCEPTION_H
#define DM_SNAP_EXCEPTION_H

#include <linux/llist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

/* Chunk numbers of the COW device fit into this many bits of an exception. */
#define SNAP_NEW_CHUNK_BITS	48
/* So many neighbouring chunks of the origin, a power of two, are looked up together. */
#define SNAP_GROUP_BITS		8

struct snap_group;
struct snap_exception_lock;
struct snap_exception_section;

/**
 * struct snap_exceptions - the completed exceptions of a snapshot
 * @sections:     parts of the hash table of groups, each for 256 neighbouring chunks of the origin
 * @locks:        locks for adding, one for each section
 * @section_bits: number of sections is a power of two
 * @section_shift: that takes a hash to the number of a section
 * @growing:      sections that have more groups than lists
 * @grow:         gives them more lists
 *
 * Looking up takes no lock and writes nothing. Adding takes one of @locks.
 */
struct snap_exceptions {
	struct snap_exception_section *sections;
	struct snap_exception_lock *locks;
	unsigned int section_bits;
	unsigned int section_shift;
	struct llist_head growing;
	struct work_struct grow;
};

/**
 * snap_exceptions_init() - set up an empty table
 * @et:      the table
 * @origin_chunks: chunks that can be looked up
 * @cow_chunks:    chunks that can be found; at most this many are added
 *
 * Return: 0 or -ENOMEM.
 */
int snap_exceptions_init(struct snap_exceptions *et, u64 origin_chunks, u64 cow_chunks);

/**
 * snap_exceptions_exit() - free the table
 * @et: the table; nobody uses it any more
 */
void snap_exceptions_exit(struct snap_exceptions *et);

/**
 * snap_exception_lookup() - find where a chunk was copied to
 * @et:   the table
 * @old:  chunk of the origin
 * @new:  set to the chunk of the COW device if there is one
 *
 * An exception that was added before the call is found. Waits, for a few hundred instructions, for
 * an addition next to @old that is under way on another CPU. With PREEMPT_RT it sleeps meanwhile.
 *
 * Context: any but NMI.
 * Return: true if there is an exception.
 */
bool snap_exception_lookup(struct snap_exceptions *et, u64 old, u64 *new);

/**
 * snap_exception_lookup_run() - find where chunks that follow each other were copied to
 * @et:  the table
 * @old: first chunk of the origin
 * @max: how many chunks are of interest, at least one
 * @new: set to the first chunk of the COW device if @old has an exception
 * @nr:  set to the number of chunks, 1 to @max, that either were copied to chunks of the COW device
 *       that follow each other, or of which none has an exception; those end at a multiple of
 *       2^SNAP_GROUP_BITS. The answer is of one moment for the chunks between two such multiples
 *
 * Context: as for snap_exception_lookup().
 * Return: true if @old has an exception.
 */
bool snap_exception_lookup_run(struct snap_exceptions *et, u64 old, u64 max, u64 *new, u64 *nr);

/**
 * snap_exception_count() - how many chunks that follow each other were copied, to anywhere
 * @et:  the table
 * @old: first chunk of the origin
 * @max: how many chunks are of interest
 *
 * Context: as for snap_exception_lookup().
 * Return: number of chunks from @old on that have exceptions, 0 to @max.
 */
u64 snap_exception_count(struct snap_exceptions *et, u64 old, u64 max);

/**
 * snap_exception_room() - get the memory that adding an exception may need
 * @may_wait: the caller is no worker of the engine's
 *
 * It is got by whoever is going to cause an exception, who can wait for it, and not when the chunk
 * has been copied: then a write is waiting which memory may be waiting for.
 *
 * Context: process context; sleeps only if @may_wait; no I/O is needed to get memory.
 * Return: what is to be given to snap_exception_add(), or to kfree(), or NULL.
 */
struct snap_group *snap_exception_room(bool may_wait);

/**
 * snap_exception_add() - add the exceptions of chunks that follow each other
 * @et:   the table
 * @old:  first chunk of the origin
 * @new:  first chunk of the COW device
 * @nr:   number of chunks, at least one; no multiple of 2^SNAP_GROUP_BITS lies between them
 * @room: from snap_exception_room(); set to NULL if it was used
 *
 * Context: any but NMI, does not sleep.
 * Return: 0, -EEXIST if one of the chunks has an exception already, or -EINVAL if @nr is wrong.
 */
int snap_exception_add(struct snap_exceptions *et, u64 old, u64 new, unsigned int nr,
		       struct snap_group **room);

/**
 * struct snap_exception - an exception, one of many
 * @old: chunk of the origin
 * @new: chunk of the COW device
 */
struct snap_exception {
	u64 old;
	u64 new;
};

/**
 * snap_exception_add_sorted() - add many exceptions
 * @et:    the table
 * @all:   exceptions, in ascending order of @old
 * @nr:    their number
 * @twice: set to a chunk of the origin that has two, if there is one
 *
 * For loading: each group is looked for and changed once. Others may look up at the same time, but
 * not add or remove. After an error some exceptions are in the table and others are not.
 *
 * Context: process context, may sleep; no I/O is needed to get memory.
 * Return: 0, -EEXIST or -ENOMEM.
 */
int snap_exception_add_sorted(struct snap_exceptions *et, const struct snap_exception *all,
			      size_t nr, u64 *twice);

/**
 * snap_exception_spare() - get the memory that removing an exception may need
 *
 * Context: process context, may sleep; no I/O is needed to get memory.
 * Return: what is to be given to snap_exception_remove(), or to kfree(), or NULL.
 */
struct snap_group *snap_exception_spare(void);

/**
 * snap_exception_remove() - remove exceptions
 * @et:    the table
 * @old:   chunk of the origin
 * @nr:    how many chunks from @old on are to be removed, at least one
 * @spare: from snap_exception_spare(), or NULL; set to NULL if it was used
 *
 * Others may look up at the same time; of those that are added or removed meanwhile none is next to
 * what is removed.
 *
 * Context: process context, does not sleep.
 * Return: number of those, from @old on, that were removed: in the COW device they follow each
 * other, and in the table they are in one group. Or -ENOENT if @old has none, or -ENOMEM if @spare
 * is needed: try again with one.
 */
int snap_exception_remove(struct snap_exceptions *et, u64 old, unsigned int nr,
			  struct snap_group **spare);

#endif /* DM_SNAP_EXCEPTION_H */
