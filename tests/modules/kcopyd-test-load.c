// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cases under load: all CPUs at once, no memory, CPUs that go away.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "kcopyd-test.h"

/*
 * Stress: a thread on each CPU keeps some jobs of random kind in flight and checks the contents
 * after each. Each slot of each thread has an area of its own at the same place of all devices.
 */

#define STRESS_SLOTS	6

struct stress {
	void *kc[2];		/* clients, used in turn */
	unsigned int nr_dst;
	sector_t area;		/* sectors of a slot */
	u64 end;		/* ns */
	atomic64_t jobs;
	atomic_t least;		/* fewest jobs that a thread has done */
};

struct stress_slot {
	struct kt_batch *b;
	sector_t base;
	sector_t count;
	unsigned int shift;	/* of the destinations in the area */
	unsigned int nr;
	bool zero;
};

static u32 below(struct rnd_state *rnd, u32 limit)
{
	return prandom_u32_state(rnd) % limit;
}

static void stress_submit(struct kt *t, struct stress *s, struct stress_slot *slot,
			  struct rnd_state *rnd)
{
	static const unsigned int flags[] = {
		0, BIT(DM_KCOPYD_IGNORE_ERROR), BIT(DM_KCOPYD_WRITE_SEQ), 0,
	};
	struct dm_io_region dests[DM_KCOPYD_MAX_REGIONS];
	u32 kind = prandom_u32_state(rnd);
	struct dm_io_region src;
	unsigned int d;

	slot->b->kc = s->kc[kind & 1];
	slot->zero = !(kind & 0xe);
	slot->count = 1 + below(rnd, kind & 0x30 ? min_t(u32, s->area, 64) - 4 : s->area - 4);
	slot->shift = below(rnd, s->area - slot->count);
	slot->nr = 1 + below(rnd, s->nr_dst);

	src = kt_region(&t->src, slot->base, slot->count);
	for (d = 0; d < slot->nr; d++)
		dests[d] = kt_region(&t->dst[d], slot->base + slot->shift, slot->count);

	if (slot->zero)
		kt_zero(&slot->b->jobs[0], slot->nr, dests, flags[kind >> 30]);
	else
		kt_copy(&slot->b->jobs[0], &src, slot->nr, dests, flags[kind >> 30]);
}

static void stress_check(struct kt *t, struct stress *s, struct stress_slot *slot)
{
	struct kt_job *job = &slot->b->jobs[0];
	sector_t to = slot->base + slot->shift;
	unsigned int d;

	if (job->read_err || job->write_err)
		kt_fail(t, "%llu sectors: %d, %#lx", (u64)slot->count, job->read_err,
			job->write_err);
	for (d = 0; d < slot->nr; d++) {
		kt_holds_own(t, &t->dst[d], slot->base, slot->shift);
		if (slot->zero)
			kt_holds_zeroes(t, &t->dst[d], to, slot->count);
		else
			kt_holds(t, &t->dst[d], to, slot->count, t->src.seed, slot->base);
		kt_holds_own(t, &t->dst[d], to + slot->count,
			     s->area - slot->shift - slot->count);
		kt_fill(t, &t->dst[d], to, slot->count);
	}
}

static void stress_thread(struct kt *t, unsigned int cpu, void *arg)
{
	struct stress_slot slots[STRESS_SLOTS] = { };
	unsigned int in_flight = 0;
	struct stress *s = arg;
	struct rnd_state rnd;
	unsigned int jobs = 0;
	bool again = true;
	unsigned int i;

	prandom_seed_state(&rnd, t->p->seed ^ (cpu + 1));
	for (i = 0; i < STRESS_SLOTS; i++) {
		slots[i].b = kt_batch_create(t, s->kc[0], 1);
		slots[i].base = (cpu * STRESS_SLOTS + i) * s->area;
		if (!slots[i].b)
			goto out;
	}

	for (i = 0; i < STRESS_SLOTS; i++)
		stress_submit(t, s, &slots[i], &rnd);
	in_flight = STRESS_SLOTS;

	while (in_flight && !t->hung) {
		for (i = 0; i < STRESS_SLOTS; i++) {
			if (!slots[i].count || !kt_batch_done(slots[i].b))
				continue;
			kt_batch_wait(slots[i].b);
			stress_check(t, s, &slots[i]);
			jobs++;
			again = again && ktime_get_ns() < s->end;
			slots[i].count = 0;
			in_flight--;
			if (again) {
				stress_submit(t, s, &slots[i], &rnd);
				in_flight++;
			}
		}
		again = again && ktime_get_ns() < s->end;
		if (!again && in_flight) {
			for (i = 0; i < STRESS_SLOTS && !t->hung; i++)
				kt_batch_wait(slots[i].b);
		} else {
			usleep_range(50, 100);
		}
	}

	atomic64_add(jobs, &s->jobs);
	if (jobs < atomic_read(&s->least))
		atomic_set(&s->least, jobs);
out:
	for (i = 0; i < STRESS_SLOTS; i++)
		kt_batch_free(slots[i].b);
}

/* Prepares devices and clients, @vols false if the case has done so. */
static bool stress_start(struct kt *t, struct stress *s, unsigned int nr_dst, sector_t area)
{
	if (!kt_vols(t, nr_dst, nr_cpu_ids * STRESS_SLOTS * area))
		return false;

	s->nr_dst = t->nr_dst;
	s->area = area;
	atomic64_set(&s->jobs, 0);
	atomic_set(&s->least, INT_MAX);
	s->kc[0] = kt_client(t, NULL);
	s->kc[1] = s->kc[0] ? kt_client(t, NULL) : NULL;
	return s->kc[1];
}

static void stress_run(struct kt *t, struct stress *s, unsigned int seconds)
{
	s->end = ktime_get_ns() + (u64)seconds * NSEC_PER_SEC;
	kt_on_each_cpu(t, stress_thread, s);
}

static void stress_stop(struct kt *t, struct stress *s)
{
	kt_note(t, "%lld jobs checked, at least %d on each CPU", atomic64_read(&s->jobs),
		atomic_read(&s->least));
	kt_expect(t, atomic64_read(&s->jobs), "nothing done");
	kt_client_destroy(t, s->kc[0]);
	kt_client_destroy(t, s->kc[1]);
}

static void stress(struct kt *t, unsigned int nr_dst, sector_t area,
		   enum test_disk_how how, unsigned int max_us)
{
	static struct stress s;

	if (stress_start(t, &s, nr_dst, area)) {
		kt_disks_set(t, how, 0, max_us);
		stress_run(t, &s, t->p->seconds);
	}
	stress_stop(t, &s);
}

static void case_stress_irq(struct kt *t)
{
	stress(t, 3, 1300, TEST_DISK_IRQ, 500);
}

static void case_stress_task(struct kt *t)
{
	stress(t, 3, 1300, TEST_DISK_TASK, 200);
}

static void case_stress_sync(struct kt *t)
{
	stress(t, 3, 1300, TEST_DISK_SYNC, 0);
}

static void case_stress_wide(struct kt *t)
{
	stress(t, DM_KCOPYD_MAX_REGIONS, 200, TEST_DISK_IRQ, 500);
}

/*
 * Something done beside the thread of the case.
 */

struct beside {
	struct task_struct *task;
	struct completion done;
	void (*fn)(struct kt *t, void *arg);
	struct kt *t;
	void *arg;
};

static int beside_fn(void *data)
{
	struct beside *b = data;

	b->fn(b->t, b->arg);
	complete(&b->done);
	return 0;
}

static bool beside_start(struct kt *t, struct beside *b, void (*fn)(struct kt *t, void *arg),
			 void *arg)
{
	init_completion(&b->done);
	b->fn = fn;
	b->t = t;
	b->arg = arg;
	b->task = kthread_create(beside_fn, b, "kt/beside");
	if (IS_ERR(b->task)) {
		kt_fail(t, "cannot create a thread: %ld", PTR_ERR(b->task));
		return false;
	}

	get_task_struct(b->task);
	wake_up_process(b->task);
	return true;
}

static void beside_wait(struct beside *b)
{
	wait_for_completion(&b->done);
	kthread_stop(b->task);
	put_task_struct(b->task);
}

/*
 * Memory.
 */

#define HELD_COUNT	1024	/* sectors, 512 KiB */

/*
 * Takes all free pages, and again those that become free; gives up what it has before a process
 * dies.
 */
struct hog {
	struct beside beside;
	struct notifier_block oom;
	struct mutex giving;	/* held while pages are given back; protects @given and @reported */
	unsigned long given;
	unsigned long reported;
	spinlock_t lock;	/* protects @pages and @nr */
	struct list_head pages;
	unsigned long nr;
	unsigned long most;
	unsigned int alarms;
	bool full;		/* an allocation has failed */
	bool stop;
};

static void hog_drop(struct hog *h)
{
	struct page *page, *next;
	unsigned long nr;
	LIST_HEAD(pages);

	lockdep_assert_held(&h->giving);

	spin_lock(&h->lock);
	list_splice_init(&h->pages, &pages);
	nr = h->nr;
	h->nr = 0;
	spin_unlock(&h->lock);

	list_for_each_entry_safe(page, next, &pages, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
	h->given += nr;
}

static int hog_oom(struct notifier_block *nb, unsigned long unused, void *freed)
{
	struct hog *h = container_of(nb, struct hog, oom);

	h->alarms++;
	mutex_lock(&h->giving);
	hog_drop(h);
	/* Also what hog_stop() was giving back meanwhile: nobody needs to die. */
	*(unsigned long *)freed += h->given - h->reported;
	h->reported = h->given;
	mutex_unlock(&h->giving);
	return NOTIFY_OK;
}

static void hog_take(struct kt *t, void *arg)
{
	struct hog *h = arg;

	while (!READ_ONCE(h->stop)) {
		struct page *page = alloc_page(GFP_NOWAIT | __GFP_HIGH | __GFP_NOWARN);

		if (!page) {
			WRITE_ONCE(h->full, true);
			usleep_range(200, 300);
			continue;
		}

		spin_lock(&h->lock);
		list_add(&page->lru, &h->pages);
		h->most = max(h->most, ++h->nr);
		spin_unlock(&h->lock);
		cond_resched();
	}
}

static bool hog_start(struct kt *t, struct hog *h)
{
	memset(h, 0, sizeof(*h));
	mutex_init(&h->giving);
	spin_lock_init(&h->lock);
	INIT_LIST_HEAD(&h->pages);
	h->oom.notifier_call = hog_oom;
	register_oom_notifier(&h->oom);
	if (!beside_start(t, &h->beside, hog_take, h)) {
		unregister_oom_notifier(&h->oom);
		return false;
	}

	return true;
}

static void hog_stop(struct kt *t, struct hog *h)
{
	WRITE_ONCE(h->stop, true);
	beside_wait(&h->beside);
	mutex_lock(&h->giving);
	hog_drop(h);
	mutex_unlock(&h->giving);
	unregister_oom_notifier(&h->oom);
	kt_note(t, "%lu MiB taken away, given back %u times", h->most >> (20 - PAGE_SHIFT),
		h->alarms);
	kt_expect(t, h->full, "memory was never short");
}

/* Stress while there is no free page. */
static void case_memory_none(struct kt *t)
{
	static struct stress s;
	static struct hog h;

	if (stress_start(t, &s, 2, 1300) && hog_start(t, &h)) {
		kt_wait_until(READ_ONCE(h.full));
		stress_run(t, &s, t->p->seconds);
		hog_stop(t, &h);
	}
	stress_stop(t, &s);
}

/*
 * Long copies that write in order: a segment whose turn is later must not keep pages from an
 * earlier one.
 */

#define SEQ_COUNT	(4 * HELD_COUNT + 100)

static void submit_in_order(void *arg)
{
	struct kt_batch *b = arg;
	struct kt *t = b->t;
	unsigned int i;

	for (i = 0; i < b->nr; i++) {
		struct dm_io_region src = kt_region(&t->src, i * SEQ_COUNT, SEQ_COUNT);
		struct dm_io_region dst = kt_region(&t->dst[0], i * SEQ_COUNT, SEQ_COUNT);

		kt_copy(&b->jobs[i], &src, 1, &dst, BIT(DM_KCOPYD_WRITE_SEQ));
	}
}

static void case_memory_seq(struct kt *t)
{
	const unsigned int nr = 6;
	struct kt_batch *b = NULL;
	static struct hog h;
	unsigned int round;
	void *kc;

	kc = kt_vols_client(t, 1, nr * SEQ_COUNT);
	b = kc ? kt_batch_create(t, kc, nr) : NULL;
	if (!b)
		goto out;

	/* Before memory is short, let the engine have what it keeps for a CPU to use again. */
	kt_on_cpu(0, submit_in_order, b);
	kt_batch_wait(b);
	if (!hog_start(t, &h))
		goto out;
	kt_wait_until(READ_ONCE(h.full));
	for (round = 0; round < 10 && !t->hung; round++) {
		kt_on_cpu(0, submit_in_order, b);
		kt_batch_wait(b);
	}
	hog_stop(t, &h);
	if (!t->hung)
		kt_holds(t, &t->dst[0], 0, t->dst[0].sectors, t->src.seed, 0);
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

/*
 * More copies than memory, none of which ends until all that can be started are. Disks have no
 * memory of their own, and check what is written to them.
 */

struct held {
	struct kt_batch *b;
	unsigned int each;
	atomic_t submitted;
};

static void held_thread(struct kt *t, unsigned int cpu, void *arg)
{
	struct held *h = arg;
	unsigned int i;

	for (i = 0; i < h->each; i++) {
		unsigned int n = cpu * h->each + i;
		struct dm_io_region src = kt_region(&t->src, (sector_t)n * HELD_COUNT, HELD_COUNT);
		struct dm_io_region dst = src;

		dst.bdev = t->dst[0].bdev;
		kt_copy(&h->b->jobs[n], &src, 1, &dst, 0);
		atomic_inc(&h->submitted);
	}
}

static void held_submit(struct kt *t, void *arg)
{
	kt_on_each_cpu(t, held_thread, arg);
}

/* Waits until nothing has been submitted to @td for a second. */
static unsigned int wait_for_standstill(struct test_disk *td)
{
	unsigned int seen = test_disk_pending(td);
	unsigned int still = 0;

	while (still < 10) {
		unsigned int now;

		msleep(100);
		now = test_disk_pending(td);
		still = now == seen ? still + 1 : 0;
		seen = now;
	}

	return seen;
}

static sector_t pending_sectors(struct test_disk *td)
{
	sector_t sectors = 0;
	struct bio *bio;

	spin_lock_irq(&td->lock);
	bio_list_for_each(bio, &td->pending)
		sectors += bio_sectors(bio);
	spin_unlock_irq(&td->lock);

	return sectors;
}

/*
 * Memory comes back when the disk is released, which is soon; meanwhile whoever needs some waits,
 * in place of being killed.
 */
static int be_patient(struct notifier_block *nb, unsigned long unused, void *freed)
{
	msleep(20);
	*(unsigned long *)freed += 1;
	return NOTIFY_OK;
}

static struct notifier_block patience = { .notifier_call = be_patient };

static void memory_held(struct kt *t, bool writes)
{
	struct test_disk_params params = { .synthetic = true };
	static struct beside beside;
	static struct held h;
	unsigned int nr;
	struct sysinfo info;
	sector_t held;
	void *kc;

	/* Twice as much as is free. */
	si_meminfo(&info);
	h.each = 1 + (2 * info.freeram >> (19 - PAGE_SHIFT)) / num_online_cpus();
	nr = h.each * nr_cpu_ids;
	params.sectors = (sector_t)nr * HELD_COUNT;
	if (!kt_add_source(t, &params) || !kt_add_disk(t, &params))
		return;
	kt_disks_set(t, TEST_DISK_IRQ, 0, 50);
	kc = kt_client(t, NULL);
	h.b = kc ? kt_batch_create(t, kc, nr) : NULL;
	atomic_set(&h.submitted, 0);
	if (!h.b)
		goto out;

	register_oom_notifier(&patience);
	test_disk_hold(writes ? t->dst[0].td : t->src.td);
	if (beside_start(t, &beside, held_submit, &h)) {
		wait_for_standstill(writes ? t->dst[0].td : t->src.td);
		held = pending_sectors(writes ? t->dst[0].td : t->src.td);
		si_meminfo(&info);
		kt_note(t, "%u of %u jobs submitted, %llu MiB of %llu in flight, %lu MiB free",
			atomic_read(&h.submitted), h.each * num_online_cpus(), (u64)held >> 11,
			(u64)h.each * num_online_cpus() * HELD_COUNT >> 11,
			info.freeram >> (20 - PAGE_SHIFT));
		kt_expect(t, held < (sector_t)h.each * num_online_cpus() * HELD_COUNT,
			  "memory was never short");
		test_disk_release(writes ? t->dst[0].td : t->src.td);
		beside_wait(&beside);
	}
	if (!kt_batch_wait(h.b)) {
		kt_expect_eq(t, t->dst[0].td->sectors_written,
			     (u64)h.each * num_online_cpus() * HELD_COUNT, "sectors written");
		kt_expect_eq(t, t->dst[0].td->mismatches, 0, "sectors written wrongly");
	}
	unregister_oom_notifier(&patience);
out:
	kt_batch_free(h.b);
	kt_client_destroy(t, kc);
}

static void case_memory_held_reads(struct kt *t)
{
	memory_held(t, false);
}

static void case_memory_held_writes(struct kt *t)
{
	memory_held(t, true);
}

/*
 * While there is no free page, a stream of small copies goes on, each callback submitting the
 * next. Large copies, which need the whole reserve, are not passed over for ever.
 */
static void small_forever(struct kt_job *job)
{
	struct kt *t = job->batch->t;
	struct dm_io_region src, dst;

	if (!READ_ONCE(job->user))
		return;

	src = kt_region(&t->src, job->from, 8);
	dst = kt_region(&t->dst[0], job->from, 8);
	job->count++;
	kt_copy(job, &src, 1, &dst, 0);
}

static void case_memory_fair(struct kt *t)
{
	const unsigned int nr_small = 64;
	const unsigned int nr_large = 8;
	struct kt_batch *small = NULL;
	struct kt_batch *large = NULL;
	static struct hog h;
	u64 copies = 0;
	unsigned int i;
	void *kc;

	kc = kt_vols_client(t, 1, nr_large * HELD_COUNT + nr_small * 8);
	small = kc ? kt_batch_create(t, kc, nr_small) : NULL;
	large = small ? kt_batch_create(t, kc, nr_large) : NULL;
	if (!large || !hog_start(t, &h))
		goto out;
	kt_wait_until(READ_ONCE(h.full));

	for (i = 0; i < nr_small; i++) {
		small->jobs[i].user = 1;
		small->jobs[i].then = small_forever;
		small->jobs[i].from = nr_large * HELD_COUNT + 8 * i;
		small_forever(&small->jobs[i]);
	}
	for (i = 0; i < nr_large; i++) {
		struct dm_io_region src = kt_region(&t->src, i * HELD_COUNT, HELD_COUNT);
		struct dm_io_region dst = kt_region(&t->dst[0], i * HELD_COUNT, HELD_COUNT);

		kt_copy(&large->jobs[i], &src, 1, &dst, 0);
	}
	kt_batch_wait(large);
	for (i = 0; i < nr_small; i++) {
		copies += READ_ONCE(small->jobs[i].count);
		WRITE_ONCE(small->jobs[i].user, 0);
	}
	hog_stop(t, &h);
	kt_batch_wait(small);
	kt_note(t, "%llu small copies while %u large ones were done", copies, nr_large);
	kt_holds(t, &t->dst[0], 0, t->dst[0].sectors, t->src.seed, 0);
out:
	kt_batch_free(large);
	kt_batch_free(small);
	kt_client_destroy(t, kc);
}

/*
 * CPUs that go away.
 */

static bool cpu_down(struct kt *t, unsigned int cpu)
{
	int r = remove_cpu(cpu);

	return kt_expect(t, !r, "CPU %u does not go offline: %d", cpu, r);
}

static bool cpu_up(struct kt *t, unsigned int cpu)
{
	int r = add_cpu(cpu);

	return kt_expect(t, !r, "CPU %u does not come back: %d", cpu, r);
}

/* The CPU to take away, or 0. */
static unsigned int victim(struct kt *t)
{
	unsigned int cpu = cpumask_last(cpu_online_mask);

	if (!cpu)
		t->skip = "one CPU only";
	t->hotplug = true;
	return cpu;
}

#define HOTPLUG_JOBS	32

static void hotplug_submit(void *arg)
{
	struct kt_batch *b = arg;
	struct kt *t = b->t;
	unsigned int i;

	for (i = 0; i < b->nr; i++) {
		struct kt_job *job = &b->jobs[i];
		struct dm_io_region src, dst;

		job->from = i * 256;
		job->count = i ? i : 3000;	/* the first is split, and behind the others */
		if (!i)
			job->from = HOTPLUG_JOBS * 256;
		src = kt_region(&t->src, job->from, job->count);
		dst = kt_region(&t->dst[0], job->from, job->count);
		kt_copy(job, &src, 1, &dst, 0);
	}
}

static void hotplug_check(struct kt *t, struct kt_batch *b)
{
	unsigned int i;

	for (i = 0; i < b->nr; i++) {
		struct kt_job *job = &b->jobs[i];

		kt_expect(t, !job->read_err && !job->write_err, "job %u", i);
		kt_holds(t, &t->dst[0], job->from, job->count, t->src.seed, job->from);
	}
	kt_fill(t, &t->dst[0], 0, t->dst[0].sectors);
}

/* A CPU's jobs are held, it goes offline, the disk answers; then the same after it came back. */
static void hotplug_held(struct kt *t, bool writes)
{
	unsigned int cpu = victim(t);
	struct kt_batch *b;
	struct test_disk *td;
	void *kc;

	if (!cpu || !kt_vols(t, 1, HOTPLUG_JOBS * 256 + 4096))
		return;
	td = writes ? t->dst[0].td : t->src.td;
	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, HOTPLUG_JOBS) : NULL;
	if (!b)
		goto out;

	test_disk_hold(td);
	kt_on_cpu(cpu, hotplug_submit, b);
	kt_wait_until(test_disk_pending(td));
	if (cpu_down(t, cpu)) {
		test_disk_release(td);
		if (!kt_batch_wait(b))
			hotplug_check(t, b);
		t->eng->flush(kc);
		cpu_up(t, cpu);
	}
	test_disk_release(td);
	if (t->hung || kt_batch_wait(b))
		goto out;

	t->hotplug = false;
	kt_on_cpu(cpu, hotplug_submit, b);
	if (!kt_batch_wait(b))
		hotplug_check(t, b);
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

static void case_hotplug_reads(struct kt *t)
{
	hotplug_held(t, false);
}

static void case_hotplug_writes(struct kt *t)
{
	hotplug_held(t, true);
}

/* Bios end by the hundred on the CPU that is going away and elsewhere. */
static void case_hotplug_moving(struct kt *t)
{
	unsigned int cpu = victim(t);
	struct kt_batch *b;
	unsigned int round;
	void *kc;

	if (!cpu || !kt_vols(t, 1, HOTPLUG_JOBS * 256 + 4096))
		return;
	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, HOTPLUG_JOBS) : NULL;
	if (!b)
		goto out;

	for (round = 0; round < 10 && !t->hung; round++) {
		kt_disks_set(t, round & 1 ? TEST_DISK_IRQ : TEST_DISK_TASK, 1000, 30000);
		kt_on_cpu(cpu, hotplug_submit, b);
		if (!cpu_down(t, cpu))
			break;
		if (!kt_batch_wait(b))
			hotplug_check(t, b);
		cpu_up(t, cpu);
	}
	kt_batch_wait(b);
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

struct offline_call {
	struct kt_job *job;
	void *handle;
};

static void offline_prepare(void *arg)
{
	struct offline_call *oc = arg;
	struct kt_batch *b = oc->job->batch;

	atomic_inc(&b->pending);
	oc->job->submit_cpu = raw_smp_processor_id();
	oc->handle = b->t->eng->prepare_callback(b->kc, kt_job_done, oc->job);
}

/* Callbacks prepared by a CPU that has gone are called all the same. */
static void case_hotplug_prepared(struct kt *t)
{
	struct offline_call calls[16];
	unsigned int cpu = victim(t);
	struct kt_batch *b;
	unsigned int i;
	void *kc;

	if (!cpu)
		return;
	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, ARRAY_SIZE(calls)) : NULL;
	if (!b)
		goto out;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		calls[i].job = &b->jobs[i];
		kt_on_cpu(cpu, offline_prepare, &calls[i]);
	}
	cpu_down(t, cpu);
	for (i = 0; i < ARRAY_SIZE(calls) / 2; i++)
		t->eng->do_callback(calls[i].handle, 0, i);
	t->eng->flush(kc);
	kt_expect_eq(t, atomic_read(&b->pending), ARRAY_SIZE(calls) / 2, "after the flush");
	cpu_up(t, cpu);
	for (; i < ARRAY_SIZE(calls); i++)
		t->eng->do_callback(calls[i].handle, 0, i);
	if (!kt_batch_wait(b)) {
		for (i = 0; i < ARRAY_SIZE(calls); i++)
			kt_expect_eq(t, b->jobs[i].write_err, i, "write_err");
	}
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

struct offline_item {
	struct dm_kcopyd_mq_item item;
	struct kt_job *job;
};

static void hold_item(void *arg)
{
	struct offline_item *oi = arg;

	atomic_inc(&oi->job->batch->pending);
	oi->job->submit_cpu = dm_kcopyd_mq_hold(oi->job->batch->kc);
}

static void run_offline_item(struct dm_kcopyd_mq_item *item)
{
	struct offline_item *oi = container_of(item, struct offline_item, item);
	void *kc = oi->job->batch->kc;

	kt_job_done(0, 0, oi->job);
	dm_kcopyd_mq_release(kc);
}

static void case_hotplug_item(struct kt *t)
{
	struct offline_item *items;
	unsigned int cpu = victim(t);
	const unsigned int nr = 16;
	struct kt_batch *b;
	unsigned int i;
	void *kc;

	if (!cpu)
		return;
	items = kcalloc(nr, sizeof(*items), GFP_KERNEL);
	kc = kt_client(t, NULL);
	b = kc && items ? kt_batch_create(t, kc, nr) : NULL;
	if (!b)
		goto out;

	for (i = 0; i < nr; i++) {
		items[i].item.fn = run_offline_item;
		items[i].job = &b->jobs[i];
		kt_on_cpu(cpu, hold_item, &items[i]);
		kt_expect_eq(t, b->jobs[i].submit_cpu, cpu, "CPU of the item");
	}
	cpu_down(t, cpu);
	for (i = 0; i < nr; i++)
		dm_kcopyd_mq_queue_item(kc, &items[i].item, b->jobs[i].submit_cpu);
	kt_batch_wait(b);
	cpu_up(t, cpu);
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
	if (!t->hung)
		kfree(items);
}

/* Clients come and go while a CPU is away. */
static void case_hotplug_create(struct kt *t)
{
	unsigned int cpu = victim(t);
	unsigned int i;

	if (!cpu || !kt_vols(t, 1, HOTPLUG_JOBS * 256 + 4096))
		return;

	for (i = 0; i < 6 && !t->hung; i++) {
		bool down = i & 1 && cpu_down(t, cpu);
		void *kc = kt_client(t, NULL);
		struct kt_batch *b = kc ? kt_batch_create(t, kc, HOTPLUG_JOBS) : NULL;

		if (down)
			cpu_up(t, cpu);
		else
			cpu_down(t, cpu);
		if (b) {
			hotplug_submit(b);
			kt_batch_wait(b);
			hotplug_check(t, b);
		}
		kt_batch_free(b);
		kt_client_destroy(t, kc);
		if (!cpu_online(cpu))
			cpu_up(t, cpu);
	}
}

static void stress_beside(struct kt *t, void *arg)
{
	stress_run(t, arg, t->p->seconds + 3);
}

static void case_hotplug_stress(struct kt *t)
{
	static struct beside beside;
	static struct stress s;
	unsigned int toggles = 0;
	unsigned int cpu = victim(t);
	u64 end;

	if (!cpu)
		return;

	if (stress_start(t, &s, 2, 700) && beside_start(t, &beside, stress_beside, &s)) {
		end = ktime_get_ns() + (u64)t->p->seconds * NSEC_PER_SEC;
		msleep(200);
		while (ktime_get_ns() < end) {
			if (cpu_down(t, cpu)) {
				msleep(kt_random(t, 100));
				cpu_up(t, cpu);
				toggles++;
			}
			msleep(kt_random(t, 50));
			if (!--cpu)
				cpu = cpumask_last(cpu_online_mask);
		}
		beside_wait(&beside);
		kt_note(t, "CPUs went away %u times", toggles);
	}
	stress_stop(t, &s);
}

const struct kt_case kt_load_cases[] = {
	{ "stress.irq", case_stress_irq },
	{ "stress.task", case_stress_task },
	{ "stress.sync", case_stress_sync, KT_REAL },
	{ "stress.wide", case_stress_wide, KT_REAL },
	{ "memory.none", case_memory_none },
	{ "memory.seq", case_memory_seq },
	{ "memory.held-reads", case_memory_held_reads },
	{ "memory.held-writes", case_memory_held_writes },
	{ "memory.fair", case_memory_fair },
	{ "hotplug.reads", case_hotplug_reads },
	{ "hotplug.writes", case_hotplug_writes },
	{ "hotplug.moving", case_hotplug_moving },
	{ "hotplug.prepared", case_hotplug_prepared },
	{ "hotplug.item", case_hotplug_item, KT_MQ },
	{ "hotplug.create", case_hotplug_create },
	{ "hotplug.stress", case_hotplug_stress },
	{ }
};
