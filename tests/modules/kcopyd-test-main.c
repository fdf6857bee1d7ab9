// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-kcopyd-mq-test: functional tests of the copy engine, run inside the kernel.
 *
 * Loading runs nothing. A line of key=value words written to debugfs dm-kcopyd-mq-test/run runs
 * cases and returns when they have ended; "result" beside it then gives KTAP, and "list" the
 * names of the cases with their flags. Keys:
 *
 *   engine=stock|mq    which engine, default mq; stock shows that a case asks for nothing new
 *   cases=PATTERN      shell pattern of case names, default *
 *   src=PATH dst=PATH[,PATH...]
 *                      real devices, whose contents are lost, in place of test disks; cases that
 *                      need test disks are left out
 *   zoned=PATH         host-managed zoned device, whose contents are lost
 *   seconds=N          length of each stress case, default 5
 *   seed=N             of the random numbers, default random
 *
 * When callbacks do not come, the case fails, all it used is leaked, the module cannot be removed
 * any more and runs nothing more.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/glob.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "kcopyd-test.h"
#include "test-line.h"
#include "test-run.h"

#define KT_LOG_SIZE	(256 * 1024)
#define KT_NOTES_MAX	20	/* failure lines printed for a case */
#define KT_CHUNK	2048	/* sectors looked at in one go */

static const struct kt_case *const kt_suites[] = {
	kt_copy_cases, kt_error_cases, kt_life_cases, kt_load_cases,
};

static int kt_line(char *line);

static struct test_run kt_run = {
	.name = "dm-kcopyd-mq-test",
	.size = KT_LOG_SIZE,
	.run = kt_line,
};

static bool kt_dead;		/* only read and set by a run */

/*
 * Results.
 */

void kt_fail(struct kt *t, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	unsigned long flags;
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	spin_lock_irqsave(&t->lock, flags);
	if (t->failures++ < KT_NOTES_MAX)
		seq_buf_printf(t->log, "# %pV\n", &vaf);
	spin_unlock_irqrestore(&t->lock, flags);
	va_end(args);
}

/* A line in the results that says what a case saw. */
void kt_note(struct kt *t, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	unsigned long flags;
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	spin_lock_irqsave(&t->lock, flags);
	seq_buf_printf(t->log, "# %pV\n", &vaf);
	spin_unlock_irqrestore(&t->lock, flags);
	va_end(args);
}

/* Only for the thread of the case. */
u32 kt_random(struct kt *t, u32 limit)
{
	return limit ? prandom_u32_state(&t->rnd) % limit : 0;
}

/*
 * Jobs.
 */

struct kt_batch *kt_batch_create(struct kt *t, void *kc, unsigned int nr)
{
	struct kt_batch *b;
	unsigned int i;

	b = kvzalloc(struct_size(b, jobs, nr), GFP_KERNEL);
	if (!b)
		goto bad;

	b->inside = kvcalloc(nr_cpu_ids, sizeof(*b->inside), GFP_KERNEL);
	if (!b->inside)
		goto bad_inside;

	b->t = t;
	b->kc = kc;
	b->nr = nr;
	init_waitqueue_head(&b->wait);
	for (i = 0; i < nr; i++)
		b->jobs[i].batch = b;

	return b;

bad_inside:
	kvfree(b);
bad:
	kt_fail(t, "no memory for %u jobs", nr);
	return NULL;
}

bool kt_batch_done(struct kt_batch *b)
{
	return !atomic_read(&b->pending);
}

static void note_pending(struct kt *t, struct kt_vol *vol)
{
	if (vol->td)
		kt_note(t, "disk %u: %u bios pending", vol->seed, test_disk_pending(vol->td));
}

/* Waits for all jobs submitted so far. */
int kt_batch_wait(struct kt_batch *b)
{
	struct kt *t = b->t;
	unsigned int i;

	if (wait_event_timeout(b->wait, kt_batch_done(b), KT_TIMEOUT))
		return 0;

	kt_fail(t, "%d callbacks did not come", atomic_read(&b->pending));
	note_pending(t, &t->src);
	for (i = 0; i < t->nr_dst; i++)
		note_pending(t, &t->dst[i]);
	t->hung = true;
	return -ETIMEDOUT;
}

void kt_batch_free(struct kt_batch *b)
{
	if (!b || b->t->hung)
		return;

	/* The last callback may still be in wake_up(). */
	spin_lock_irq(&b->wait.lock);
	WARN_ON(!kt_batch_done(b));
	spin_unlock_irq(&b->wait.lock);

	kvfree(b->inside);
	kvfree(b);
}

static void job_ended(struct kt_batch *b)
{
	spin_lock_irq(&b->wait.lock);
	if (atomic_dec_and_test(&b->pending))
		wake_up_locked(&b->wait);
	spin_unlock_irq(&b->wait.lock);
}

/* The callback of all jobs: checks in which context it runs, and notes the outcome. */
void kt_job_done(int read_err, unsigned long write_err, void *context)
{
	struct kt_job *job = context;
	struct kt_batch *b = job->batch;
	unsigned int submit_cpu = job->submit_cpu;
	struct kt *t = b->t;
	atomic_t *inside = &b->inside[t->eng->per_cpu ? submit_cpu : 0];

	might_sleep();
	if (!in_task() || irqs_disabled() ||
	    (IS_ENABLED(CONFIG_PREEMPT_COUNT) && !preemptible()))
		kt_fail(t, "a callback may not sleep: preempt_count %#x, irqs_disabled %d",
			preempt_count(), irqs_disabled());
	if (atomic_inc_return(inside) != 1)
		kt_fail(t, "two callbacks of CPU %u run at once", submit_cpu);
	if (atomic_inc_return(&job->calls) != 1)
		kt_fail(t, "the callback of job %zu was called twice", job - b->jobs);

	job->callback_cpu = raw_smp_processor_id();
	if (t->eng->per_cpu && !b->any_cpu && !t->hotplug && job->callback_cpu != submit_cpu)
		kt_fail(t, "submitted on CPU %u, callback on CPU %u", submit_cpu,
			job->callback_cpu);

	job->read_err = read_err;
	job->write_err = write_err;
	job->order = atomic_inc_return(&b->order);
	job->ended = ktime_get_ns();
	if (b->callback_ms)
		msleep(b->callback_ms);
	if (job->during)
		job->during(job);

	atomic_dec(inside);
	if (job->then)
		job->then(job);
	job_ended(b);
}

static void job_start(struct kt_job *job)
{
	atomic_set(&job->calls, 0);
	atomic_inc(&job->batch->pending);

	/* The CPU stays, and stays online, until the engine has taken the job. */
	migrate_disable();
	job->submit_cpu = raw_smp_processor_id();
}

/* Also for kt_job.then: until it returns, the batch counts the job twice. */
void kt_copy(struct kt_job *job, const struct dm_io_region *from, unsigned int num_dests,
	     const struct dm_io_region *dests, unsigned int flags)
{
	struct kt_batch *b = job->batch;

	job_start(job);
	b->t->eng->copy(b->kc, from, num_dests, dests, flags, kt_job_done, job);
	migrate_enable();
}

void kt_zero(struct kt_job *job, unsigned int num_dests, const struct dm_io_region *dests,
	     unsigned int flags)
{
	struct kt_batch *b = job->batch;

	job_start(job);
	b->t->eng->zero(b->kc, num_dests, dests, flags, kt_job_done, job);
	migrate_enable();
}

static bool run_and_wait(struct kt *t, void *kc, const struct dm_io_region *from,
			 unsigned int num_dests, const struct dm_io_region *dests,
			 unsigned int flags, struct kt_result *result)
{
	struct kt_batch *b = kt_batch_create(t, kc, 1);
	bool ok;

	if (!b)
		return false;

	if (from)
		kt_copy(&b->jobs[0], from, num_dests, dests, flags);
	else
		kt_zero(&b->jobs[0], num_dests, dests, flags);

	ok = !kt_batch_wait(b);
	if (ok) {
		result->read_err = b->jobs[0].read_err;
		result->write_err = b->jobs[0].write_err;
	}

	kt_batch_free(b);
	return ok;
}

bool kt_copy_wait(struct kt *t, void *kc, const struct dm_io_region *from,
		  unsigned int num_dests, const struct dm_io_region *dests, unsigned int flags,
		  struct kt_result *result)
{
	return run_and_wait(t, kc, from, num_dests, dests, flags, result);
}

bool kt_zero_wait(struct kt *t, void *kc, unsigned int num_dests,
		  const struct dm_io_region *dests, unsigned int flags, struct kt_result *result)
{
	return run_and_wait(t, kc, NULL, num_dests, dests, flags, result);
}

void *kt_client(struct kt *t, union copy_throttle *throttle)
{
	void *kc = t->eng->create(throttle);

	if (IS_ERR(kc)) {
		kt_fail(t, "cannot create a client: %ld", PTR_ERR(kc));
		return NULL;
	}

	if (t->p->real && t->src.bdev && t->nr_dst)
		t->eng->offload(kc, t->src.bdev, t->dst[0].bdev);
	return kc;
}

struct destroyer {
	struct work_struct work;
	struct completion done;
	const struct copy_engine *eng;
	void *kc;
};

static void destroy_fn(struct work_struct *work)
{
	struct destroyer *d = container_of(work, struct destroyer, work);

	d->eng->destroy(d->kc);
	complete(&d->done);
}

/* Destroys in another thread, so that a destroy that never returns is only a failed case. */
void kt_client_destroy(struct kt *t, void *kc)
{
	struct destroyer *d;

	if (!kc || t->hung)
		return;

	d = kzalloc(sizeof(*d), GFP_KERNEL | __GFP_NOFAIL);
	INIT_WORK(&d->work, destroy_fn);
	init_completion(&d->done);
	d->eng = t->eng;
	d->kc = kc;
	queue_work(system_long_wq, &d->work);

	if (!wait_for_completion_timeout(&d->done, KT_TIMEOUT)) {
		kt_fail(t, "the destruction of the client does not return");
		t->hung = true;
		return;
	}

	flush_work(&d->work);
	kfree(d);
}

/*
 * Devices and contents.
 */

struct dm_io_region kt_region(struct kt_vol *vol, sector_t sector, sector_t count)
{
	return (struct dm_io_region) { .bdev = vol->bdev, .sector = sector, .count = count };
}

static bool make_disk(struct kt *t, struct kt_vol *vol, unsigned int index,
		      const struct test_disk_params *params)
{
	char name[DISK_NAME_LEN];

	snprintf(name, sizeof(name), "kcopydtest%u", index);
	vol->td = test_disk_create(name, params);
	if (IS_ERR(vol->td)) {
		kt_fail(t, "cannot create test disk %u: %ld", index, PTR_ERR(vol->td));
		vol->td = NULL;
		return false;
	}

	vol->bdev = vol->td->bdev;
	vol->sectors = params->sectors;
	vol->seed = index;
	test_disk_set(vol->td, TEST_DISK_IRQ, 0, 300);
	return true;
}

static bool open_real(struct kt *t, struct kt_vol *vol, unsigned int index, const char *path,
		      sector_t sectors)
{
	int r = test_bdev_open(&vol->real, path);

	if (r) {
		vol->real.bdev = NULL;
		kt_fail(t, "cannot open %s: %d", path, r);
		return false;
	}

	vol->bdev = vol->real.bdev;
	vol->sectors = bdev_nr_sectors(vol->bdev);
	vol->seed = index;
	if (vol->sectors < sectors) {
		kt_fail(t, "%s has %llu sectors, %llu are needed", path, (u64)vol->sectors,
			(u64)sectors);
		return false;
	}

	vol->sectors = sectors;
	return true;
}

/* Makes the source a test disk, filled if it has memory. */
bool kt_add_source(struct kt *t, const struct test_disk_params *params)
{
	if (!make_disk(t, &t->src, 0, params))
		return false;

	return params->synthetic || kt_fill(t, &t->src, 0, params->sectors);
}

/* Makes a test disk the next destination, filled if it has memory. */
bool kt_add_disk(struct kt *t, const struct test_disk_params *params)
{
	struct kt_vol *vol = &t->dst[t->nr_dst];

	if (!make_disk(t, vol, 1 + t->nr_dst, params))
		return false;

	t->nr_dst++;
	return params->synthetic || kt_fill(t, vol, 0, params->sectors);
}

/* Gets filled devices, of @sectors each: those of the run, at most @nr_dst, or test disks. */
bool kt_vols(struct kt *t, unsigned int nr_dst, sector_t sectors)
{
	const struct test_disk_params params = { .sectors = sectors };
	unsigned int i;

	if (!t->p->real) {
		if (!kt_add_source(t, &params))
			return false;
		for (i = 0; i < nr_dst; i++) {
			if (!kt_add_disk(t, &params))
				return false;
		}
		return true;
	}

	if (!open_real(t, &t->src, 0, t->p->src, sectors) || !kt_fill(t, &t->src, 0, sectors))
		return false;
	for (i = 0; i < nr_dst && i < t->p->nr_dst; i++) {
		if (!open_real(t, &t->dst[i], 1 + i, t->p->dst[i], sectors))
			return false;
		t->nr_dst++;
		if (!kt_fill(t, &t->dst[i], 0, sectors))
			return false;
	}

	return true;
}

void *kt_vols_client(struct kt *t, unsigned int nr_dst, sector_t sectors)
{
	return kt_vols(t, nr_dst, sectors) ? kt_client(t, NULL) : NULL;
}

void kt_disks_set(struct kt *t, enum test_disk_how how, unsigned int min_us,
		  unsigned int max_us)
{
	unsigned int i;

	if (t->src.td)
		test_disk_set(t->src.td, how, min_us, max_us);
	for (i = 0; i < t->nr_dst; i++) {
		if (t->dst[i].td)
			test_disk_set(t->dst[i].td, how, min_us, max_us);
	}
}

static void put_vol(struct kt_vol *vol)
{
	if (vol->td)
		test_disk_destroy(vol->td);
	if (vol->real.bdev)
		test_bdev_close(&vol->real);
	memset(vol, 0, sizeof(*vol));
}

/* Called after each case; by cases only to get other devices. */
void kt_put_vols(struct kt *t)
{
	unsigned int i;

	if (t->hung)
		return;

	put_vol(&t->src);
	for (i = 0; i < ARRAY_SIZE(t->dst); i++)
		put_vol(&t->dst[i]);
	t->nr_dst = 0;
}

/* Reads or writes a real device; @buf is from vmalloc(). */
static int real_io(struct kt_vol *vol, enum req_op op, sector_t sector, void *buf,
		   sector_t count)
{
	unsigned int nr_pages = DIV_ROUND_UP(count << SECTOR_SHIFT, PAGE_SIZE);
	unsigned int left = count << SECTOR_SHIFT;
	struct bio *bio;
	int r = 0;

	bio = bio_alloc(vol->bdev, nr_pages, op | REQ_SYNC, GFP_KERNEL);
	bio->bi_iter.bi_sector = sector;
	while (left) {
		unsigned int len = min_t(unsigned int, left, PAGE_SIZE);

		if (bio_add_page(bio, vmalloc_to_page(buf), len, 0) != len) {
			r = -EIO;
			break;
		}
		buf += len;
		left -= len;
	}

	if (!r)
		r = submit_bio_wait(bio);
	bio_put(bio);
	return r;
}

static void fill_words(u64 *p, u8 seed, sector_t sector, sector_t count)
{
	unsigned int i;

	for (; count; count--, sector++) {
		for (i = 0; i < SECTOR_WORDS; i++)
			*p++ = test_pattern(seed, sector, i);
	}
}

/* Writes the device's own pattern. */
bool kt_fill(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count)
{
	void *buf = NULL;
	int r = 0;

	if (vol->td) {
		fill_words((u64 *)(vol->td->store + (sector << SECTOR_SHIFT)), vol->seed, sector,
			   count);
		return true;
	}

	buf = vmalloc(KT_CHUNK << SECTOR_SHIFT);
	if (!buf)
		r = -ENOMEM;

	while (!r && count) {
		sector_t n = min_t(sector_t, count, KT_CHUNK);

		fill_words(buf, vol->seed, sector, n);
		r = real_io(vol, REQ_OP_WRITE, sector, buf, n);
		sector += n;
		count -= n;
	}

	vfree(buf);
	if (r)
		kt_fail(t, "cannot fill %pg: %d", vol->bdev, r);
	return !r;
}

/* What a sector must be: the pattern of @seed for the sector at the same place after @from. */
struct expectation {
	bool zeroes;
	u8 seed;
	sector_t from;
};

static bool sector_matches(const u64 *p, const struct expectation *e, sector_t offset)
{
	unsigned int i;

	for (i = 0; i < SECTOR_WORDS; i++) {
		u64 want = e->zeroes ? 0 : test_pattern(e->seed, e->from + offset, i);

		if (p[i] != want)
			return false;
	}

	return true;
}

/*
 * Counts sectors that match; @wrong gets the offset of the first that does not, and its first
 * word.
 */
static unsigned int compare(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count,
			    const struct expectation *e, sector_t *wrong, u64 *word)
{
	unsigned int matching = 0;
	sector_t offset = 0;
	void *buf = NULL;
	int r = 0;

	if (!vol->td) {
		buf = vmalloc(KT_CHUNK << SECTOR_SHIFT);
		if (!buf)
			r = -ENOMEM;
	}

	while (!r && offset < count) {
		sector_t n = min_t(sector_t, count - offset, KT_CHUNK);
		const u64 *p = buf;
		sector_t i;

		if (vol->td)
			p = (u64 *)(vol->td->store + ((sector + offset) << SECTOR_SHIFT));
		else
			r = real_io(vol, REQ_OP_READ, sector + offset, buf, n);

		for (i = 0; !r && i < n; i++, p += SECTOR_WORDS) {
			if (sector_matches(p, e, offset + i)) {
				matching++;
			} else if (matching == offset + i) {
				*wrong = offset + i;
				*word = *p;
			}
		}
		offset += n;
	}

	vfree(buf);
	if (r)
		kt_fail(t, "cannot read %pg: %d", vol->bdev, r);
	return matching;
}

static bool holds(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count,
		  const struct expectation *e)
{
	sector_t wrong = 0;
	u64 word = 0;
	unsigned int matching;

	matching = compare(t, vol, sector, count, e, &wrong, &word);
	if (matching == count)
		return true;

	kt_fail(t, "device %u, sectors %llu+%llu: %llu are wrong, first %llu: has %#llx, not %#llx",
		vol->seed, (u64)sector, (u64)count, (u64)count - matching, (u64)(sector + wrong),
		word, e->zeroes ? 0 : test_pattern(e->seed, e->from + wrong, 0));
	return false;
}

/* Checks that the sectors hold what pattern @seed has from sector @from on. */
bool kt_holds(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count, u8 seed,
	      sector_t from)
{
	const struct expectation e = { .seed = seed, .from = from };

	return holds(t, vol, sector, count, &e);
}

/* Checks that the sectors are as kt_fill() left them. */
bool kt_holds_own(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count)
{
	return kt_holds(t, vol, sector, count, vol->seed, sector);
}

bool kt_holds_zeroes(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count)
{
	const struct expectation e = { .zeroes = true };

	return holds(t, vol, sector, count, &e);
}

unsigned int kt_count_matching(struct kt *t, struct kt_vol *vol, sector_t sector,
			       sector_t count, u8 seed, sector_t from)
{
	const struct expectation e = { .seed = seed, .from = from };
	sector_t wrong;
	u64 word;

	return compare(t, vol, sector, count, &e, &wrong, &word);
}

/*
 * CPUs.
 */

struct cpu_task {
	struct task_struct *task;
	struct completion done;
	struct kt *t;
	unsigned int cpu;
	void (*fn)(struct kt *t, unsigned int cpu, void *arg);
	void *arg;
};

static int cpu_task_fn(void *data)
{
	struct cpu_task *ct = data;

	ct->fn(ct->t, ct->cpu, ct->arg);
	complete(&ct->done);
	return 0;
}

/* Runs @fn at the same time on all online CPUs, in a thread bound to each, and waits for all. */
int kt_on_each_cpu(struct kt *t, void (*fn)(struct kt *t, unsigned int cpu, void *arg),
		   void *arg)
{
	struct cpu_task *tasks;
	unsigned int cpu;
	int r = 0;

	tasks = kvcalloc(nr_cpu_ids, sizeof(*tasks), GFP_KERNEL);
	if (!tasks) {
		kt_fail(t, "no memory for threads");
		return -ENOMEM;
	}

	cpus_read_lock();
	for_each_online_cpu(cpu) {
		struct cpu_task *ct = &tasks[cpu];
		struct task_struct *task;

		*ct = (struct cpu_task) { .t = t, .cpu = cpu, .fn = fn, .arg = arg };
		init_completion(&ct->done);
		task = kthread_create_on_node(cpu_task_fn, ct, cpu_to_node(cpu), "kt/%u", cpu);
		if (IS_ERR(task)) {
			r = PTR_ERR(task);
			kt_fail(t, "cannot create a thread: %d", r);
			break;
		}
		kthread_bind(task, cpu);
		ct->task = get_task_struct(task);
	}
	cpus_read_unlock();

	for_each_possible_cpu(cpu) {
		if (tasks[cpu].task)
			wake_up_process(tasks[cpu].task);
	}
	for_each_possible_cpu(cpu) {
		if (tasks[cpu].task) {
			wait_for_completion(&tasks[cpu].done);
			kthread_stop(tasks[cpu].task);
			put_task_struct(tasks[cpu].task);
		}
	}

	kvfree(tasks);
	return r;
}

struct cpu_call {
	void (*fn)(void *arg);
	void *arg;
};

static long cpu_call_fn(void *data)
{
	struct cpu_call *call = data;

	call->fn(call->arg);
	return 0;
}

/* Runs @fn on @cpu in process context and waits for it. */
void kt_on_cpu(unsigned int cpu, void (*fn)(void *arg), void *arg)
{
	struct cpu_call call = { .fn = fn, .arg = arg };

	work_on_cpu(cpu, cpu_call_fn, &call);
}

/*
 * Running.
 */

static bool case_wanted(const struct kt_case *c, const struct kt_params *p)
{
	if (!glob_match(p->cases, c->name))
		return false;
	if ((c->flags & KT_MQ) && !p->engine->per_cpu)
		return false;

	return !p->real || (c->flags & KT_REAL);
}

/* Returns whether another case may be run after it. */
static bool run_case(const struct kt_params *p, const struct kt_case *c, unsigned int number)
{
	u64 start = ktime_get_ns();
	struct kt *t;
	bool go_on;

	/* On the heap, because it stays in use if callbacks are missing. */
	t = kzalloc(sizeof(*t), GFP_KERNEL | __GFP_NOFAIL);
	t->p = p;
	t->eng = p->engine;
	t->c = c;
	t->log = &kt_run.result;
	spin_lock_init(&t->lock);
	prandom_seed_state(&t->rnd, p->seed + number);

	pr_info("%s with engine %s\n", c->name, p->engine->name);
	if ((c->flags & KT_ZONED) && !p->zoned)
		t->skip = "no zoned device given";
	else
		c->fn(t);
	kt_put_vols(t);

	if (t->failures > KT_NOTES_MAX)
		seq_buf_printf(&kt_run.result, "# and %u more failures\n",
			       t->failures - KT_NOTES_MAX);
	seq_buf_printf(&kt_run.result, "# %llu ms\n",
		       div_u64(ktime_get_ns() - start, NSEC_PER_MSEC));
	seq_buf_printf(&kt_run.result, "%sok %u %s", t->failures ? "not " : "", number, c->name);
	if (t->skip && !t->failures)
		seq_buf_printf(&kt_run.result, " # SKIP %s", t->skip);
	seq_buf_printf(&kt_run.result, "\n");

	go_on = !t->hung;
	if (t->hung) {
		__module_get(THIS_MODULE);
		kt_dead = true;
		seq_buf_printf(&kt_run.result, "Bail out! callbacks are missing\n");
	} else {
		kfree(t);
	}

	return go_on;
}

static void run_cases(const struct kt_params *p)
{
	unsigned int number = 0;
	unsigned int nr = 0;
	const struct kt_case *c;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kt_suites); i++) {
		for (c = kt_suites[i]; c->name; c++)
			nr += case_wanted(c, p);
	}

	seq_buf_clear(&kt_run.result);
	seq_buf_printf(&kt_run.result, "KTAP version 1\n# engine %s, seed %llu\n1..%u\n",
		       p->engine->name, p->seed, nr);

	for (i = 0; i < ARRAY_SIZE(kt_suites); i++) {
		for (c = kt_suites[i]; c->name; c++) {
			if (case_wanted(c, p) && !run_case(p, c, ++number))
				return;
		}
	}
}

static int parse_dst(struct kt_params *p, char *value)
{
	char *path;

	while ((path = strsep(&value, ","))) {
		if (p->nr_dst == ARRAY_SIZE(p->dst))
			return -EINVAL;
		p->dst[p->nr_dst++] = path;
	}

	return 0;
}

static int parse_word(void *context, const char *key, char *value)
{
	struct kt_params *p = context;

	if (!strcmp(key, "engine")) {
		p->engine = copy_engine_find(value);
		return p->engine ? 0 : -EINVAL;
	}
	if (!strcmp(key, "cases")) {
		p->cases = value;
		return 0;
	}
	if (!strcmp(key, "src")) {
		p->src = value;
		return 0;
	}
	if (!strcmp(key, "dst"))
		return parse_dst(p, value);
	if (!strcmp(key, "zoned")) {
		p->zoned = value;
		return 0;
	}
	if (!strcmp(key, "seconds"))
		return kstrtouint(value, 0, &p->seconds);
	if (!strcmp(key, "seed"))
		return kstrtou64(value, 0, &p->seed);

	return -EINVAL;
}

static int parse_line(struct kt_params *p, char *line)
{
	int r = test_line_parse(line, parse_word, p);

	if (r)
		return r;
	p->real = p->src || p->nr_dst;
	if (p->real && (!p->src || !p->nr_dst))
		return -EINVAL;

	return 0;
}

static int kt_line(char *line)
{
	struct kt_params p = {
		.engine = copy_engine_find("mq"),
		.cases = "*",
		.seconds = 5,
		.seed = get_random_u32(),
	};
	int r = parse_line(&p, line);

	if (r)
		return r;
	if (kt_dead)
		return -EBUSY;
	run_cases(&p);
	return 0;
}

static int list_show(struct seq_file *s, void *unused)
{
	const struct kt_case *c;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kt_suites); i++) {
		for (c = kt_suites[i]; c->name; c++)
			seq_printf(s, "%s%s%s%s\n", c->name, c->flags & KT_MQ ? " mq" : "",
				   c->flags & KT_REAL ? " real" : "",
				   c->flags & KT_ZONED ? " zoned" : "");
	}

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(list);

static int __init kt_init(void)
{
	int r = test_run_init(&kt_run);

	if (r)
		return r;
	debugfs_create_file("list", 0400, kt_run.dir, NULL, &list_fops);
	return 0;
}
module_init(kt_init);

static void __exit kt_exit(void)
{
	test_run_exit(&kt_run);
}
module_exit(kt_exit);

MODULE_DESCRIPTION("Functional tests of dm-kcopyd-mq");
MODULE_LICENSE("GPL");
DM_SCALED_IMPORT_NS();
