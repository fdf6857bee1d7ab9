// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of dm-kcopyd-mq: jobs and pages.
 *
 * What a job gives back goes to a magazine of the CPU, from which the next job on that CPU takes
 * it: neither the slab nor the page allocator is called for a small copy, and nothing is cleared
 * that is about to be overwritten. A magazine of pages holds at most KMQ_MAGAZINE_PAGES; magazines
 * are emptied, those of other caches, too, when their CPU goes offline, when it has not used them
 * for a second, when the system is short of memory, and when the last client is destroyed.
 *
 * Under memory exhaustion a job is taken from the client's mempool, and its pages from the client's
 * reserve. That is small: a job that needs more than all of it makes its segment as short as that,
 * and does the rest later. It takes all its pages at once. Whoever gives memory back completes the
 * reserves first, and then serves the tickets that wait for a job, and the jobs that wait for
 * pages, oldest first.
 *
 * Reserved pages always come back. A job has I/O in flight while it holds them; or, with
 * WRITE_SEQ, waits for the writes of segments that stand before its own in the same copy. These
 * have asked for pages before it did. A job of such a copy that has a rest goes on with the pages
 * that it has: if it had to ask again, segments behind it could hold all of the reserve by then,
 * and wait for it.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "compat.h"
#include "dm-kcopyd-mq-job.h"
#include "dm-scaled-cache.h"
#include "dm-scaled-delay.h"

/* What some copies of 512 KiB that end together give back: the next ones want as many. */
#define KMQ_MAGAZINE_PAGES	512

/**
 * struct kmq_magazine - free pages of one CPU
 * @lock:     protects all fields; process context of this CPU only. Without it they are touched
 *            only when the CPU is dead or there are no clients, under kmq_empty_lock
 * @nr_pages: entries of @pages that are used
 * @pages:    the pages
 */
struct kmq_magazine {
	local_lock_t lock;
	unsigned int nr_pages;
	struct page *pages[KMQ_MAGAZINE_PAGES];
};

/* Not a static one: all modules together have only 8 KiB of those. */
static struct kmq_magazine __percpu *kmq_magazines;

static struct dm_scaled_cache kmq_job_cache;
static enum cpuhp_state kmq_cpuhp_state;

/* Counts the clients, so that the last one empties the magazines. */
static DEFINE_MUTEX(kmq_clients_lock);
static unsigned int kmq_clients;

/*
 * Held by who empties magazines. Not preempted on the way, so that nobody ever waits for a CPU that
 * a task of high priority holds.
 */
static DEFINE_SPINLOCK(kmq_empty_lock);	/* protects changes of @kmq_clients to and from 0, too */
static struct shrinker *kmq_shrinker;

/* Outside of use a job has no pages. */
static void kmq_job_ctor(void *object)
{
	struct kmq_job *job = object;

	job->nr_pages = 0;
}

/* Of a CPU that is dead, or with no client left. Those of the caches, too. */
static void kmq_magazines_empty_cpu(unsigned int cpu)
{
	struct kmq_magazine *m = per_cpu_ptr(kmq_magazines, cpu);

	spin_lock(&kmq_empty_lock);
	while (m->nr_pages)
		__free_page(m->pages[--m->nr_pages]);
	dm_scaled_caches_empty(cpu);
	spin_unlock(&kmq_empty_lock);
}

/* Of this CPU, which may be using them. */
static void kmq_magazines_empty_local(void)
{
	struct kmq_magazine *m;

	spin_lock(&kmq_empty_lock);
	/* Without clients they are being emptied from elsewhere. */
	if (kmq_clients) {
		local_lock(&kmq_magazines->lock);
		m = this_cpu_ptr(kmq_magazines);
		while (m->nr_pages)
			__free_page(m->pages[--m->nr_pages]);
		local_unlock(&kmq_magazines->lock);
		dm_scaled_caches_empty_local();
	}
	spin_unlock(&kmq_empty_lock);
}

static unsigned int kmq_at_hand(unsigned int cpu)
{
	return READ_ONCE(per_cpu_ptr(kmq_magazines, cpu)->nr_pages) +
	       dm_scaled_caches_at_hand(cpu);
}

static void kmq_client_counts(void)
{
	mutex_lock(&kmq_clients_lock);
	spin_lock(&kmq_empty_lock);
	kmq_clients++;
	spin_unlock(&kmq_empty_lock);
	mutex_unlock(&kmq_clients_lock);
}

/* The last client takes the contents of all magazines with it. */
static void kmq_client_is_gone(void)
{
	bool last;
	int cpu;

	mutex_lock(&kmq_clients_lock);
	spin_lock(&kmq_empty_lock);
	last = !--kmq_clients;
	spin_unlock(&kmq_empty_lock);
	/* Nobody uses them any more, and no new client comes meanwhile: no CPU has to be asked. */
	if (last)
		for_each_possible_cpu(cpu)
			kmq_magazines_empty_cpu(cpu);
	mutex_unlock(&kmq_clients_lock);
}

static unsigned long kmq_shrink_count(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long nr = 0;
	int cpu;

	for_each_online_cpu(cpu)
		nr += kmq_at_hand(cpu);
	return nr ?: SHRINK_EMPTY;
}

/* This CPU's are freed now; other CPUs are asked to free theirs, and not waited for. */
static unsigned long kmq_shrink_scan(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long wanted = sc->nr_to_scan, freed = kmq_at_hand(raw_smp_processor_id());
	unsigned int nr;
	int cpu;

	kmq_magazines_empty_local();
	wanted -= min(wanted, freed);
	for_each_online_cpu(cpu) {
		if (!wanted)
			break;
		nr = kmq_at_hand(cpu);
		if (nr) {
			dm_scaled_rest_now(cpu);
			wanted -= min_t(unsigned long, wanted, nr);
		}
	}
	return freed ?: SHRINK_STOP;
}

/* The CPU is gone, so nobody else is at its magazine. */
static int kmq_cpu_dead(unsigned int cpu)
{
	kmq_magazines_empty_cpu(cpu);
	return 0;
}

struct kmq_job *kmq_job_try_alloc(void)
{
	return dm_scaled_cache_try_alloc(&kmq_job_cache);
}

struct kmq_job *kmq_job_alloc(struct dm_kcopyd_mq_client *kc, bool *direct)
{
	struct kmq_job *job = kmq_job_try_alloc();

	*direct = job;
	if (likely(job))
		return job;
	dm_kcopyd_mq_may_wait();
	return mempool_alloc(&kc->jobs, GFP_NOIO);
}

static struct dm_kcopyd_mq_ticket *kmq_next_ticket(const struct dm_kcopyd_mq_ticket *ticket)
{
	struct dm_kcopyd_mq_item *item;

	if (!ticket->item.node.next)
		return NULL;
	item = llist_entry(ticket->item.node.next, struct dm_kcopyd_mq_item, node);
	return container_of(item, struct dm_kcopyd_mq_ticket, item);
}

static void kmq_park(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket)
{
	ticket->item.node.next = NULL;
	spin_lock(&kc->park_lock);
	if (kc->parked)
		kc->parked_last->item.node.next = &ticket->item.node;
	else
		WRITE_ONCE(kc->parked, ticket);
	kc->parked_last = ticket;
	spin_unlock(&kc->park_lock);
}

/* Gives jobs of the reserve to the tickets that wait for one, as far as there are any. */
static void kmq_serve_parked(struct dm_kcopyd_mq_client *kc)
{
	struct dm_kcopyd_mq_ticket *ticket;

	spin_lock(&kc->park_lock);
	while ((ticket = kc->parked)) {
		ticket->job = mempool_alloc(&kc->jobs, GFP_NOWAIT | __GFP_NOWARN);
		if (!ticket->job)
			break;
		ticket->direct = false;
		WRITE_ONCE(kc->parked, kmq_next_ticket(ticket));
		dm_kcopyd_mq_queue_item(kc, &ticket->item, ticket->cpu);
	}
	spin_unlock(&kc->park_lock);
}

bool kmq_job_reserve(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_ticket *ticket)
{
	ticket->job = kmq_job_try_alloc();
	ticket->direct = true;
	if (likely(ticket->job))
		return true;

	ticket->direct = false;
	/* Nobody overtakes those who wait. */
	if (!READ_ONCE(kc->parked)) {
		ticket->job = mempool_alloc(&kc->jobs, GFP_NOWAIT | __GFP_NOWARN);
		if (ticket->job)
			return true;
	}

	kmq_park(kc, ticket);
	/* Pairs with smp_mb() in kmq_job_free(): we see the job, or the ticket is seen there. */
	smp_mb();
	if (READ_ONCE(kc->jobs.curr_nr))
		kmq_serve_parked(kc);
	return false;
}

void kmq_job_free(struct kmq_job *job)
{
	struct dm_kcopyd_mq_client *kc = job->kc;
	/* While a ticket waits, the reserve's jobs are in use: who frees one of them sees that. */
	bool short_of_jobs = dm_scaled_pool_is_short(&kc->jobs);

	dm_scaled_cache_free(&kmq_job_cache, &kc->jobs, job);
	if (unlikely(short_of_jobs)) {
		/* Pairs with smp_mb() in kmq_job_reserve(). */
		smp_mb();
		if (READ_ONCE(kc->parked))
			kmq_serve_parked(kc);
	}
}

static unsigned int kmq_pages_needed(const struct kmq_job *job)
{
	return DIV_ROUND_UP(job->count, PAGE_SECTORS);
}

static void kmq_set_page(struct kmq_job *job, struct page *page)
{
	struct bio_vec *vec = &job->vecs[job->nr_pages++];

	vec->bv_page = page;
	vec->bv_len = PAGE_SIZE;
	vec->bv_offset = 0;
}

/* Gives pages to the magazine, or back to the system. */
static void kmq_free_pages(struct kmq_job *job)
{
	unsigned int i = 0;
	struct kmq_magazine *m;

	local_lock(&kmq_magazines->lock);
	m = this_cpu_ptr(kmq_magazines);
	while (i < job->nr_pages && m->nr_pages < KMQ_MAGAZINE_PAGES)
		m->pages[m->nr_pages++] = job->vecs[i++].bv_page;
	local_unlock(&kmq_magazines->lock);

	for (; i < job->nr_pages; i++)
		__free_page(job->vecs[i].bv_page);
	job->nr_pages = 0;
	dm_scaled_rest_used();
}

static void kmq_free_vecs(struct kmq_job *job)
{
	if (job->vecs != job->inline_vecs) {
		kfree(job->vecs);
		job->vecs = job->inline_vecs;
	}
}

bool kmq_pages_try_get(struct kmq_job *job)
{
	unsigned int needed = kmq_pages_needed(job);
	struct kmq_magazine *m;
	struct page *page;

	job->vecs = job->inline_vecs;
	if (unlikely(dm_scaled_no_memory()))
		return false;
	if (needed > KMQ_INLINE_VECS) {
		job->vecs = kmalloc_array(needed, sizeof(*job->vecs), DM_SCALED_GFP_TRY);
		if (!job->vecs) {
			job->vecs = job->inline_vecs;
			return false;
		}
	}

	local_lock(&kmq_magazines->lock);
	m = this_cpu_ptr(kmq_magazines);
	while (job->nr_pages < needed && m->nr_pages)
		kmq_set_page(job, m->pages[--m->nr_pages]);
	local_unlock(&kmq_magazines->lock);

	while (job->nr_pages < needed) {
		page = alloc_page(DM_SCALED_GFP_TRY);
		if (!page)
			goto no_memory;
		kmq_set_page(job, page);
	}
	return true;

no_memory:
	while (job->nr_pages)
		__free_page(job->vecs[--job->nr_pages].bv_page);
	kmq_free_vecs(job);
	return false;
}

/*
 * Takes all that a job needs from the reserve, or nothing. What is more than a complete reserve has
 * becomes the job's rest.
 */
static bool kmq_reserve_take(struct kmq_reserve *r, struct kmq_job *job)
	__must_hold(&r->lock)
{
	unsigned int needed = min(kmq_pages_needed(job), r->size), most = needed * PAGE_SECTORS;

	lockdep_assert_held(&r->lock);

	if (r->nr_pages < needed)
		return false;

	if (job->count > most) {
		job->rest = job->count - most;
		job->count = most;
		job->write_count = most;
	}
	while (job->nr_pages < needed) {
		struct page *page = list_first_entry(&r->pages, struct page, lru);

		list_del(&page->lru);
		r->nr_pages--;
		kmq_set_page(job, page);
	}
	return true;
}

/* Gives a job's memory to the reserve as far as it lacks any, and serves those who wait. */
static void kmq_refill(struct kmq_job *job)
{
	struct kmq_reserve *r = &job->kc->reserve;
	struct kmq_job *next, *tmp;
	LIST_HEAD(served);

	spin_lock(&r->lock);
	while (job->nr_pages && r->nr_pages < r->size) {
		list_add(&job->vecs[--job->nr_pages].bv_page->lru, &r->pages);
		r->nr_pages++;
	}
	kmq_free_pages(job);

	list_for_each_entry_safe(next, tmp, &r->waiting, list) {
		if (!kmq_reserve_take(r, next))
			break;
		list_move_tail(&next->list, &served);
	}
	if (list_empty(&r->waiting) && r->nr_pages == r->size)
		WRITE_ONCE(r->low, false);
	spin_unlock(&r->lock);

	list_for_each_entry_safe(next, tmp, &served, list) {
		list_del(&next->list);
		kmq_queue(next);
	}
}

bool kmq_pages_get(struct kmq_job *job)
{
	struct kmq_reserve *r = &job->kc->reserve;
	bool got;

	if (likely(kmq_pages_try_get(job)))
		return true;

	spin_lock(&r->lock);
	WRITE_ONCE(r->low, true);
	got = list_empty(&r->waiting) && kmq_reserve_take(r, job);
	if (!got)
		list_add_tail(&job->list, &r->waiting);
	spin_unlock(&r->lock);

	return got;
}

void kmq_pages_put(struct kmq_job *job)
{
	if (!job->nr_pages)
		return;

	/*
	 * Whoever took reserved pages has set @low before, and sees it when giving them back; so an
	 * unlocked look is enough.
	 */
	if (unlikely(READ_ONCE(job->kc->reserve.low)))
		kmq_refill(job);
	else
		kmq_free_pages(job);
	kmq_free_vecs(job);
}

int kmq_reserve_init(struct dm_kcopyd_mq_client *kc)
{
	struct kmq_reserve *r = &kc->reserve;
	int err;

	spin_lock_init(&kc->park_lock);
	spin_lock_init(&r->lock);
	INIT_LIST_HEAD(&r->pages);
	INIT_LIST_HEAD(&r->waiting);
	err = dm_scaled_pool_init(&kc->jobs, KMQ_MIN_JOBS, &kmq_job_cache);
	if (err)
		return err;

	kmq_client_counts();

	err = kmq_reserve_grow(kc, min_t(unsigned int, DIV_ROUND_UP(kc->sub_job_size, PAGE_SECTORS),
					 KMQ_RESERVE_PAGES));
	if (err)
		kmq_reserve_exit(kc);
	return err;
}

int kmq_reserve_grow(struct dm_kcopyd_mq_client *kc, unsigned int pages)
{
	struct kmq_reserve *r = &kc->reserve;

	BUILD_BUG_ON(KMQ_RESERVE_PAGES > KMQ_INLINE_VECS);
	BUILD_BUG_ON(DM_SCALED_MAX_BLOCK > KMQ_INLINE_VECS * PAGE_SIZE);
	if (WARN_ON_ONCE(pages > KMQ_INLINE_VECS))
		return -EINVAL;
	while (r->size < pages) {
		struct page *page = alloc_page(GFP_KERNEL);

		if (!page)
			return -ENOMEM;
		list_add(&page->lru, &r->pages);
		r->nr_pages++;
		r->size++;
	}
	return 0;
}

void kmq_reserve_exit(struct dm_kcopyd_mq_client *kc)
{
	struct kmq_reserve *r = &kc->reserve;
	struct page *page, *tmp;

	list_for_each_entry_safe(page, tmp, &r->pages, lru)
		__free_page(page);
	mempool_exit(&kc->jobs);

	kmq_client_is_gone();
}

static int kmq_magazines_init(void)
{
	int cpu;

	kmq_magazines = alloc_percpu(struct kmq_magazine);
	if (!kmq_magazines)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		local_lock_init(&per_cpu_ptr(kmq_magazines, cpu)->lock);
	return 0;
}

int kmq_mem_init(void)
{
	int r;

	r = kmq_magazines_init();
	if (r)
		return r;
	r = dm_scaled_cache_init(&kmq_job_cache, DM_SCALED_UNIQUE_NAME("dm_kcopyd_mq_job"),
				 sizeof(struct kmq_job), SLAB_HWCACHE_ALIGN, kmq_job_ctor, NULL);
	if (r)
		goto bad_cache;

	r = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "dm/kcopyd-mq:prepare", NULL,
				      kmq_cpu_dead);
	if (r < 0)
		goto bad_state;
	kmq_cpuhp_state = r;

	dm_scaled_rest_init(kmq_magazines_empty_local);
	kmq_shrinker = dm_scaled_shrinker_create(DM_SCALED_UNIQUE_NAME("dm-kcopyd-mq"),
						 kmq_shrink_count, kmq_shrink_scan);
	if (!kmq_shrinker) {
		r = -ENOMEM;
		goto bad_shrinker;
	}
	return 0;

bad_shrinker:
	cpuhp_remove_state_nocalls(kmq_cpuhp_state);
bad_state:
	dm_scaled_cache_exit(&kmq_job_cache);
bad_cache:
	free_percpu(kmq_magazines);
	return r;
}

void kmq_mem_exit(void)
{
	int cpu;

	dm_scaled_shrinker_destroy(kmq_shrinker);
	dm_scaled_rest_exit();
	cpuhp_remove_state_nocalls(kmq_cpuhp_state);
	for_each_possible_cpu(cpu)
		kmq_magazines_empty_cpu(cpu);
	dm_scaled_cache_exit(&kmq_job_cache);
	free_percpu(kmq_magazines);
}
