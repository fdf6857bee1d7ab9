// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients of dm-kcopyd-mq, their lists, one for each CPU, and the workers that go through them.
 */
#define DM_MSG_PREFIX "kcopyd-mq"

#include <linux/debug_locks.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>

#include "compat.h"
#include "copy-offload.h"
#include "dm-kcopyd-mq-job.h"

/* Lists that a worker takes before others get their turn on the CPU. */
#define KMQ_MAX_ROUNDS		64

static unsigned int kcopyd_subjob_size_kb = KMQ_SUBJOB_KB_DEFAULT;
module_param(kcopyd_subjob_size_kb, uint, 0644);
MODULE_PARM_DESC(kcopyd_subjob_size_kb, "KiB that a job copies at once, for clients created later");

/*
 *------------------------------------------------------------
 * Per-CPU lists and their workers
 *------------------------------------------------------------
 */

unsigned int dm_kcopyd_mq_hold(struct dm_kcopyd_mq_client *kc)
{
	return kmq_enter(kc);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_hold);

void dm_kcopyd_mq_release(struct dm_kcopyd_mq_client *kc)
{
	dm_scaled_refs_put(&kc->refs);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_release);

static void kmq_push(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_item *item,
		     unsigned int cpu)
{
	struct kmq_cpu *kcc = per_cpu_ptr(kc->cpus, cpu);

	/*
	 * A worker that is running may take the item at once, and it may have been the client's
	 * last: the RCU section keeps the client until we are done with it.
	 */
	rcu_read_lock();
	/* Pairs with smp_mb() in kmq_work(): either it sees the item, or we see it stopped. */
	if (llist_add(&item->node, &kcc->items) && !READ_ONCE(kcc->running)) {
		if (kc->background)
			kmq_kick_idle(kcc);
		else if (!kmq_kick_lazily(kcc))
			queue_work_on(cpu, kc->wq, &kcc->work);
	}
	rcu_read_unlock();
}

void kmq_queue(struct kmq_job *job)
{
	kmq_push(job->kc, &job->item, job->cpu);
}

void dm_kcopyd_mq_queue_item(struct dm_kcopyd_mq_client *kc, struct dm_kcopyd_mq_item *item,
			     unsigned int cpu)
{
	kmq_push(kc, item, cpu);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_queue_item);

/* Whether a worker that nobody waits for keeps another task from the CPU. */
static bool kmq_gives_way(struct dm_kcopyd_mq_client *kc)
{
	return unlikely(kc->background) && !atomic_read(&kc->urgent) && !single_task_running();
}

/* Returns what is left, if the worker has to give way. It has run an item at least. */
static struct llist_node *kmq_run_list(struct dm_kcopyd_mq_client *kc, struct llist_node *list)
{
	struct dm_kcopyd_mq_item *item;
	struct blk_plug plug;

	blk_start_plug(&plug);
	if (unlikely(kc->offload))
		list = kmq_gather_copies(list);
	list = kmq_gather_writes(list);
	while (list) {
		item = llist_entry(list, struct dm_kcopyd_mq_item, node);
		list = list->next;
		item->fn(item);
		cond_resched();
		if (kmq_gives_way(kc))
			break;
	}
	blk_finish_plug(&plug);
	return list;
}

/* A worker with more to do lets others have the CPU first. */
static void kmq_come_back(struct kmq_cpu *kcc)
{
	if (!kcc->kc->background) {
		queue_work(kcc->kc->wq, &kcc->work);
		return;
	}
	rcu_read_lock();
	kmq_kick_idle(kcc);
	rcu_read_unlock();
}

#ifdef CONFIG_LOCKDEP
static struct lock_class_key kmq_worker_key;
/* Held by a worker while it runs items. */
static struct lockdep_map kmq_worker_map = STATIC_LOCKDEP_MAP_INIT("kmq_worker", &kmq_worker_key);

void dm_kcopyd_mq_may_wait(void)
{
	/* In a map function that a bio of the worker's has got to the target below may wait. */
	WARN_ONCE(debug_locks && lock_is_held(&kmq_worker_map) && !current->bio_list,
		  "a worker of the copy engine is about to wait");
}
#endif

static void kmq_work(struct work_struct *work)
{
	struct kmq_cpu *kcc = container_of(work, struct kmq_cpu, work);
	unsigned int rounds = 0;
	struct llist_node *list;

	WRITE_ONCE(kcc->task, current);
	WRITE_ONCE(kcc->running, true);
	for (;;) {
		list = kcc->taken;
		if (likely(!list))
			list = llist_reverse_order(llist_del_all(&kcc->items));
		if (list) {
			lock_map_acquire(&kmq_worker_map);
			list = kmq_run_list(kcc->kc, list);
			lock_map_release(&kmq_worker_map);
			/* Pairs with the acquire in dm_kcopyd_mq_client_flush(). */
			smp_store_release(&kcc->taken, list);
			if (++rounds < KMQ_MAX_ROUNDS && !kmq_gives_way(kcc->kc))
				continue;
			rounds = KMQ_MAX_ROUNDS;
		}

		WRITE_ONCE(kcc->running, false);
		/* Pairs with the atomic operation of llist_add() in kmq_push(), see there. */
		smp_mb();
		if (!kcc->taken && llist_empty(&kcc->items))
			break;
		if (rounds >= KMQ_MAX_ROUNDS) {
			kmq_come_back(kcc);
			break;
		}
		WRITE_ONCE(kcc->running, true);
	}
	/* Pairs with the acquire in dm_kcopyd_mq_client_flush(). */
	smp_store_release(&kcc->task, NULL);
}

/* Jobs that the throttle held back ask again, oldest first. */
static void kmq_delay_work(struct work_struct *work)
{
	struct dm_kcopyd_mq_client *kc =
		container_of(work, struct dm_kcopyd_mq_client, delay_work.work);
	struct kmq_job *job, *next;
	LIST_HEAD(jobs);

	spin_lock(&kc->delay_lock);
	list_splice_init(&kc->delayed, &jobs);
	spin_unlock(&kc->delay_lock);

	list_for_each_entry_safe(job, next, &jobs, list) {
		list_del(&job->list);
		kmq_queue(job);
	}
}

/*
 *------------------------------------------------------------
 * Clients
 *------------------------------------------------------------
 */

/**
 * struct kmq_marker - has passed when everything that stood before it on a CPU's list has run
 * @item:   in the list
 * @passed: completed when it is run
 */
struct kmq_marker {
	struct dm_kcopyd_mq_item item;
	struct completion passed;
};

static void kmq_marker_run(struct dm_kcopyd_mq_item *item)
{
	complete(&container_of(item, struct kmq_marker, item)->passed);
}

void dm_kcopyd_mq_client_flush(struct dm_kcopyd_mq_client *kc)
{
	struct kmq_marker marker;
	int cpu;

	dm_kcopyd_mq_may_wait();
	marker.item.fn = kmq_marker_run;
	dm_kcopyd_mq_client_urgent_get(kc);
	for_each_possible_cpu(cpu) {
		struct kmq_cpu *kcc = per_cpu_ptr(kc->cpus, cpu);

		/*
		 * A worker says that it is at work before it takes the list, and that it is not
		 * after it has run the list.
		 */
		if (llist_empty(&kcc->items)) {
			/* Pairs with llist_del_all() in kmq_work(): the list is looked at first. */
			smp_rmb();
			/*
			 * Pairs with the releases in kmq_work(): what the callbacks did is seen.
			 * While a worker runs what it had left, @taken is still set.
			 */
			if (!smp_load_acquire(&kcc->task) && !smp_load_acquire(&kcc->taken))
				continue;
		}
		init_completion(&marker.passed);
		kmq_push(kc, &marker.item, cpu);
		wait_for_completion(&marker.passed);
	}
	dm_kcopyd_mq_client_urgent_put(kc);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_client_flush);

void dm_kcopyd_mq_client_urgent_get(struct dm_kcopyd_mq_client *kc)
{
	struct kmq_cpu *kcc;
	unsigned int cpu;

	if (!kc->background)
		return;
	/* Others rely on the workers being queued as soon as they find the count raised. */
	preempt_disable();
	/* The full barrier pairs with xchg() in kmq_kick_idle(): one sees the other. */
	if (atomic_inc_return(&kc->urgent) == 1) {
		for_each_online_cpu(cpu) {
			kcc = per_cpu_ptr(kc->cpus, cpu);
			if (READ_ONCE(kcc->lazy))
				queue_work_on(cpu, kc->wq, &kcc->work);
		}
	}
	preempt_enable();
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_client_urgent_get);

void dm_kcopyd_mq_client_urgent_put(struct dm_kcopyd_mq_client *kc)
{
	if (kc->background)
		atomic_dec(&kc->urgent);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_client_urgent_put);

int dm_kcopyd_mq_client_blocks(struct dm_kcopyd_mq_client *kc, unsigned int bytes)
{
	return kmq_reserve_grow(kc, DIV_ROUND_UP(bytes, PAGE_SIZE));
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_client_blocks);

struct workqueue_struct *dm_kcopyd_mq_client_wq(struct dm_kcopyd_mq_client *kc)
{
	return kc->wq;
}

static unsigned int kmq_sub_job_sectors(void)
{
	unsigned int kb = READ_ONCE(kcopyd_subjob_size_kb);

	if (!kb)
		kb = KMQ_SUBJOB_KB_DEFAULT;
	kb = min_t(unsigned int, kb, KMQ_SUBJOB_KB_MAX);
	/* A segment must not split a logical block. */
	return round_up(kb << (10 - SECTOR_SHIFT), DM_SCALED_MAX_BLOCK >> SECTOR_SHIFT);
}

static struct dm_kcopyd_mq_client *kmq_client_create(struct dm_kcopyd_mq_throttle *throttle,
						     bool background)
{
	struct dm_kcopyd_mq_client *kc;
	int cpu, r = -ENOMEM;

	kc = kzalloc(sizeof(*kc), GFP_KERNEL);
	if (!kc)
		return ERR_PTR(-ENOMEM);

	kc->throttle = throttle;
	kc->background = background;
	kc->sub_job_size = kmq_sub_job_sectors();
	spin_lock_init(&kc->delay_lock);
	INIT_LIST_HEAD(&kc->delayed);
	INIT_DELAYED_WORK(&kc->delay_work, kmq_delay_work);

	kc->cpus = alloc_percpu(struct kmq_cpu);
	if (!kc->cpus)
		goto bad_cpus;
	for_each_possible_cpu(cpu) {
		struct kmq_cpu *kcc = per_cpu_ptr(kc->cpus, cpu);

		init_llist_head(&kcc->items);
		INIT_WORK(&kcc->work, kmq_work);
		kcc->kc = kc;
		kcc->cpu = cpu;
	}

	/* A worker of the background does not hold up other work of its CPU. */
	kc->wq = dm_scaled_alloc_percpu_wq("kcopyd-mq", background ? WQ_CPU_INTENSIVE : 0);
	if (!kc->wq)
		goto bad_wq;

	r = kmq_reserve_init(kc);
	if (r)
		goto bad_reserve;

	r = kmq_bios_init(&kc->bios);
	if (r)
		goto bad_bios;

	r = dm_scaled_refs_init(&kc->refs);
	if (r)
		goto bad_refs;

	return kc;

bad_refs:
	bioset_exit(&kc->bios);
bad_bios:
	kmq_reserve_exit(kc);
bad_reserve:
	destroy_workqueue(kc->wq);
bad_wq:
	free_percpu(kc->cpus);
bad_cpus:
	kfree(kc);
	return ERR_PTR(r);
}

struct dm_kcopyd_mq_client *dm_kcopyd_mq_client_create(struct dm_kcopyd_mq_throttle *throttle)
{
	return kmq_client_create(throttle, false);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_client_create);

struct dm_kcopyd_mq_client *
dm_kcopyd_mq_client_create_background(struct dm_kcopyd_mq_throttle *throttle)
{
	return kmq_client_create(throttle, true);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_client_create_background);

void dm_kcopyd_mq_client_destroy(struct dm_kcopyd_mq_client *kc)
{
	int cpu;

	dm_kcopyd_mq_may_wait();
	dm_kcopyd_mq_client_urgent_get(kc);
	dm_scaled_refs_drain(&kc->refs);
	/*
	 * For whoever is still in kmq_push(), or dropping the last reference. Expedited, as
	 * device-mapper does for each table that goes: others remove a thousand clients in a row.
	 */
	synchronize_rcu_expedited();
	/* Nobody is put in the list of a CPU any more; wait for those who go through one. */
	kmq_kick_all();
	synchronize_rcu_expedited();

	/* No job is left, so nothing is delayed any more; the work may still be under way. */
	cancel_delayed_work_sync(&kc->delay_work);
	/* No item is left. One that is queued need not run, which a busy CPU might not let it. */
	for_each_possible_cpu(cpu)
		cancel_work_sync(&per_cpu_ptr(kc->cpus, cpu)->work);
	destroy_workqueue(kc->wq);
	dm_scaled_refs_exit(&kc->refs);
	bioset_exit(&kc->bios);
	kmq_reserve_exit(kc);
	free_percpu(kc->cpus);
	copy_offload_put(kc->offload);
	kfree(kc);
}
EXPORT_SYMBOL_DM_SCALED(dm_kcopyd_mq_client_destroy);

int dm_kcopyd_mq_init(void)
{
	int r;

	r = kmq_io_init();
	if (r)
		return r;
	r = kmq_mem_init();
	if (r)
		goto bad_mem;
	r = kmq_kick_init();
	if (r)
		goto bad_kick;
	return 0;

bad_kick:
	kmq_mem_exit();
bad_mem:
	kmq_io_exit();
	return r;
}

void dm_kcopyd_mq_exit(void)
{
	kmq_kick_exit();
	kmq_mem_exit();
	kmq_io_exit();
}
