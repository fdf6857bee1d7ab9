// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cases about prepared callbacks, items, flush, destruction and throttling.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/slab.h>

#include "kcopyd-test.h"

/*
 * Something that happens later, in hard interrupt context, on a CPU of choice. It is on the
 * caller's stack.
 */

struct later {
	struct hrtimer timer;
	struct completion done;
	void (*fn)(void *arg);
	void *arg;
	unsigned int us;
	bool was_irq;
};

static enum hrtimer_restart later_timer(struct hrtimer *timer)
{
	struct later *l = container_of(timer, struct later, timer);

	l->was_irq = in_hardirq();
	l->fn(l->arg);
	complete(&l->done);

	return HRTIMER_NORESTART;
}

static void later_arm(void *arg)
{
	struct later *l = arg;

	hrtimer_start(&l->timer, ns_to_ktime(l->us * (u64)NSEC_PER_USEC),
		      HRTIMER_MODE_REL_PINNED);
}

static void later_start(struct later *l, unsigned int cpu, unsigned int us,
			void (*fn)(void *arg), void *arg)
{
	test_hrtimer_setup_on_stack(&l->timer, later_timer, CLOCK_MONOTONIC,
				    HRTIMER_MODE_REL_PINNED);
	init_completion(&l->done);
	l->fn = fn;
	l->arg = arg;
	l->us = us;
	kt_on_cpu(cpu, later_arm, l);
}

static void later_wait(struct later *l)
{
	wait_for_completion(&l->done);
	hrtimer_cancel(&l->timer);
	destroy_hrtimer_on_stack(&l->timer);
}

/*
 * Prepared callbacks.
 */

struct prepared {
	struct kt_job *job;
	void *handle;
	int read_err;
	unsigned long write_err;
};

static void prepare(void *arg)
{
	struct prepared *p = arg;
	struct kt_batch *b = p->job->batch;

	atomic_inc(&b->pending);
	migrate_disable();
	p->job->submit_cpu = raw_smp_processor_id();
	p->handle = b->t->eng->prepare_callback(b->kc, kt_job_done, p->job);
	migrate_enable();
}

static void trigger(void *arg)
{
	struct prepared *p = arg;

	p->job->batch->t->eng->do_callback(p->handle, p->read_err, p->write_err);
}

static void check_prepared(struct kt *t, struct prepared *p)
{
	kt_expect_eq(t, atomic_read(&p->job->calls), 1, "calls");
	kt_expect_eq(t, p->job->read_err, p->read_err, "read_err");
	kt_expect_eq(t, p->job->write_err, p->write_err, "write_err");
}

/* Each CPU prepares, each CPU triggers, in task or interrupt context. */
static void callbacks(struct kt *t, bool irq)
{
	unsigned int preparer, trigger_cpu;
	struct kt_batch *b;
	void *kc;

	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, 1) : NULL;
	if (!b)
		goto out;

	for_each_online_cpu(preparer) {
		for_each_online_cpu(trigger_cpu) {
			struct prepared p = {
				.job = &b->jobs[0],
				.read_err = (preparer + trigger_cpu) & 1,
				.write_err = preparer << 4 | trigger_cpu,
			};
			struct later l = { };

			atomic_set(&b->jobs[0].calls, 0);
			kt_on_cpu(preparer, prepare, &p);
			if (irq) {
				later_start(&l, trigger_cpu, 100, trigger, &p);
				later_wait(&l);
				kt_expect(t, l.was_irq, "timer in another context");
			} else {
				kt_on_cpu(trigger_cpu, trigger, &p);
			}
			if (kt_batch_wait(b))
				goto out;
			check_prepared(t, &p);
		}
	}
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

static void case_callback_task(struct kt *t)
{
	callbacks(t, false);
}

static void case_callback_irq(struct kt *t)
{
	callbacks(t, true);
}

/* All bits of the errors pass through. */
static void case_callback_values(struct kt *t)
{
	static const struct {
		int read_err;
		unsigned long write_err;
	} values[] = {
		{ 0, 0 }, { 1, 0 }, { 0, 1 }, { -1, 0x80 }, { INT_MAX, ULONG_MAX },
		{ INT_MIN, 1UL << (BITS_PER_LONG - 1) },
	};
	struct kt_batch *b;
	unsigned int i;
	void *kc;

	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, ARRAY_SIZE(values)) : NULL;
	if (!b)
		goto out;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		struct prepared p = {
			.job = &b->jobs[i],
			.read_err = values[i].read_err,
			.write_err = values[i].write_err,
		};

		prepare(&p);
		trigger(&p);
		if (kt_batch_wait(b))
			break;
		check_prepared(t, &p);
	}
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

/* More prepared callbacks than any reserve holds, triggered in another order. */
static void case_callback_many(struct kt *t)
{
	const unsigned int nr = 2000;
	struct prepared *p = kvcalloc(nr, sizeof(*p), GFP_KERNEL);
	struct kt_batch *b;
	unsigned int i;
	void *kc;

	kc = kt_client(t, NULL);
	b = kc && p ? kt_batch_create(t, kc, nr) : NULL;
	if (!b)
		goto out;

	for (i = 0; i < nr; i++) {
		p[i].job = &b->jobs[i];
		p[i].write_err = i;
		prepare(&p[i]);
	}
	for (i = 0; i < nr; i++)
		trigger(&p[(i * 7) % nr]);
	if (!kt_batch_wait(b)) {
		for (i = 0; i < nr; i++)
			check_prepared(t, &p[i]);
	}
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
	if (!t->hung)
		kvfree(p);
}

/* Where callbacks of all CPUs wait for each other. */
static struct {
	wait_queue_head_t wait;
	atomic_t absent;
	bool over;
} meeting;

static void meet(struct kt_job *job)
{
	if (atomic_dec_and_test(&meeting.absent)) {
		wake_up_all(&meeting.wait);
	} else if (!wait_event_timeout(meeting.wait, !atomic_read(&meeting.absent) ||
				       READ_ONCE(meeting.over), KT_TIMEOUT / 2)) {
		/* Nobody else waits in vain, and the batch ends. */
		WRITE_ONCE(meeting.over, true);
		wake_up_all(&meeting.wait);
		kt_fail(job->batch->t, "while CPU %u's callback waits, %d other CPUs have none",
			job->submit_cpu, atomic_read(&meeting.absent));
	}
}

/* A callback that sleeps holds up those of its own CPU only. */
static void case_callback_concurrent(struct kt *t)
{
	const unsigned int each = 3;
	unsigned int nr_cpus = num_online_cpus();
	struct prepared p[3];
	struct kt_batch *b;
	unsigned int cpu, i;
	u64 start, took;
	void *kc;

	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, nr_cpu_ids * each) : NULL;
	if (!b)
		goto out;

	b->callback_ms = 300;
	init_waitqueue_head(&meeting.wait);
	atomic_set(&meeting.absent, nr_cpus);
	meeting.over = false;
	start = ktime_get_ns();
	for_each_online_cpu(cpu) {
		for (i = 0; i < each; i++) {
			p[i] = (struct prepared) { .job = &b->jobs[cpu * each + i] };
			if (!i)
				p[i].job->during = meet;
			kt_on_cpu(cpu, prepare, &p[i]);
			trigger(&p[i]);
		}
	}
	if (kt_batch_wait(b))
		goto out;
	took = div_u64(ktime_get_ns() - start, NSEC_PER_MSEC);
	kt_note(t, "%u CPUs, %u callbacks of 300 ms each: %llu ms", nr_cpus, each, took);
	kt_expect(t, took >= 300 * each, "callbacks of one CPU overlap: %llu ms", took);
	if (nr_cpus == 1)
		t->skip = "one CPU only";
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

/*
 * Items.
 */

struct test_item {
	struct dm_kcopyd_mq_item item;
	struct kt_job *job;
	unsigned int cpu;
	unsigned int again;	/* times that it queues itself once more */
};

static void hold_test_item(void *arg)
{
	struct test_item *ti = arg;

	atomic_inc(&ti->job->batch->pending);
	ti->cpu = dm_kcopyd_mq_hold(ti->job->batch->kc);
}

static void queue_test_item(void *arg)
{
	struct test_item *ti = arg;

	ti->job->submit_cpu = ti->cpu;
	dm_kcopyd_mq_queue_item(ti->job->batch->kc, &ti->item, ti->cpu);
}

/* Owns the item: queues it once more or frees it. */
static void run_test_item(struct dm_kcopyd_mq_item *item)
{
	struct test_item *ti = container_of(item, struct test_item, item);
	struct kt_job *job = ti->job;
	void *kc = job->batch->kc;

	if (ti->again) {
		ti->again--;
		hold_test_item(ti);
		kt_job_done(0, 0, job);
		atomic_set(&job->calls, 0);
		queue_test_item(ti);
	} else {
		kfree(ti);
		kt_job_done(0, 0, job);
	}

	dm_kcopyd_mq_release(kc);
}

static struct test_item *make_item(struct kt *t, struct kt_job *job)
{
	struct test_item *ti = kzalloc(sizeof(*ti), GFP_KERNEL);

	if (!ti) {
		kt_fail(t, "no memory for an item");
		return NULL;
	}

	ti->item.fn = run_test_item;
	ti->job = job;
	return ti;
}

static void case_item(struct kt *t)
{
	const unsigned int rounds = 20;
	unsigned int from, cpu, i;
	struct kt_batch *b;
	void *kc;

	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, 1) : NULL;
	if (!b)
		goto out;

	for (i = 0; i < rounds; i++) {
		for_each_online_cpu(from) {
			for_each_online_cpu(cpu) {
				struct test_item *ti = make_item(t, &b->jobs[0]);
				struct later l = { };

				if (!ti)
					goto out;
				ti->again = i;
				atomic_set(&b->jobs[0].calls, 0);
				kt_on_cpu(cpu, hold_test_item, ti);
				kt_expect_eq(t, ti->cpu, cpu, "CPU of the item");
				if (i & 1) {
					later_start(&l, from, 20, queue_test_item, ti);
					later_wait(&l);
				} else {
					kt_on_cpu(from, queue_test_item, ti);
				}
				if (kt_batch_wait(b))
					goto out;
			}
		}
	}
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

/*
 * Flush.
 */

static unsigned int count_called(struct kt_batch *b)
{
	unsigned int nr = 0;
	unsigned int i;

	for (i = 0; i < b->nr; i++)
		nr += !!b->jobs[i].order;

	return nr;
}

struct submit_some {
	struct kt_batch *b;
	unsigned int first;
	unsigned int nr;
	sector_t count;
};

static void submit_some(void *arg)
{
	struct submit_some *s = arg;
	struct kt *t = s->b->t;
	unsigned int i;

	for (i = s->first; i < s->first + s->nr; i++) {
		struct dm_io_region src = kt_region(&t->src, i * s->count, s->count);
		struct dm_io_region dst = kt_region(&t->dst[0], i * s->count, s->count);

		kt_copy(&s->b->jobs[i], &src, 1, &dst, 0);
	}
}

/* Submits @each copies on each CPU; returns how many in all. */
static unsigned int submit_everywhere(struct kt_batch *b, unsigned int each, sector_t count)
{
	unsigned int nr = 0;
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		struct submit_some s = { .b = b, .first = nr, .nr = each, .count = count };

		kt_on_cpu(cpu, submit_some, &s);
		nr += each;
	}

	return nr;
}

/*
 * Writes of all CPUs are held. Some end, then the client is flushed: exactly their callbacks have
 * run, though callbacks sleep. Copies of parts of pages have a write each.
 */
static void case_flush_ended(struct kt *t)
{
	const unsigned int each = 8;
	unsigned int ended = 0;
	struct kt_batch *b;
	unsigned int nr, i;
	void *kc;

	kc = kt_vols_client(t, 1, nr_cpu_ids * each * 8);
	b = kc ? kt_batch_create(t, kc, nr_cpu_ids * each) : NULL;
	if (!b)
		goto out;

	b->callback_ms = 10;
	test_disk_hold(t->dst[0].td);
	nr = submit_everywhere(b, each, 7);
	if (!kt_expect(t, kt_wait_until(test_disk_pending(t->dst[0].td) == nr),
		       "%u of %u writes came", test_disk_pending(t->dst[0].td), nr))
		goto release;

	t->eng->flush(kc);
	kt_expect_eq(t, count_called(b), 0, "callbacks before any write ended");
	for (i = 1; ended < nr; i++) {
		ended += test_disk_end_oldest(t->dst[0].td, i);
		t->eng->flush(kc);
		kt_expect_eq(t, count_called(b), ended, "callbacks after flush %u", i);
	}
release:
	test_disk_release(t->dst[0].td);
	kt_batch_wait(b);
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

/* Flush of an idle client, and of one whose I/O does not end, returns. */
static void case_flush_idle(struct kt *t)
{
	struct kt_batch *b;
	unsigned int i;
	void *kc;

	kc = kt_vols_client(t, 1, nr_cpu_ids * 8);
	b = kc ? kt_batch_create(t, kc, nr_cpu_ids) : NULL;
	if (!b)
		goto out;

	for (i = 0; i < 100; i++)
		t->eng->flush(kc);
	test_disk_hold(t->src.td);
	submit_everywhere(b, 1, 8);
	for (i = 0; i < 100; i++)
		t->eng->flush(kc);
	kt_expect_eq(t, count_called(b), 0, "callbacks");
	test_disk_release(t->src.td);
	kt_batch_wait(b);
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

/* Prepared callbacks that were triggered count as ended I/O. */
static void case_flush_prepared(struct kt *t)
{
	unsigned int cpu, i;
	struct kt_batch *b;
	void *kc;

	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, 1) : NULL;
	if (!b)
		goto out;

	b->callback_ms = 5;
	for (i = 0; i < 20; i++) {
		for_each_online_cpu(cpu) {
			struct prepared p = { .job = &b->jobs[0] };

			atomic_set(&b->jobs[0].calls, 0);
			kt_on_cpu(cpu, prepare, &p);
			trigger(&p);
			t->eng->flush(kc);
			if (!kt_expect(t, kt_batch_done(b), "CPU %u", cpu) && kt_batch_wait(b))
				goto out;
		}
	}
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

/* Flushes while copies come and go. */
static void case_flush_load(struct kt *t)
{
	struct kt_batch *b;
	unsigned int i, j;
	void *kc;

	kc = kt_vols_client(t, 1, 64 * 8);
	b = kc ? kt_batch_create(t, kc, 64) : NULL;
	if (!b)
		goto out;

	for (i = 0; i < 30 && !t->hung; i++) {
		struct submit_some s = { .b = b, .nr = 64, .count = 8 };

		submit_some(&s);
		for (j = 0; j < 5; j++)
			t->eng->flush(kc);
		kt_batch_wait(b);
	}
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

/*
 * Destruction.
 */

struct destroy_later {
	struct delayed_work work;
	struct test_disk *td;
	struct prepared *prepared;
	struct test_item *item;
};

static void destroy_later_fn(struct work_struct *work)
{
	struct destroy_later *dl = container_of(to_delayed_work(work), struct destroy_later, work);

	if (dl->td)
		test_disk_release(dl->td);
	if (dl->prepared)
		trigger(dl->prepared);
	if (dl->item)
		queue_test_item(dl->item);
}

/* Destroys @kc while what @dl does is 300 ms away: it must not return before. */
static void destroy_waits(struct kt *t, void *kc, struct kt_batch *b, struct destroy_later *dl)
{
	u64 start = ktime_get_ns();
	u64 took;

	INIT_DELAYED_WORK_ONSTACK(&dl->work, destroy_later_fn);
	schedule_delayed_work(&dl->work, msecs_to_jiffies(300));
	kt_client_destroy(t, kc);
	took = div_u64(ktime_get_ns() - start, NSEC_PER_MSEC);
	flush_delayed_work(&dl->work);
	destroy_delayed_work_on_stack(&dl->work);

	kt_expect(t, took >= 200, "destruction took %llu ms", took);
	kt_expect(t, kt_batch_done(b), "%d callbacks came after the destruction",
		  atomic_read(&b->pending));
	if (!kt_batch_done(b))
		kt_batch_wait(b);
}

static void destroy_with_held(struct kt *t, bool writes, sector_t count)
{
	const unsigned int each = 16;
	struct destroy_later dl = { };
	struct kt_batch *b;
	void *kc;

	kc = kt_vols_client(t, 1, nr_cpu_ids * each * count);
	b = kc ? kt_batch_create(t, kc, nr_cpu_ids * each) : NULL;
	if (!b) {
		kt_client_destroy(t, kc);
		return;
	}

	b->callback_ms = 3;
	dl.td = writes ? t->dst[0].td : t->src.td;
	test_disk_hold(dl.td);
	submit_everywhere(b, each, count);
	if (writes)
		kt_wait_until(test_disk_pending(dl.td));
	destroy_waits(t, kc, b, &dl);
	kt_batch_free(b);
}

static void case_destroy_reads(struct kt *t)
{
	destroy_with_held(t, false, 8);
}

static void case_destroy_writes(struct kt *t)
{
	destroy_with_held(t, true, 8);
}

static void case_destroy_large(struct kt *t)
{
	destroy_with_held(t, true, 1500);
}

static void case_destroy_prepared(struct kt *t)
{
	struct destroy_later dl = { };
	struct prepared p;
	struct kt_batch *b;
	void *kc;

	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, 1) : NULL;
	if (!b) {
		kt_client_destroy(t, kc);
		return;
	}

	p = (struct prepared) { .job = &b->jobs[0] };
	prepare(&p);
	b->callback_ms = 100;
	dl.prepared = &p;
	destroy_waits(t, kc, b, &dl);
	kt_batch_free(b);
}

static void case_destroy_item(struct kt *t)
{
	struct destroy_later dl = { };
	struct kt_batch *b;
	void *kc;

	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, 1) : NULL;
	dl.item = b ? make_item(t, &b->jobs[0]) : NULL;
	if (!dl.item) {
		kt_batch_free(b);
		kt_client_destroy(t, kc);
		return;
	}

	b->callback_ms = 100;
	hold_test_item(dl.item);
	destroy_waits(t, kc, b, &dl);
	kt_batch_free(b);
}

/* Clients that live for one batch of copies. */
static void case_destroy_repeat(struct kt *t)
{
	unsigned int i;

	if (!kt_vols(t, 1, 1024))
		return;
	kt_disks_set(t, TEST_DISK_IRQ, 0, 50);

	for (i = 0; i < 100 && !t->hung; i++) {
		void *kc = kt_client(t, NULL);
		struct kt_batch *b = kc ? kt_batch_create(t, kc, 16) : NULL;
		struct submit_some s = { .b = b, .nr = i % 17, .count = 1 + i % 64 };

		if (b)
			submit_some(&s);
		kt_client_destroy(t, kc);
		if (b && !kt_expect(t, kt_batch_done(b), "round %u: %d callbacks are missing", i,
				    atomic_read(&b->pending)))
			kt_batch_wait(b);
		kt_batch_free(b);
	}
}

/*
 * Throttling.
 */

struct throttled {
	void *kc;
	struct kt_batch *b;
	sector_t first;
};

#define THROTTLE_JOBS	4
#define THROTTLE_COUNT	64

static void copy_until_told(struct kt_job *job)
{
	struct kt *t = job->batch->t;
	struct dm_io_region src, dst;

	if (!READ_ONCE(job->user))
		return;

	src = kt_region(&t->src, job->from, THROTTLE_COUNT);
	dst = kt_region(&t->dst[0], job->from, THROTTLE_COUNT);
	job->count++;
	kt_copy(job, &src, 1, &dst, 0);
}

static bool throttled_start(struct kt *t, struct throttled *th, union copy_throttle *throttle,
			    sector_t first)
{
	unsigned int i;

	th->kc = kt_client(t, throttle);
	th->b = th->kc ? kt_batch_create(t, th->kc, THROTTLE_JOBS) : NULL;
	if (!th->b)
		return false;

	for (i = 0; i < THROTTLE_JOBS; i++) {
		struct kt_job *job = &th->b->jobs[i];

		job->user = 1;
		job->then = copy_until_told;
		job->from = first + i * THROTTLE_COUNT;
		copy_until_told(job);
	}

	return true;
}

static u64 throttled_copies(struct throttled *th)
{
	u64 nr = 0;
	unsigned int i;

	for (i = 0; th->b && i < THROTTLE_JOBS; i++)
		nr += READ_ONCE(th->b->jobs[i].count);

	return nr;
}

static void throttled_stop(struct kt *t, struct throttled *th)
{
	unsigned int i;

	for (i = 0; th->b && i < THROTTLE_JOBS; i++)
		WRITE_ONCE(th->b->jobs[i].user, 0);
	if (th->b)
		kt_batch_wait(th->b);
	kt_batch_free(th->b);
	kt_client_destroy(t, th->kc);
}

/* Disks that need 10 ms for each I/O and share a meter. */
static bool throttle_disks(struct kt *t, struct test_disk_meter *meter)
{
	if (!kt_vols(t, 1, 2 * THROTTLE_JOBS * THROTTLE_COUNT))
		return false;

	test_disk_meter_init(meter);
	test_disk_set_meter(t->src.td, meter);
	test_disk_set_meter(t->dst[0].td, meter);
	kt_disks_set(t, TEST_DISK_IRQ, 10000, 10000);
	return true;
}

/* Waits for the end of an I/O: whatever was late has been noted then. */
static struct test_disk_meter meter_at_end(struct test_disk_meter *meter)
{
	u64 timer = test_disk_meter_read(meter).timer;

	kt_wait_until(test_disk_meter_read(meter).timer != timer);
	return test_disk_meter_read(meter);
}

/*
 * Percentage of @seconds during which I/O was in flight; of both are left out those in which I/O
 * was in flight because the machine stood still.
 */
static unsigned int duty_cycle(struct test_disk_meter *meter, unsigned int seconds)
{
	struct test_disk_meter begin = meter_at_end(meter), end;
	u64 late, start = ktime_get_ns();

	ssleep(seconds);
	end = meter_at_end(meter);
	late = end.late - begin.late;
	return div64_u64((end.busy - begin.busy - late) * 100, ktime_get_ns() - start - late);
}

/*
 * The first second is not looked at: accounts start empty. The bound is loose because a copy that
 * has begun is not interrupted.
 */
static void case_throttle_duty(struct kt *t)
{
	static const struct {
		unsigned int throttle, min, max;
	} steps[] = {
		{ 100, 60, 100 }, { 20, 3, 45 }, { 50, 15, 75 }, { 100, 60, 100 },
		{ 1000, 60, 100 },
	};
	struct throttled th = { };
	static union copy_throttle throttle;
	static struct test_disk_meter meter;
	unsigned int i;

	t->eng->throttle_init(&throttle);
	if (!throttle_disks(t, &meter))
		return;

	if (throttled_start(t, &th, &throttle, 0)) {
		for (i = 0; i < ARRAY_SIZE(steps); i++) {
			unsigned int duty;
			u64 copies;

			t->eng->throttle_set(&throttle, steps[i].throttle);
			ssleep(1);
			copies = throttled_copies(&th);
			duty = duty_cycle(&meter, steps[i].throttle < 100 ? 5 : 1);
			kt_note(t, "throttle %u: I/O in flight %u %% of the time, %llu copies",
				steps[i].throttle, duty, throttled_copies(&th) - copies);
			kt_expect(t, duty >= steps[i].min && duty <= steps[i].max,
				  "throttle %u: %u %%", steps[i].throttle, duty);
		}
	}
	t->eng->throttle_set(&throttle, 100);
	throttled_stop(t, &th);
}

/* Two clients together get what one would; neither gets nothing. */
static void case_throttle_shared(struct kt *t)
{
	struct throttled th[2] = { };
	static union copy_throttle throttle;
	static struct test_disk_meter meter;
	u64 copies[2];
	unsigned int duty;

	t->eng->throttle_init(&throttle);
	t->eng->throttle_set(&throttle, 20);
	if (!throttle_disks(t, &meter))
		return;

	if (throttled_start(t, &th[0], &throttle, 0) &&
	    throttled_start(t, &th[1], &throttle, THROTTLE_JOBS * THROTTLE_COUNT)) {
		ssleep(1);
		copies[0] = throttled_copies(&th[0]);
		copies[1] = throttled_copies(&th[1]);
		duty = duty_cycle(&meter, 8);
		copies[0] = throttled_copies(&th[0]) - copies[0];
		copies[1] = throttled_copies(&th[1]) - copies[1];
		kt_note(t, "I/O in flight %u %% of the time, %llu and %llu copies", duty,
			copies[0], copies[1]);
		kt_expect(t, duty >= 3 && duty <= 45, "%u %%", duty);
		kt_expect(t, copies[0] && copies[1], "a client starves: %llu, %llu", copies[0],
			  copies[1]);
	}
	t->eng->throttle_set(&throttle, 100);
	throttled_stop(t, &th[0]);
	throttled_stop(t, &th[1]);
}

/* A copy that makes the accounts say that copies have used all of the time. */
static bool throttle_prime(struct kt *t, void *kc)
{
	struct dm_io_region src = kt_region(&t->src, 0, 8);
	struct dm_io_region dst = kt_region(&t->dst[0], 0, 8);
	struct kt_result res;

	return kt_copy_wait(t, kc, &src, 1, &dst, 0, &res);
}

/* Nothing is stopped for ever by a throttle of 0, and large copies neither. */
static void case_throttle_zero(struct kt *t)
{
	static const sector_t sizes[] = { 8, 2500, 8 };
	static union copy_throttle throttle;
	struct dm_io_region src, dst;
	struct kt_result res;
	unsigned int i;
	void *kc;

	t->eng->throttle_init(&throttle);
	t->eng->throttle_set(&throttle, 0);
	if (!kt_vols(t, 1, 3000))
		return;
	kt_disks_set(t, TEST_DISK_IRQ, 10000, 10000);
	kc = kt_client(t, &throttle);
	if (!kc || !throttle_prime(t, kc))
		goto out;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u64 start = ktime_get_ns();
		sector_t first = 16 + 8 * i;

		src = kt_region(&t->src, first, sizes[i]);
		dst = kt_region(&t->dst[0], first, sizes[i]);
		if (!kt_copy_wait(t, kc, &src, 1, &dst, 0, &res))
			break;
		kt_note(t, "%llu sectors in %llu ms", (u64)sizes[i],
			div_u64(ktime_get_ns() - start, NSEC_PER_MSEC));
		kt_expect(t, !res.read_err && !res.write_err, "copy %u", i);
		kt_holds(t, &t->dst[0], first, sizes[i], t->src.seed, first);
	}
out:
	kt_client_destroy(t, kc);
}

/* Copies that a throttle delays go on when it is lifted. */
static void case_throttle_lifted(struct kt *t)
{
	static union copy_throttle throttle;
	struct submit_some s = { .nr = 64, .count = 8 };
	unsigned int held;
	u64 start, took;
	void *kc;

	t->eng->throttle_init(&throttle);
	t->eng->throttle_set(&throttle, 1);
	if (!kt_vols(t, 1, 64 * 8))
		return;
	kt_disks_set(t, TEST_DISK_IRQ, 10000, 10000);
	kc = kt_client(t, &throttle);
	s.b = kc ? kt_batch_create(t, kc, 64) : NULL;
	if (!s.b || !throttle_prime(t, kc))
		goto out;

	submit_some(&s);
	msleep(300);
	held = atomic_read(&s.b->pending);
	kt_expect(t, held, "a throttle of 1 %% delays nothing");
	t->eng->throttle_set(&throttle, 100);
	start = ktime_get_ns();
	kt_batch_wait(s.b);
	took = div_u64(ktime_get_ns() - start, NSEC_PER_MSEC);
	kt_note(t, "%u copies were delayed; %llu ms after the throttle was lifted", held, took);
	kt_expect(t, took < 5000, "%llu ms", took);
	kt_holds(t, &t->dst[0], 0, 64 * 8, t->src.seed, 0);
out:
	kt_batch_free(s.b);
	kt_client_destroy(t, kc);
}

const struct kt_case kt_life_cases[] = {
	{ "callback.task", case_callback_task },
	{ "callback.irq", case_callback_irq },
	{ "callback.values", case_callback_values },
	{ "callback.many", case_callback_many },
	{ "callback.concurrent", case_callback_concurrent, KT_MQ },
	{ "item", case_item, KT_MQ },
	{ "flush.ended", case_flush_ended },
	{ "flush.idle", case_flush_idle },
	{ "flush.prepared", case_flush_prepared },
	{ "flush.load", case_flush_load },
	{ "destroy.reads", case_destroy_reads },
	{ "destroy.writes", case_destroy_writes },
	{ "destroy.large", case_destroy_large },
	{ "destroy.prepared", case_destroy_prepared },
	{ "destroy.item", case_destroy_item, KT_MQ },
	{ "destroy.repeat", case_destroy_repeat },
	{ "throttle.duty", case_throttle_duty },
	{ "throttle.shared", case_throttle_shared },
	{ "throttle.zero", case_throttle_zero },
	{ "throttle.lifted", case_throttle_lifted },
	{ }
};
