// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slab caches with free objects at hand on each CPU.
 */
#include <linux/percpu.h>

#include "compat.h"
#include "dm-scaled-cache.h"
#include "dm-scaled-delay.h"

/**
 * struct dm_scaled_magazine - free objects of one CPU
 * @lock:    protects all fields; used on this CPU only, with interrupts off
 * @nr:      entries of @objects that are used
 * @objects: the objects
 */
struct dm_scaled_magazine {
	local_lock_t lock;
	unsigned int nr;
	void *objects[DM_SCALED_MAGAZINE];
};

/* Changes only while the module is loaded or unloaded. */
static LIST_HEAD(dm_scaled_caches);

void *dm_scaled_cache_try_alloc(struct dm_scaled_cache *cache)
{
	struct dm_scaled_magazine *m;
	unsigned long flags;
	void *object = NULL;

	if (unlikely(dm_scaled_no_memory()))
		return NULL;

	local_lock_irqsave(&cache->magazines->lock, flags);
	m = this_cpu_ptr(cache->magazines);
	if (likely(m->nr))
		object = m->objects[--m->nr];
	local_unlock_irqrestore(&cache->magazines->lock, flags);

	if (likely(object))
		return object;
	return kmem_cache_alloc(cache->slab, DM_SCALED_GFP_TRY);
}

/* To the state in which objects are in the slab. */
static void dm_scaled_clean(struct dm_scaled_cache *cache, void *object)
{
	if (cache->clean)
		cache->clean(object);
}

static void dm_scaled_to_slab(struct dm_scaled_cache *cache, void *object)
{
	dm_scaled_clean(cache, object);
	kmem_cache_free(cache->slab, object);
}

void dm_scaled_cache_free(struct dm_scaled_cache *cache, mempool_t *pool, void *object)
{
	struct dm_scaled_magazine *m;
	unsigned long flags;

	if (dm_scaled_pool_is_short(pool)) {
		dm_scaled_clean(cache, object);
		mempool_free(object, pool);
		return;
	}

	local_lock_irqsave(&cache->magazines->lock, flags);
	m = this_cpu_ptr(cache->magazines);
	if (likely(m->nr < DM_SCALED_MAGAZINE)) {
		m->objects[m->nr++] = object;
		object = NULL;
	}
	local_unlock_irqrestore(&cache->magazines->lock, flags);

	if (unlikely(object))
		dm_scaled_to_slab(cache, object);
}

void dm_scaled_caches_empty(unsigned int cpu)
{
	struct dm_scaled_cache *cache;

	list_for_each_entry(cache, &dm_scaled_caches, list) {
		struct dm_scaled_magazine *m = per_cpu_ptr(cache->magazines, cpu);

		while (m->nr)
			dm_scaled_to_slab(cache, m->objects[--m->nr]);
	}
}

unsigned int dm_scaled_caches_at_hand(unsigned int cpu)
{
	struct dm_scaled_cache *cache;
	unsigned int nr = 0;

	list_for_each_entry(cache, &dm_scaled_caches, list)
		nr += per_cpu_ptr(cache->magazines, cpu)->nr;
	return nr;
}

/* A mempool's own functions for slabs refuse one with a constructor. */
static void *dm_scaled_pool_alloc(gfp_t gfp, void *slab)
{
	/* The pool itself is filled with GFP_KERNEL. */
	if (unlikely(dm_scaled_no_memory()) && !(gfp & __GFP_FS))
		return NULL;
	return kmem_cache_alloc(slab, gfp);
}

static void dm_scaled_pool_free(void *object, void *slab)
{
	kmem_cache_free(slab, object);
}

int dm_scaled_pool_init(mempool_t *pool, int nr, struct dm_scaled_cache *cache)
{
	return mempool_init(pool, nr, dm_scaled_pool_alloc, dm_scaled_pool_free, cache->slab);
}

/* That there is a constructor tells the slab not to clear an object each time. */
static void dm_scaled_no_ctor(void *object)
{
}

int dm_scaled_cache_init(struct dm_scaled_cache *cache, const char *name, size_t size,
			 slab_flags_t flags, void (*ctor)(void *), void (*clean)(void *))
{
	int cpu;

	cache->magazines = alloc_percpu(struct dm_scaled_magazine);
	if (!cache->magazines)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		local_lock_init(&per_cpu_ptr(cache->magazines, cpu)->lock);

	cache->slab = kmem_cache_create(name, size, 0, flags, ctor ?: dm_scaled_no_ctor);
	if (!cache->slab) {
		free_percpu(cache->magazines);
		return -ENOMEM;
	}
	cache->clean = clean;
	list_add_tail(&cache->list, &dm_scaled_caches);
	return 0;
}

void dm_scaled_cache_exit(struct dm_scaled_cache *cache)
{
	list_del(&cache->list);
	kmem_cache_destroy(cache->slab);
	free_percpu(cache->magazines);
}
