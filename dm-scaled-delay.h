/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Delay points: a debug build can stop for a while where one thread hands state over to another, so
 * that a window of nanoseconds becomes one of seconds.
 *
 * A point has a name, "file:what comes next", such as "clone-bitmap:set-hydrated". In a normal
 * build it compiles to nothing. In a debug build (for a kernel with CONFIG_PROVE_LOCKING, or with
 * make DM_SCALED_DELAYS=1) /sys/kernel/debug/dm-scaled/delay sets which points wait. A line written
 * to it is
 *
 *	NAME MILLISECONDS [PER_THOUSAND [COUNT]]
 *
 * NAME may end in "*". PER_THOUSAND, 1000 by default, is the probability that a hit waits. COUNT
 * limits how many hits wait; without it there is no limit. "off" forgets all lines. A read shows
 * each line with the number of its hits, and how many of them waited.
 *
 * While "no_memory" beside it is set, the engine finds no memory but its reserves.
 */
#ifndef DM_SCALED_DELAY_H
#define DM_SCALED_DELAY_H

#include <linux/jump_label.h>

struct dentry;

#if defined(DM_SCALED_DELAYS) && !defined(DM_SCALED_KUNIT)

DECLARE_STATIC_KEY_FALSE(dm_scaled_delays_set);

void __dm_scaled_delay(const char *name);

extern bool dm_scaled_no_memory_set;

/**
 * dm_scaled_delay() - wait at a delay point if it has been set
 * @name: name of the point, a string literal
 *
 * Sleeps where the caller may sleep, spins elsewhere.
 *
 * Context: any but NMI.
 */
static __always_inline void dm_scaled_delay(const char *name)
{
	if (static_branch_unlikely(&dm_scaled_delays_set))
		__dm_scaled_delay(name);
}

/**
 * dm_scaled_no_memory() - whether an allocation that may fail is to fail
 *
 * For jobs, pages and bios of the engine, and pending exceptions.
 *
 * Context: any.
 */
static __always_inline bool dm_scaled_no_memory(void)
{
	return READ_ONCE(dm_scaled_no_memory_set);
}

/**
 * dm_scaled_delay_init() - create the debugfs files
 * @dir: directory of the module
 */
void dm_scaled_delay_init(struct dentry *dir);

/**
 * dm_scaled_delay_exit() - forget all settings
 *
 * Context: module exit; the file has been removed.
 */
void dm_scaled_delay_exit(void);

#else

static inline void dm_scaled_delay(const char *name)
{
}

static inline bool dm_scaled_no_memory(void)
{
	return false;
}

static inline void dm_scaled_delay_init(struct dentry *dir)
{
}

static inline void dm_scaled_delay_exit(void)
{
}

#endif

#endif /* DM_SCALED_DELAY_H */
