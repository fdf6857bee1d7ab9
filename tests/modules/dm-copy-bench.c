// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-copy-bench: the copy engines without device-mapper targets and without user space.
 *
 * Loading runs nothing. A line of key=value words written to debugfs dm-copy-bench/run runs one
 * benchmark and returns when it has ended, or early when a signal comes; dm-copy-bench/result then
 * gives JSON. Keys:
 *
 *   engine=stock|mq   default mq
 *   src=PATH dst=PATH devices to copy from and to; dst's contents are lost
 *   size_kb=N         of each copy, default 4
 *   depth=N           copies that each submitter keeps in flight, default 16
 *   cpus=LIST         a submitter is bound to each, default all that are online
 *   seconds=N         how long, default 2; or
 *   copies=N          how many, over all submitters
 *   pattern=seq|random
 *                     order of blocks; each submitter has an area of its own, of which each
 *                     block is copied once before any is copied again; default random
 *   trace=0|1         count by CPU what is submitted to the two devices, in units of a copy,
 *                     however many of them a bio is for; default 1; costs some time per bio
 *
 * A submitter is a thread that submits as many copies as have ended since it last looked, and
 * sleeps when none has. Callbacks do nothing but account and, if it sleeps, wake it. All share one
 * client.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/llist.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>

#include "copy-engine.h"
#include "test-compat.h"
#include "test-line.h"
#include "test-run.h"

#define RESULT_SIZE	(256 * 1024)

/*
 * Latencies are counted in a log-linear histogram: values below 2^HIST_BITS ns have a bucket each,
 * and each further power of two has 2^HIST_BITS buckets, so that a bucket is at most 1.6 % wide.
 * Values of 2^HIST_TOP ns and more share the last bucket.
 */
#define HIST_BITS	6
#define HIST_TOP	38
#define HIST_BUCKETS	((HIST_TOP - HIST_BITS + 1) << HIST_BITS)

struct bench_params {
	const struct copy_engine *engine;
	const char *src;
	const char *dst;
	unsigned int size_kb;
	unsigned int depth;
	unsigned int seconds;
	u64 copies;		/* 0: as many as fit into @seconds */
	bool random;
	bool trace;
	cpumask_var_t cpus;
};

/* What happened on one CPU; written by that CPU only. */
struct cpu_stats {
	u64 reads;		/* sectors submitted; copies when printed */
	u64 writes;		/* likewise */
	u64 callbacks;
	u64 errors;
	u64 total_ns;
	u64 max_ns;
	u32 hist[HIST_BUCKETS];
};

struct submitter;

struct slot {
	struct llist_node node;
	struct submitter *sub;
	u64 start;		/* ns */
};

struct bench {
	const struct bench_params *p;
	struct test_bdev src;
	struct test_bdev dst;
	void *kc;
	unsigned int sectors;	/* of a copy */
	u64 end;		/* ns, or U64_MAX */
	bool stop;
	struct cpu_stats **stats;
	atomic_t running;	/* submitters */
	wait_queue_head_t wait;
};

struct submitter {
	struct bench *b;
	struct task_struct *task;
	struct slot *slots;
	unsigned int in_flight;
	u64 left;		/* copies still to submit */
	u64 submitted;
	u64 first;		/* block */
	u64 blocks;
	u64 next;		/* position in the permutation */
	unsigned int bits;	/* the permutation is of 2^bits numbers */
	u64 salt;

	struct llist_head ended ____cacheline_aligned_in_smp;
};

static int bench_line(char *line);

static struct test_run bench_run = {
	.name = "dm-copy-bench",
	.size = RESULT_SIZE,
	.run = bench_line,
};

/*
 * Latency histogram.
 */

static unsigned int hist_bucket(u64 ns)
{
	unsigned int shift;

	if (ns < BIT(HIST_BITS))
		return ns;
	if (ns >= BIT_ULL(HIST_TOP))
		return HIST_BUCKETS - 1;

	shift = fls64(ns) - 1 - HIST_BITS;
	return ((shift + 1) << HIST_BITS) + (ns >> shift) - BIT(HIST_BITS);
}

/* The middle of a bucket. */
static u64 hist_value(unsigned int bucket)
{
	unsigned int shift;
	u64 base;

	if (bucket < 2 << HIST_BITS)
		return bucket;

	shift = (bucket >> HIST_BITS) - 1;
	base = (u64)(BIT(HIST_BITS) + (bucket & (BIT(HIST_BITS) - 1))) << shift;
	return base + (BIT_ULL(shift) >> 1);
}

static u64 hist_percentile(const u64 *hist, u64 total, unsigned int per_10000)
{
	u64 rank = DIV_ROUND_UP_ULL(total * per_10000, 10000);
	u64 seen = 0;
	unsigned int i;

	for (i = 0; i < HIST_BUCKETS; i++) {
		seen += hist[i];
		if (seen && seen >= rank)
			return hist_value(i);
	}

	return 0;
}

/*
 * Counting what bios are submitted for. The tracepoint is not exported, but can be found.
 */

static void find_tracepoint(struct tracepoint *tp, void *found)
{
	if (!strcmp(tp->name, "block_bio_queue"))
		*(struct tracepoint **)found = tp;
}

/* Runs with preemption off. */
static void count_bio(void *data, struct bio *bio)
{
	struct bench *b = data;
	struct cpu_stats *stats;

	if (bio->bi_bdev != b->src.bdev && bio->bi_bdev != b->dst.bdev)
		return;

	stats = b->stats[raw_smp_processor_id()];
	if (op_is_write(bio_op(bio)))
		stats->writes += bio_sectors(bio);
	else
		stats->reads += bio_sectors(bio);
}

/*
 * Submitters.
 */

static void copy_ended(int read_err, unsigned long write_err, void *context)
{
	struct slot *slot = context;
	struct submitter *sub = slot->sub;
	struct cpu_stats *stats;
	u64 ns;

	/* Other callbacks of this CPU must not come between. */
	preempt_disable();
	stats = sub->b->stats[raw_smp_processor_id()];
	ns = ktime_get_ns() - slot->start;
	stats->callbacks++;
	stats->total_ns += ns;
	stats->max_ns = max(stats->max_ns, ns);
	stats->hist[hist_bucket(ns)]++;
	if (read_err || write_err)
		stats->errors++;
	preempt_enable();

	if (llist_add(&slot->node, &sub->ended))
		wake_up_process(sub->task);
}

/* One to one on numbers of sub->bits bits: odd multiplications and shifts can be undone. */
static u64 scramble(const struct submitter *sub, u64 x)
{
	u64 mask = BIT_ULL(sub->bits) - 1;
	unsigned int half = (sub->bits + 1) / 2;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		x = (x * 0x9e3779b97f4a7c15ULL + sub->salt) & mask;
		x ^= x >> half;
	}

	return x;
}

static u64 next_block(struct submitter *sub)
{
	u64 x;

	if (!sub->b->p->random) {
		x = sub->next++;
		if (sub->next == sub->blocks)
			sub->next = 0;
		return sub->first + x;
	}

	do {
		x = scramble(sub, sub->next++);
		sub->next &= BIT_ULL(sub->bits) - 1;
	} while (x >= sub->blocks);

	return sub->first + x;
}

static void submit_one(struct submitter *sub, struct slot *slot)
{
	struct bench *b = sub->b;
	sector_t sector = next_block(sub) * b->sectors;
	struct dm_io_region src = {
		.bdev = b->src.bdev, .sector = sector, .count = b->sectors,
	};
	struct dm_io_region dst = {
		.bdev = b->dst.bdev, .sector = sector, .count = b->sectors,
	};

	sub->left--;
	sub->submitted++;
	sub->in_flight++;
	slot->start = ktime_get_ns();
	b->p->engine->copy(b->kc, &src, 1, &dst, 0, copy_ended, slot);
}

static bool may_submit(struct submitter *sub)
{
	return sub->left && !READ_ONCE(sub->b->stop) && ktime_get_ns() < sub->b->end;
}

static void submit_until_end(struct submitter *sub)
{
	unsigned int i;

	for (i = 0; i < sub->b->p->depth && may_submit(sub); i++)
		submit_one(sub, &sub->slots[i]);

	while (sub->in_flight) {
		struct llist_node *node = llist_del_all(&sub->ended);

		if (!node) {
			set_current_state(TASK_UNINTERRUPTIBLE);
			if (llist_empty(&sub->ended))
				schedule();
			__set_current_state(TASK_RUNNING);
			continue;
		}

		while (node) {
			struct slot *slot = llist_entry(node, struct slot, node);

			node = node->next;
			sub->in_flight--;
			if (may_submit(sub))
				submit_one(sub, slot);
		}
		cond_resched();
	}
}

static int submitter_fn(void *data)
{
	struct submitter *sub = data;
	struct bench *b = sub->b;

	submit_until_end(sub);
	if (atomic_dec_and_test(&b->running))
		wake_up(&b->wait);

	/* Stays until it is collected, so that a callback may still wake it. */
	set_current_state(TASK_IDLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_IDLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

/*
 * Results.
 */

static void print_by_cpu(const struct bench *b, const char *name, size_t offset)
{
	unsigned int cpu;

	seq_buf_printf(&bench_run.result, ",\n \"%s\": [", name);
	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		seq_buf_printf(&bench_run.result, "%s%llu", cpu ? ", " : "",
			       *(u64 *)((char *)b->stats[cpu] + offset));
	seq_buf_printf(&bench_run.result, "]");
}

/* Nanoseconds as microseconds with three digits behind the point. */
static void print_us(const char *name, u64 ns)
{
	u32 rest;
	u64 us = div_u64_rem(ns, 1000, &rest);

	seq_buf_printf(&bench_run.result, "\"%s\": %llu.%03u", name, us, rest);
}

static void print_result(const struct bench *b, u64 elapsed, bool traced)
{
	static const struct {
		const char *name;
		unsigned int per_10000;
	} percentiles[] = {
		{ "p50", 5000 }, { "p90", 9000 }, { "p99", 9900 }, { "p999", 9990 },
	};
	const struct bench_params *p = b->p;
	u64 copies = 0, errors = 0, total = 0, longest = 0;
	unsigned int cpu, i;
	u64 *hist;
	u32 ms;

	hist = kvcalloc(HIST_BUCKETS, sizeof(*hist), GFP_KERNEL | __GFP_NOFAIL);
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		struct cpu_stats *stats = b->stats[cpu];

		copies += stats->callbacks;
		errors += stats->errors;
		total += stats->total_ns;
		longest = max(longest, stats->max_ns);
		for (i = 0; i < HIST_BUCKETS; i++)
			hist[i] += stats->hist[i];
	}

	seq_buf_clear(&bench_run.result);
	seq_buf_printf(&bench_run.result, "{\"engine\": \"%s\", \"cpus\": \"%*pbl\"",
		       p->engine->name, cpumask_pr_args(p->cpus));
	seq_buf_printf(&bench_run.result, ", \"pattern\": \"%s\"", p->random ? "random" : "seq");
	seq_buf_printf(&bench_run.result, ", \"size_kb\": %u, \"depth\": %u", p->size_kb, p->depth);
	seq_buf_printf(&bench_run.result, ",\n \"copies\": %llu, \"errors\": %llu", copies, errors);
	seq_buf_printf(&bench_run.result, ", \"seconds\": %llu",
		       div_u64_rem(elapsed, 1000000000, &ms));
	seq_buf_printf(&bench_run.result, ".%06u", ms / 1000);
	seq_buf_printf(&bench_run.result, ", \"copies_per_s\": %llu",
		       mul_u64_u64_div_u64(copies, NSEC_PER_SEC, elapsed));
	seq_buf_printf(&bench_run.result, ",\n \"lat_us\": {");
	print_us("mean", copies ? div64_u64(total, copies) : 0);
	for (i = 0; i < ARRAY_SIZE(percentiles); i++) {
		u64 ns = hist_percentile(hist, copies, percentiles[i].per_10000);

		seq_buf_printf(&bench_run.result, ", ");
		print_us(percentiles[i].name, min(ns, longest));
	}
	seq_buf_printf(&bench_run.result, ", ");
	print_us("max", longest);
	seq_buf_printf(&bench_run.result, "}");

	print_by_cpu(b, "callbacks_on", offsetof(struct cpu_stats, callbacks));
	if (traced) {
		for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
			do_div(b->stats[cpu]->reads, b->sectors);
			do_div(b->stats[cpu]->writes, b->sectors);
		}
		print_by_cpu(b, "reads_on", offsetof(struct cpu_stats, reads));
		print_by_cpu(b, "writes_on", offsetof(struct cpu_stats, writes));
		for (cpu = 0; cpu < nr_cpu_ids; cpu++)
			b->stats[cpu]->reads += b->stats[cpu]->writes;
		print_by_cpu(b, "submitted_on", offsetof(struct cpu_stats, reads));
	}
	seq_buf_printf(&bench_run.result, "}\n");
	kvfree(hist);
}

/*
 * One run.
 */

static void free_stats(struct bench *b)
{
	unsigned int cpu;

	for (cpu = 0; b->stats && cpu < nr_cpu_ids; cpu++)
		kvfree(b->stats[cpu]);
	kvfree(b->stats);
}

static int alloc_stats(struct bench *b)
{
	unsigned int cpu;

	b->stats = kvcalloc(nr_cpu_ids, sizeof(*b->stats), GFP_KERNEL);
	if (!b->stats)
		return -ENOMEM;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		int node = cpu_possible(cpu) ? cpu_to_node(cpu) : NUMA_NO_NODE;

		b->stats[cpu] = kvzalloc_node(sizeof(*b->stats[cpu]), GFP_KERNEL, node);
		if (!b->stats[cpu]) {
			free_stats(b);
			return -ENOMEM;
		}
	}

	return 0;
}

static void stop_submitters(struct submitter *subs, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		kthread_stop(subs[i].task);
		kvfree(subs[i].slots);
	}
}

/* Creates submitter @i of @nr, which does not run yet. */
static int create_submitter(struct bench *b, struct submitter *sub, unsigned int i,
			    unsigned int nr, unsigned int cpu)
{
	const struct bench_params *p = b->p;
	u64 blocks = div_u64(min(bdev_nr_sectors(b->src.bdev), bdev_nr_sectors(b->dst.bdev)),
			     b->sectors);
	unsigned int s;

	sub->b = b;
	init_llist_head(&sub->ended);
	sub->blocks = div_u64(blocks, nr);
	sub->first = i * sub->blocks;
	sub->bits = max(order_base_2(sub->blocks), 1);
	sub->salt = get_random_u32();
	sub->left = p->copies ? div_u64(p->copies, nr) + (i < p->copies % nr) : U64_MAX;

	sub->slots = kvcalloc(p->depth, sizeof(*sub->slots), GFP_KERNEL);
	if (!sub->slots)
		return -ENOMEM;
	for (s = 0; s < p->depth; s++)
		sub->slots[s].sub = sub;

	sub->task = kthread_create_on_node(submitter_fn, sub, cpu_to_node(cpu), "copybench/%u",
					   cpu);
	if (IS_ERR(sub->task)) {
		kvfree(sub->slots);
		return PTR_ERR(sub->task);
	}

	kthread_bind(sub->task, cpu);
	return 0;
}

static int run_submitters(struct bench *b, u64 *elapsed)
{
	const struct bench_params *p = b->p;
	unsigned int nr = cpumask_weight(p->cpus);
	struct submitter *subs;
	unsigned int created = 0;
	unsigned int cpu, i;
	u64 start;
	int r = 0;

	subs = kvcalloc(nr, sizeof(*subs), GFP_KERNEL);
	if (!subs)
		return -ENOMEM;

	cpus_read_lock();
	if (!cpumask_subset(p->cpus, cpu_online_mask))
		r = -EINVAL;
	for_each_cpu(cpu, p->cpus) {
		if (!r)
			r = create_submitter(b, &subs[created], created, nr, cpu);
		if (!r)
			created++;
	}
	cpus_read_unlock();
	if (r)
		goto out;

	atomic_set(&b->running, nr);
	start = ktime_get_ns();
	b->end = p->copies ? U64_MAX : start + (u64)p->seconds * NSEC_PER_SEC;
	for (i = 0; i < nr; i++)
		wake_up_process(subs[i].task);

	r = wait_event_interruptible(b->wait, !atomic_read(&b->running));
	if (r) {
		WRITE_ONCE(b->stop, true);
		wait_event(b->wait, !atomic_read(&b->running));
		r = -EINTR;
	}
	*elapsed = ktime_get_ns() - start;
out:
	/* Callbacks may still be on their way out: the client is destroyed before the slots. */
	b->p->engine->destroy(b->kc);
	b->kc = NULL;
	stop_submitters(subs, created);
	kvfree(subs);
	return r;
}

static int open_devices(struct bench *b)
{
	const struct bench_params *p = b->p;
	sector_t needed;
	int r;

	r = test_bdev_open(&b->src, p->src);
	if (r)
		return r;
	r = test_bdev_open(&b->dst, p->dst);
	if (r) {
		test_bdev_close(&b->src);
		return r;
	}

	/* At least one block for each submitter. */
	needed = (sector_t)b->sectors * cpumask_weight(p->cpus);
	if (bdev_nr_sectors(b->src.bdev) < needed || bdev_nr_sectors(b->dst.bdev) < needed) {
		test_bdev_close(&b->dst);
		test_bdev_close(&b->src);
		return -ENOSPC;
	}

	return 0;
}

static int run_bench(const struct bench_params *p)
{
	struct bench b = { .p = p, .sectors = p->size_kb * 2 };
	struct tracepoint *tp = NULL;
	u64 elapsed;
	int r;

	init_waitqueue_head(&b.wait);
	r = open_devices(&b);
	if (r)
		return r;
	r = alloc_stats(&b);
	if (r)
		goto bad_stats;
	b.kc = p->engine->create(NULL);
	if (IS_ERR(b.kc)) {
		r = PTR_ERR(b.kc);
		goto bad_client;
	}
	p->engine->offload(b.kc, b.src.bdev, b.dst.bdev);

	if (p->trace)
		for_each_kernel_tracepoint(find_tracepoint, &tp);
	if (tp && tracepoint_probe_register(tp, count_bio, &b))
		tp = NULL;

	r = run_submitters(&b, &elapsed);

	if (tp) {
		tracepoint_probe_unregister(tp, count_bio, &b);
		tracepoint_synchronize_unregister();
	}
	if (!r)
		print_result(&b, max(elapsed, 1ULL), tp);
bad_client:
	free_stats(&b);
bad_stats:
	test_bdev_close(&b.dst);
	test_bdev_close(&b.src);
	return r;
}

/*
 * The line.
 */

static int parse_word(void *context, const char *key, char *value)
{
	struct bench_params *p = context;

	if (!strcmp(key, "engine")) {
		p->engine = copy_engine_find(value);
		return p->engine ? 0 : -EINVAL;
	}
	if (!strcmp(key, "src")) {
		p->src = value;
		return 0;
	}
	if (!strcmp(key, "dst")) {
		p->dst = value;
		return 0;
	}
	if (!strcmp(key, "size_kb"))
		return kstrtouint(value, 0, &p->size_kb);
	if (!strcmp(key, "depth"))
		return kstrtouint(value, 0, &p->depth);
	if (!strcmp(key, "seconds"))
		return kstrtouint(value, 0, &p->seconds);
	if (!strcmp(key, "copies"))
		return kstrtou64(value, 0, &p->copies);
	if (!strcmp(key, "cpus"))
		return cpulist_parse(value, p->cpus);
	if (!strcmp(key, "trace"))
		return kstrtobool(value, &p->trace);
	if (!strcmp(key, "pattern")) {
		p->random = !strcmp(value, "random");
		return p->random || !strcmp(value, "seq") ? 0 : -EINVAL;
	}

	return -EINVAL;
}

static int parse_line(struct bench_params *p, char *line)
{
	int r = test_line_parse(line, parse_word, p);

	if (r)
		return r;
	if (!p->src || !p->dst || cpumask_empty(p->cpus))
		return -EINVAL;
	if (!in_range(p->size_kb, 1, 1 << 20) || !in_range(p->depth, 1, 1 << 16))
		return -EINVAL;
	if (!p->copies && !in_range(p->seconds, 1, 3600))
		return -EINVAL;

	return 0;
}

static int bench_line(char *line)
{
	struct bench_params p = {
		.engine = copy_engine_find("mq"),
		.size_kb = 4,
		.depth = 16,
		.seconds = 2,
		.random = true,
		.trace = true,
	};
	int r;

	if (!alloc_cpumask_var(&p.cpus, GFP_KERNEL))
		return -ENOMEM;

	cpumask_copy(p.cpus, cpu_online_mask);
	r = parse_line(&p, line);
	if (!r) {
		seq_buf_clear(&bench_run.result);
		r = run_bench(&p);
	}

	free_cpumask_var(p.cpus);
	return r;
}

static int __init bench_init(void)
{
	return test_run_init(&bench_run);
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	test_run_exit(&bench_run);
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Copy benchmark for stock kcopyd and dm-kcopyd-mq");
MODULE_LICENSE("GPL");
DM_SCALED_IMPORT_NS();
