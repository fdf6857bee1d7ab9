// SPDX-License-Identifier: GPL-2.0-only
/*
 * Starting workers lazily.
 *
 * A worker that is woken preempts whoever is running. If that is the task whose jobs it is to
 * serve, the CPU goes to and fro between the two with each job, and there is never more than one
 * job to serve. So while the last submitter is running, its worker is not woken but entered in a
 * list of the CPU. A thread of the lowest priority starts the workers in the list as soon as the
 * submitter sleeps. The thread does nothing else, so nothing that a worker waits for is ever waited
 * for here.
 *
 * The same thread starts the workers of background clients: as it has the lowest priority they do
 * not start while others want the CPU, or only now and then. The workers themselves have normal
 * priority. Nothing is ever held at the low one that somebody could wait for, and a client that
 * becomes urgent only needs its workers queued, see dm_kcopyd_mq_client_urgent_get(). (Raising the
 * priority of a thread that has been preempted would not help: CFS has it wait until all others
 * have caught up with the time that it has used, which counts 68 times at nice 19.)
 *
 * If another task wants the CPU as well, it gets it when the submitter sleeps, and the thread does
 * not: what is copied for one user would wait until the other one, a backup perhaps, sleeps, too.
 * Then the worker is woken at once. It gets its share of the CPU before a task that always runs.
 *
 * A submitter that does not sleep, but computes or polls for its completions, must not be waited
 * for. A timer finds it out, starts the worker, and from then on workers are woken at once: for
 * some time, which doubles each time that the timer finds it out again, and halves each time that
 * the submitter turns out to have slept: one that does both now and then is not tried at each turn.
 */
#include <linux/jiffies.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/smpboot.h>
#include <linux/timer.h>

#include "compat.h"
#include "dm-kcopyd-mq-job.h"

/**
 * struct kmq_lazy - workers of one CPU to be started
 * @list:  struct kmq_cpu, by lazy_node; added to by this CPU, emptied by anyone
 * @idle:  the same, of background clients; added to by anyone, emptied by anyone
 * @open:  kmq_lazy_thread serves @idle; not while the CPU is offline
 * @timer: starts those in @list if something else runs for long; kmq_lazy_thread does when not
 */
struct kmq_lazy {
	struct llist_head list;
	struct llist_head idle;
	bool open;
	struct timer_list timer;
};

#define KMQ_LAZY_TICKS		2
#define KMQ_MIN_BACKOFF		8U
#define KMQ_MAX_BACKOFF		65536U

static DEFINE_PER_CPU(struct kmq_lazy, kmq_lazy);
static DEFINE_PER_CPU(struct task_struct *, kmq_lazy_thread);

/*
 * Learns from how long a worker has been in the list. The fields are hints: that they may be
 * written here and read in kmq_kick_lazily() at the same time does no harm.
 */
static void kmq_judge(struct kmq_cpu *kcc)
{
	unsigned int backoff = READ_ONCE(kcc->backoff);

	if (jiffies - READ_ONCE(kcc->lazy_since) >= KMQ_LAZY_TICKS)
		backoff = clamp(backoff * 2, KMQ_MIN_BACKOFF, KMQ_MAX_BACKOFF);
	else
		backoff = backoff > KMQ_MIN_BACKOFF ? backoff / 2 : 0;
	WRITE_ONCE(kcc->backoff, backoff);
	WRITE_ONCE(kcc->hasty, backoff);
}

static void kmq_start(struct kmq_cpu *kcc)
{
	/*
	 * Pairs with xchg() in kmq_kick_lazily() and kmq_kick_idle(). Whoever finds it still set
	 * has added an item, which the worker sees: queue_work_on() is a full barrier even if the
	 * work is queued already.
	 */
	smp_store_release(&kcc->lazy, false);
	queue_work_on(kcc->cpu, kcc->kc->wq, &kcc->work);
}

static void kmq_kick(struct kmq_lazy *lazy)
{
	struct kmq_cpu *kcc, *next;

	rcu_read_lock();
	llist_for_each_entry_safe(kcc, next, llist_del_all(&lazy->list), lazy_node) {
		kmq_judge(kcc);
		kmq_start(kcc);
	}
	rcu_read_unlock();
}

static void kmq_start_idle(struct kmq_lazy *lazy)
{
	struct kmq_cpu *kcc, *next;

	rcu_read_lock();
	llist_for_each_entry_safe(kcc, next, llist_del_all(&lazy->idle), lazy_node)
		kmq_start(kcc);
	rcu_read_unlock();
}

void kmq_kick_idle(struct kmq_cpu *kcc)
	__must_hold(RCU)
{
	struct kmq_lazy *lazy = per_cpu_ptr(&kmq_lazy, kcc->cpu);
	bool first;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "kmq_kick_idle() needs an RCU read section");

	if (!xchg(&kcc->lazy, true)) {
		first = llist_add(&kcc->lazy_node, &lazy->idle);
		/* Pairs with the barrier in kmq_lazy_close(): it starts the worker, or we do. */
		smp_mb();
		if (unlikely(!READ_ONCE(lazy->open)))
			kmq_start_idle(lazy);
		else if (first)
			wake_up_process(per_cpu(kmq_lazy_thread, kcc->cpu));
	}
	/* xchg() pairs with the barrier in dm_kcopyd_mq_client_urgent_get(): one sees the other. */
	if (atomic_read(&kcc->kc->urgent))
		queue_work_on(kcc->cpu, kcc->kc->wq, &kcc->work);
}

/* Whether nobody else wants this CPU. The list of @lazy is empty. */
static bool kmq_is_alone(const struct kmq_lazy *lazy)
{
	/* The thread may count for a while when it has nothing to do: EEVDF dequeues it late. */
	return single_task_running() ||
	       (llist_empty(&lazy->idle) &&
		READ_ONCE(__this_cpu_read(kmq_lazy_thread)->on_rq));
}

bool kmq_kick_lazily(struct kmq_cpu *kcc)
	__must_hold(RCU)
{
	struct kmq_lazy *lazy;
	unsigned int hasty;
	bool here;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "kmq_kick_lazily() needs an RCU read section");

	if (READ_ONCE(kcc->submitter) != current)
		return false;
	hasty = READ_ONCE(kcc->hasty);
	if (hasty) {
		WRITE_ONCE(kcc->hasty, hasty - 1);
		return false;
	}

	preempt_disable();
	lazy = this_cpu_ptr(&kmq_lazy);
	here = kcc->cpu == smp_processor_id();
	/* If the list is not empty, who else is running may be the thread. */
	if (here && llist_empty(&lazy->list) && !kmq_is_alone(lazy))
		here = false;
	if (here && !xchg(&kcc->lazy, true)) {
		WRITE_ONCE(kcc->lazy_since, jiffies);
		if (llist_add(&kcc->lazy_node, &lazy->list)) {
			wake_up_process(__this_cpu_read(kmq_lazy_thread));
			if (!timer_pending(&lazy->timer))
				mod_timer(&lazy->timer, jiffies + KMQ_LAZY_TICKS);
		}
	}
	preempt_enable();

	return here;
}

void kmq_kick_all(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		kmq_kick(per_cpu_ptr(&kmq_lazy, cpu));
		kmq_start_idle(per_cpu_ptr(&kmq_lazy, cpu));
	}
}

static void kmq_lazy_timer(struct timer_list *timer)
{
	kmq_kick(container_of(timer, struct kmq_lazy, timer));
}

static int kmq_lazy_should_run(unsigned int cpu)
{
	struct kmq_lazy *lazy = per_cpu_ptr(&kmq_lazy, cpu);

	return !llist_empty(&lazy->list) || !llist_empty(&lazy->idle);
}

static void kmq_lazy_run(unsigned int cpu)
{
	struct kmq_lazy *lazy = per_cpu_ptr(&kmq_lazy, cpu);

	kmq_kick(lazy);
	kmq_start_idle(lazy);
}

static void kmq_lazy_open(unsigned int cpu)
{
	WRITE_ONCE(per_cpu_ptr(&kmq_lazy, cpu)->open, true);
}

static void kmq_lazy_close(unsigned int cpu)
{
	struct kmq_lazy *lazy = per_cpu_ptr(&kmq_lazy, cpu);

	WRITE_ONCE(lazy->open, false);
	/* Pairs with the barrier in kmq_kick_idle(). */
	smp_mb();
	kmq_start_idle(lazy);
}

static void kmq_lazy_setup(unsigned int cpu)
{
	sched_set_normal(current, MAX_NICE);
	kmq_lazy_open(cpu);
}

/*
 * The timer sees to what is added to kmq_lazy.list on a CPU that is about to go offline. What is
 * added to kmq_lazy.idle then is started at once.
 */
static struct smp_hotplug_thread kmq_lazy_threads = {
	.store = &kmq_lazy_thread,
	.thread_should_run = kmq_lazy_should_run,
	.thread_fn = kmq_lazy_run,
	.setup = kmq_lazy_setup,
	.park = kmq_lazy_close,
	.unpark = kmq_lazy_open,
	.thread_comm = "kcopyd-mq/%u",
};

int kmq_kick_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct kmq_lazy *lazy = per_cpu_ptr(&kmq_lazy, cpu);

		init_llist_head(&lazy->list);
		init_llist_head(&lazy->idle);
		timer_setup(&lazy->timer, kmq_lazy_timer, TIMER_PINNED);
	}

	return smpboot_register_percpu_thread(&kmq_lazy_threads);
}

void kmq_kick_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		timer_delete_sync(&per_cpu_ptr(&kmq_lazy, cpu)->timer);
	smpboot_unregister_percpu_thread(&kmq_lazy_threads);
}
