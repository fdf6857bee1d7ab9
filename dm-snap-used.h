/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A set of chunks of data, by index: which of them a persistent snapshot uses while it is loaded.
 *
 * Memory is in proportion to the parts of the device that are used in part: a bit for each chunk
 * there. Parts that are used completely, which are most of them as chunks are handed out in a row,
 * cost a pointer, those that are not used at all nothing. No allocation is larger than a page, and
 * no number of chunks has less than 64 bits.
 */
#ifndef DM_SNAP_USED_H
#define DM_SNAP_USED_H

#include <linux/types.h>
#include <linux/xarray.h>

struct snap_used_part;

/**
 * struct snap_used - the set
 * @parts:  parts by their number: struct snap_used_part, or a value entry if it is used completely
 * @recent: that to which a chunk was added last, if it is not used completely; most often the next
 *          chunk is one of it, too
 * @number: its number
 */
struct snap_used {
	struct xarray parts;
	struct snap_used_part *recent;
	unsigned long number;
};

/**
 * snap_used_init() - set up an empty set
 * @used: the set
 */
void snap_used_init(struct snap_used *used);

/**
 * snap_used_exit() - free what a set needs
 * @used: the set
 */
void snap_used_exit(struct snap_used *used);

/**
 * snap_used_set() - add a chunk
 * @used:  the set
 * @index: of the chunk
 *
 * Context: process context, may sleep.
 * Return: 0, 1 if the set has it already, or -ENOMEM.
 */
int snap_used_set(struct snap_used *used, u64 index);

/**
 * snap_used_next() - find the next chunks that are in the set
 * @used:  the set
 * @from:  index at which to begin
 * @start: set to the index of the first one, at least @from
 * @end:   set to the index after the last one that follows without a gap, or after one before it
 *
 * Return: false if there is none.
 */
bool snap_used_next(struct snap_used *used, u64 from, u64 *start, u64 *end);

#endif /* DM_SNAP_USED_H */
