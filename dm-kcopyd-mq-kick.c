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
 * A submitter that does not sleep, but computes or polls for its completions, must not be waited
 * for. A timer finds it out, starts the worker, and from then on workers are woken at once: for
 * some time, which doubles each time that the timer finds it out again, and halves each time that
 * the submitter turns out to have slept: one that does both now and then is not tried at each turn.
 */
#include <linux/jiffies.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smpboot.h>
#include <linux/timer.h>

#include "compat.h"
#include "dm-kcopyd-mq-job.h"

/**
 * struct kmq_lazy - workers of one CPU to be started
 * @list:  struct kmq_cpu, by lazy_node; added to by this CPU, emptied by anyone
 * @timer: starts them if something else runs for long; kmq_lazy_thread does when not
 */
struct kmq_lazy {
	struct llist_head list;
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

static void kmq_kick(struct kmq_lazy *lazy)
{
	struct kmq_cpu *kcc, *next;

	rcu_read_lock();
	llist_for_each_entry_safe(kcc, next, llist_del_all(&lazy->list), lazy_node) {
		kmq_judge(kcc);
		/*
		 * Pairs with xchg() in kmq_kick_lazily(). Whoever finds it still set has added an
		 * item, which the worker sees: queue_work_on() is a full barrier even if the work
		 * is queued already.
		 */
		smp_store_release(&kcc->lazy, false);
		queue_work_on(kcc->cpu, kcc->kc->wq, &kcc->work);
	}
	rcu_read_unlock();
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
	here = kcc->cpu == smp_processor_id();
	if (here && !xchg(&kcc->lazy, true)) {
		WRITE_ONCE(kcc->lazy_since, jiffies);
		lazy = this_cpu_ptr(&kmq_lazy);
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

	for_each_possible_cpu(cpu)
		kmq_kick(per_cpu_ptr(&kmq_lazy, cpu));
}

static void kmq_lazy_timer(struct timer_list *timer)
{
	kmq_kick(container_of(timer, struct kmq_lazy, timer));
}

static int kmq_lazy_should_run(unsigned int cpu)
{
	return !llist_empty(&per_cpu(kmq_lazy, cpu).list);
}

static void kmq_lazy_run(unsigned int cpu)
{
	kmq_kick(per_cpu_ptr(&kmq_lazy, cpu));
}

static void kmq_lazy_setup(unsigned int cpu)
{
	sched_set_normal(current, MAX_NICE);
}

/* The timer sees to what is added on a CPU that is about to go offline. */
static struct smp_hotplug_thread kmq_lazy_threads = {
	.store = &kmq_lazy_thread,
	.thread_should_run = kmq_lazy_should_run,
	.thread_fn = kmq_lazy_run,
	.setup = kmq_lazy_setup,
	.thread_comm = "kcopyd-mq/%u",
};

int kmq_kick_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct kmq_lazy *lazy = per_cpu_ptr(&kmq_lazy, cpu);

		init_llist_head(&lazy->list);
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
