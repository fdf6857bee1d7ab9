/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Slab caches with free objects at hand on each CPU.
 *
 * Stacks of at most DM_SCALED_MAGAZINE objects, one for each CPU, stand before a slab: what one I/O
 * gives back the next one takes, without the slab's accounting, and still in the CPU's cache. A CPU
 * that has not freed anything for a second gives back what it has.
 */
#ifndef DM_SCALED_CACHE_H
#define DM_SCALED_CACHE_H

#include <linux/list.h>
#include <linux/mempool.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#define DM_SCALED_MAGAZINE	64

/* For memory that can be done without: at once, and not from what others need to free some. */
#define DM_SCALED_GFP_TRY	(GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC)

struct dm_scaled_magazine;

/**
 * struct dm_scaled_cache - objects of one size
 * @slab:      where they come from
 * @magazines: per CPU: free objects
 * @clean:     takes from an object what it may only have as long as it is at hand, or NULL
 * @list:      in the list of all caches
 */
struct dm_scaled_cache {
	struct kmem_cache *slab;
	struct dm_scaled_magazine __percpu *magazines;
	void (*clean)(void *object);
	struct list_head list;
};

/**
 * dm_scaled_cache_init() - make a cache
 * @cache: the cache
 * @name:  of the slab
 * @size:  bytes of an object
 * @flags: of the slab: SLAB_HWCACHE_ALIGN, or 0
 * @ctor:  sets up an object that is new in the slab, to which it goes back in that state; or NULL
 * @clean: called before an object goes back to the slab or the reserve, in any context, or NULL
 *
 * Context: initialization of the module.
 * Return: 0 or -ENOMEM.
 */
int dm_scaled_cache_init(struct dm_scaled_cache *cache, const char *name, size_t size,
			 slab_flags_t flags, void (*ctor)(void *), void (*clean)(void *));

/**
 * dm_scaled_cache_exit() - destroy a cache
 * @cache: the cache; all its objects have been freed
 */
void dm_scaled_cache_exit(struct dm_scaled_cache *cache);

/**
 * dm_scaled_caches_empty() - give the free objects of a CPU back to the slabs
 * @cpu: a CPU that is dead, or on which nobody uses a cache
 *
 * Context: any CPU, process context; does not sleep.
 */
void dm_scaled_caches_empty(unsigned int cpu);

/**
 * dm_scaled_caches_empty_local() - give the free objects of this CPU back to the slabs
 *
 * The caches may be in use.
 *
 * Context: process context; does not sleep.
 */
void dm_scaled_caches_empty_local(void);

/**
 * dm_scaled_caches_at_hand() - tell how many free objects a CPU has
 * @cpu: the CPU
 *
 * Context: process context; does not sleep.
 * Return: those of all caches; a guess if they are in use.
 */
unsigned int dm_scaled_caches_at_hand(unsigned int cpu);

/**
 * struct dm_scaled_rest - finds out that a CPU has come to rest
 * @used:  something has been freed to a magazine of the CPU since @work ran last
 * @armed: @work is going to run
 * @work:  once a second while something is freed; then once more, to empty the magazines
 * @cpu:   number of the CPU
 *
 * The CPU's own, but for dm_scaled_rest_now().
 */
struct dm_scaled_rest {
	bool used;
	bool armed;
	struct delayed_work work;
	unsigned int cpu;
};

DECLARE_PER_CPU(struct dm_scaled_rest, dm_scaled_rest);

/**
 * dm_scaled_rest_init() - have magazines emptied where nothing is freed for a second
 * @empty: empties those of the CPU that it is called on
 *
 * Context: module initialization.
 */
void dm_scaled_rest_init(void (*empty)(void));

/**
 * dm_scaled_rest_exit() - stop that
 *
 * Context: module exit; magazines are not used any more.
 */
void dm_scaled_rest_exit(void);

/**
 * dm_scaled_rest_now() - have the magazines of a CPU emptied without delay
 * @cpu: if it is online, its work item does it, and is not waited for
 *
 * Context: any but NMI.
 */
void dm_scaled_rest_now(unsigned int cpu);

void __dm_scaled_rest_used(void);

/**
 * dm_scaled_rest_used() - something is freed to a magazine of this CPU
 *
 * Context: any but NMI.
 */
static inline void dm_scaled_rest_used(void)
{
	if (unlikely(!raw_cpu_read(dm_scaled_rest.used)))
		__dm_scaled_rest_used();
}

/**
 * dm_scaled_cache_try_alloc() - get an object if there is memory
 * @cache: the cache
 *
 * Context: any but NMI, does not sleep.
 * Return: the object, with old contents, or NULL.
 */
void *dm_scaled_cache_try_alloc(struct dm_scaled_cache *cache);

/**
 * dm_scaled_cache_free() - free an object
 * @cache:  the cache
 * @pool:   reserve of such objects
 * @object: the object
 *
 * It goes to the reserve if that is not complete.
 *
 * Context: any but NMI, does not sleep.
 */
void dm_scaled_cache_free(struct dm_scaled_cache *cache, mempool_t *pool, void *object);

/**
 * dm_scaled_pool_init() - make a reserve of objects
 * @pool:  the reserve; for mempool_alloc() and mempool_exit()
 * @nr:    number of objects
 * @cache: where they come from
 *
 * Return: 0 or -ENOMEM.
 */
int dm_scaled_pool_init(mempool_t *pool, int nr, struct dm_scaled_cache *cache);

/**
 * dm_scaled_pool_is_short() - whether others may wait for memory
 * @pool: the reserve
 *
 * @pool changes under its lock. Whoever took an object from it has seen it go down, and so sees it
 * when freeing that object; for objects from elsewhere a guess is good enough.
 *
 * Return: true if the reserve is not complete.
 */
static inline bool dm_scaled_pool_is_short(mempool_t *pool)
{
	return unlikely(READ_ONCE(pool->curr_nr) < pool->min_nr);
}

#endif /* DM_SCALED_CACHE_H */
