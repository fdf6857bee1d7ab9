// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slab caches with free objects at hand on each CPU.
 */
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

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

/*
 * Held by who empties magazines: a CPU that goes offline, one that has come to rest, and who
 * destroys the last client do so at any time.
 */
static DEFINE_SPINLOCK(dm_scaled_caches_lock);	/* protects the list of caches */
static LIST_HEAD(dm_scaled_caches);

DEFINE_PER_CPU(struct dm_scaled_rest, dm_scaled_rest);
static void (*dm_scaled_rest_empty)(void);

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
	dm_scaled_rest_used();
}

/* Of a CPU on which the cache is not used. */
static void dm_scaled_cache_empty(struct dm_scaled_cache *cache, unsigned int cpu)
{
	struct dm_scaled_magazine *m = per_cpu_ptr(cache->magazines, cpu);

	while (m->nr)
		dm_scaled_to_slab(cache, m->objects[--m->nr]);
}

void dm_scaled_caches_empty(unsigned int cpu)
{
	struct dm_scaled_cache *cache;

	spin_lock(&dm_scaled_caches_lock);
	list_for_each_entry(cache, &dm_scaled_caches, list)
		dm_scaled_cache_empty(cache, cpu);
	spin_unlock(&dm_scaled_caches_lock);
}

static void *dm_scaled_magazine_pop(struct dm_scaled_cache *cache)
{
	struct dm_scaled_magazine *m;
	unsigned long flags;
	void *object = NULL;

	local_lock_irqsave(&cache->magazines->lock, flags);
	m = this_cpu_ptr(cache->magazines);
	if (m->nr)
		object = m->objects[--m->nr];
	local_unlock_irqrestore(&cache->magazines->lock, flags);
	return object;
}

void dm_scaled_caches_empty_local(void)
{
	struct dm_scaled_cache *cache;
	void *object;

	spin_lock(&dm_scaled_caches_lock);
	list_for_each_entry(cache, &dm_scaled_caches, list)
		while ((object = dm_scaled_magazine_pop(cache)))
			dm_scaled_to_slab(cache, object);
	spin_unlock(&dm_scaled_caches_lock);
}

unsigned int dm_scaled_caches_at_hand(unsigned int cpu)
{
	struct dm_scaled_cache *cache;
	unsigned int nr = 0;

	spin_lock(&dm_scaled_caches_lock);
	list_for_each_entry(cache, &dm_scaled_caches, list)
		nr += READ_ONCE(per_cpu_ptr(cache->magazines, cpu)->nr);
	spin_unlock(&dm_scaled_caches_lock);
	return nr;
}

/*
 * The work queues itself again, having set @armed. A delayed work is queued on online CPUs only:
 * else its timer expires when the CPU comes back, and 7.3 warns. With preemption off no CPU goes
 * offline. The hotplug callback has emptied one that did. When it comes back, its first free finds
 * @used not set.
 */
static void dm_scaled_rest_again(struct dm_scaled_rest *rest)
{
	bool online;

	do {
		WRITE_ONCE(rest->used, false);
		preempt_disable();
		online = cpu_online(rest->cpu);
		if (online)
			queue_delayed_work_on(rest->cpu, system_percpu_wq, &rest->work, HZ);
		preempt_enable();
		if (online)
			return;

		WRITE_ONCE(rest->armed, false);
		/* Pairs with xchg() in __dm_scaled_rest_used(): it arms, or we see @used. */
		smp_mb();
	} while (READ_ONCE(rest->used) && !xchg(&rest->armed, true));
}

/*
 * A second without anything freed: the CPU has come to rest. A CPU that went offline has been
 * emptied by its hotplug callback, and the work runs on another one.
 */
static void dm_scaled_rest_work(struct work_struct *work)
{
	struct dm_scaled_rest *rest =
		container_of(to_delayed_work(work), struct dm_scaled_rest, work);

	if (!READ_ONCE(rest->used)) {
		WRITE_ONCE(rest->armed, false);
		/* Pairs with xchg() in __dm_scaled_rest_used(): it arms, or we see @used. */
		smp_mb();
		if (rest->cpu == raw_smp_processor_id())
			dm_scaled_rest_empty();
		if (!READ_ONCE(rest->used) || xchg(&rest->armed, true))
			return;
	}
	dm_scaled_rest_again(rest);
}

void __dm_scaled_rest_used(void)
{
	struct dm_scaled_rest *rest;

	/*
	 * Whoever was moved to another CPU would set @used of one that is offline, where nothing
	 * resets it: the CPU would never be emptied again.
	 */
	preempt_disable();
	rest = this_cpu_ptr(&dm_scaled_rest);
	WRITE_ONCE(rest->used, true);
	if (!xchg(&rest->armed, true))
		queue_delayed_work_on(rest->cpu, system_percpu_wq, &rest->work, HZ);
	preempt_enable();
}

void dm_scaled_rest_now(unsigned int cpu)
{
	struct dm_scaled_rest *rest = per_cpu_ptr(&dm_scaled_rest, cpu);

	/* As in dm_scaled_rest_again(). */
	preempt_disable();
	if (cpu_online(cpu)) {
		WRITE_ONCE(rest->used, false);
		/* What a work that ran on another CPU has left behind is there without it. */
		WRITE_ONCE(rest->armed, true);
		mod_delayed_work_on(cpu, system_percpu_wq, &rest->work, 0);
	}
	preempt_enable();
}

void dm_scaled_rest_init(void (*empty)(void))
{
	int cpu;

	dm_scaled_rest_empty = empty;
	for_each_possible_cpu(cpu) {
		struct dm_scaled_rest *rest = per_cpu_ptr(&dm_scaled_rest, cpu);

		INIT_DELAYED_WORK(&rest->work, dm_scaled_rest_work);
		rest->cpu = cpu;
		rest->used = false;
		rest->armed = false;
	}
}

void dm_scaled_rest_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct dm_scaled_rest *rest = per_cpu_ptr(&dm_scaled_rest, cpu);

		/* Nothing arms it again. */
		rest->armed = true;
		cancel_delayed_work_sync(&rest->work);
	}
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
	spin_lock(&dm_scaled_caches_lock);
	list_add_tail(&cache->list, &dm_scaled_caches);
	spin_unlock(&dm_scaled_caches_lock);
	return 0;
}

void dm_scaled_cache_exit(struct dm_scaled_cache *cache)
{
	int cpu;

	spin_lock(&dm_scaled_caches_lock);
	list_del(&cache->list);
	spin_unlock(&dm_scaled_caches_lock);
	/* What a CPU that is at rest has not given back yet. */
	for_each_possible_cpu(cpu)
		dm_scaled_cache_empty(cache, cpu);
	kmem_cache_destroy(cache->slab);
	free_percpu(cache->magazines);
}
