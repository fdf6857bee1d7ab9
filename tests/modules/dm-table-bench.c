// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-table-bench: what a look-up in the table of exceptions costs, by the number of exceptions.
 *
 * The table is compiled into this module, which needs no other one. Loading runs nothing. A line of
 * key=value words written to debugfs dm-table-bench/run fills a table, measures and frees it;
 * dm-table-bench/result then has the results, a line each: name and value. Keys:
 *
 *   pattern=scattered|random|alternating|sequential
 *                 scattered: single chunks far from each other, each in a group of its own;
 *                 random: any chunks of a device, which fills up; alternating: each other chunk;
 *                 sequential: chunks that follow each other in both devices. Default scattered
 *   exceptions=N  how many, default 1000
 *   lookups=N     how many of them are looked up, and as many chunks near some that have none,
 *                 default 20000
 *   bits=N        the device of pattern random has 2^N chunks, of which at most three in four may
 *                 have exceptions; default 27 (512 GiB of chunks of 4 KiB)
 *
 * Instructions are what the TSC counts: in a VM with "-icount shift=0" that is one for each. What
 * the loop itself takes is measured and taken off. Elsewhere they are called "ticks".
 *
 * Loads of which each needs the one before: of the section, of its lists, of the list's head, then
 * for each group on the way one, and what the search in it needs.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/timex.h>

#include "dm-snap-group.c"
#include "dm-snap-exception.c"
#include "test-line.h"
#include "test-run.h"

/* Look-ups between two reads of the TSC, with interrupts off. */
#define BATCH		64
/* log2 of the chunks of the device with the other patterns. */
#define LARGE_BITS	40
/* Of the section, of its lists, of the list's first group. */
#define LOADS_TO_LIST	3

struct table_pattern;

struct table_params {
	const struct table_pattern *pattern;
	u64 exceptions;
	u64 lookups;
	unsigned int bits;
};

/**
 * struct table_pattern - which chunks have exceptions
 * @name: of the pattern
 * @old:  chunk of the origin of exception @i
 * @miss: number @i of the chunks that have none
 */
struct table_pattern {
	const char *name;
	u64 (*old)(const struct table_params *p, u64 i);
	u64 (*miss)(const struct table_params *p, u64 i);
};

/**
 * struct table_costs - what look-ups cost, summed up
 * @nr:     look-ups
 * @ticks:  of the TSC
 * @groups: on the way
 * @loads:  of which each needs the one before
 */
struct table_costs {
	u64 nr;
	u64 ticks;
	u64 groups;
	u64 loads;
};

static int table_line(char *line);

static struct test_run table_run = {
	.name = "dm-table-bench",
	.size = PAGE_SIZE,
	.run = table_line,
};

/*
 * Patterns.
 */

/* One to one on numbers of @bits bits: odd multiplications and shifts can be undone. */
static u64 scramble(u64 x, unsigned int bits)
{
	u64 mask = BIT_ULL(bits) - 1;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		x = (x * 0x9e3779b97f4a7c15ULL + 0x1234567) & mask;
		x ^= x >> (bits + 1) / 2;
	}
	return x;
}

static u64 scattered_old(const struct table_params *p, u64 i)
{
	u64 number = scramble(i, p->bits - SNAP_GROUP_BITS);

	return number << SNAP_GROUP_BITS | (i & (SNAP_GROUP_CHUNKS - 1));
}

static u64 scattered_miss(const struct table_params *p, u64 i)
{
	return scattered_old(p, p->exceptions + i);
}

static u64 random_old(const struct table_params *p, u64 i)
{
	return scramble(i, p->bits);
}

static u64 random_miss(const struct table_params *p, u64 i)
{
	return random_old(p, p->exceptions + i % ((1ULL << p->bits) - p->exceptions));
}

static u64 alternating_old(const struct table_params *p, u64 i)
{
	return 2 * i;
}

static u64 alternating_miss(const struct table_params *p, u64 i)
{
	return 2 * i + 1;
}

static u64 sequential_old(const struct table_params *p, u64 i)
{
	return i;
}

/* Where the next ones would be. */
static u64 sequential_miss(const struct table_params *p, u64 i)
{
	return p->exceptions + i;
}

static const struct table_pattern patterns[] = {
	{ "scattered", scattered_old, scattered_miss },
	{ "random", random_old, random_miss },
	{ "alternating", alternating_old, alternating_miss },
	{ "sequential", sequential_old, sequential_miss },
};

static bool is_random(const struct table_params *p)
{
	return p->pattern->old == random_old;
}

/* The most exceptions that there may be. */
static u64 most_exceptions(const struct table_params *p)
{
	if (is_random(p))
		return BIT_ULL(p->bits) / 4 * 3;
	return BIT_ULL(LARGE_BITS - SNAP_GROUP_BITS - 1);
}

/*
 * Measuring.
 */

typedef bool (*table_lookup_fn)(struct snap_exceptions *et, u64 old, u64 *new);

static noinline bool lookup_nothing(struct snap_exceptions *et, u64 old, u64 *new)
{
	/* Not to be left out. */
	barrier();
	return false;
}

static u64 time_batch(table_lookup_fn fn, struct snap_exceptions *et, const u64 *olds,
		      unsigned int nr, unsigned int *found)
{
	unsigned long flags;
	unsigned int i;
	u64 new = 0, begin, end;

	local_irq_save(flags);
	begin = get_cycles();
	for (i = 0; i < nr; i++)
		*found += fn(et, olds[i], &new);
	end = get_cycles();
	local_irq_restore(flags);
	return end - begin;
}

/* Of the map and then of the run; runs that are looked through one by one need only the group. */
static unsigned int search_loads(const struct snap_group *g)
{
	return snap_group_has_map(g->capacity) ? 2 : 1;
}

/* Nobody changes the table meanwhile. */
static void count_loads(struct snap_exceptions *et, u64 old, struct table_costs *costs)
{
	u64 number = old >> SNAP_GROUP_BITS, hash = group_hash(number), run;
	unsigned int offset = old & (SNAP_GROUP_CHUNKS - 1), i;
	unsigned int section = exceptions_section(et, hash);
	struct snap_exception_lists *lists;
	struct snap_group *g;

	costs->loads += LOADS_TO_LIST;
	lists = rcu_dereference_protected(et->sections[section].lists, 1);
	g = rcu_dereference_protected(*exceptions_list(et, lists, hash), 1);
	for (; g; g = rcu_dereference_protected(g->next, 1)) {
		costs->groups++;
		costs->loads++;
		if (g->words[0] != number)
			continue;
		costs->loads += search_loads(g);
		i = snap_group_search(g, g->nr, offset);
		run = i ? snap_group_runs(g)[i - 1] : 0;
		if (i && offset <= snap_run_last(run))
			break;
	}
}

static int measure(const struct table_params *p, struct snap_exceptions *et, bool hits,
		   struct table_costs *costs)
{
	table_lookup_fn nothing = lookup_nothing, lookup = snap_exception_lookup;
	u64 step = max(p->exceptions / p->lookups, 1ULL), i = 0, done, loop;
	unsigned int found, nr, k;
	u64 *olds;

	/* Both are called by pointer. */
	OPTIMIZER_HIDE_VAR(nothing);
	OPTIMIZER_HIDE_VAR(lookup);
	olds = kmalloc_array(BATCH, sizeof(*olds), GFP_KERNEL);
	if (!olds)
		return -ENOMEM;
	for (done = 0; done < p->lookups; done += nr) {
		nr = min_t(u64, p->lookups - done, BATCH);
		for (k = 0; k < nr; k++, i = (i + step) % p->exceptions) {
			olds[k] = hits ? p->pattern->old(p, i) : p->pattern->miss(p, i);
			count_loads(et, olds[k], costs);
		}
		found = 0;
		loop = time_batch(nothing, et, olds, nr, &found);
		costs->ticks += time_batch(lookup, et, olds, nr, &found) - loop;
		if (found != (hits ? nr : 0)) {
			pr_err("%s: %u of %u found\n", p->pattern->name, found, nr);
			kfree(olds);
			return -EUCLEAN;
		}
		costs->nr += nr;
		cond_resched();
	}
	kfree(olds);
	return 0;
}

/*
 * The table.
 */

static int fill(const struct table_params *p, struct snap_exceptions *et)
{
	struct snap_group *room = NULL;
	int r = 0;
	u64 i;

	for (i = 0; i < p->exceptions && !r; i++) {
		if (!room)
			room = snap_exception_room(true);
		r = room ? snap_exception_add(et, p->pattern->old(p, i), i, 1, &room) : -ENOMEM;
		if (!(i % 1024)) {
			if (fatal_signal_pending(current))
				r = -EINTR;
			cond_resched();
		}
	}
	kfree(room);
	flush_work(&et->grow);
	return r;
}

/* Bytes of all groups and lists, as the allocator rounds them up. */
static void count_bytes(struct snap_exceptions *et, u64 *groups, u64 *runs, u64 *bytes)
{
	struct snap_exception_lists *lists;
	struct snap_group *g;
	unsigned int section, i;

	*groups = 0;
	*runs = 0;
	*bytes = 0;
	for (section = 0; section < BIT(et->section_bits); section++) {
		lists = rcu_dereference_protected(et->sections[section].lists, 1);
		*bytes += roundup_pow_of_two(struct_size(lists, heads, lists->nr));
		for (i = 0; i < lists->nr; i++) {
			for (g = rcu_dereference_protected(lists->heads[i], 1); g;
			     g = rcu_dereference_protected(g->next, 1)) {
				++*groups;
				*runs += g->nr;
				*bytes += snap_group_alloc_size(g->capacity);
			}
		}
		cond_resched();
	}
}

static void print_value(const char *name, u64 value)
{
	seq_buf_printf(&table_run.result, "%s %llu\n", name, value);
}

/* With two digits behind the point. */
static void print_mean(const char *what, const char *name, u64 sum, u64 nr)
{
	u64 value = div64_u64(sum * 100, nr);
	u32 rest;

	value = div_u64_rem(value, 100, &rest);
	seq_buf_printf(&table_run.result, "%s-%s %llu.%02u\n", what, name, value, rest);
}

static void print_costs(const char *what, const struct table_costs *costs)
{
	print_mean(what, "ticks", costs->ticks, costs->nr);
	print_mean(what, "groups", costs->groups, costs->nr);
	print_mean(what, "loads", costs->loads, costs->nr);
}

static int run_table(const struct table_params *p)
{
	struct table_costs hit = {}, miss = {};
	u64 groups, runs, bytes, empty, begin, ticks;
	struct snap_exceptions et;
	long before, after;
	int r;

	before = si_mem_available();
	r = snap_exceptions_init(&et, BIT_ULL(p->bits), BIT_ULL(p->bits));
	if (r)
		return r;
	count_bytes(&et, &groups, &runs, &empty);
	begin = get_cycles();
	r = fill(p, &et);
	ticks = get_cycles() - begin;
	if (r)
		goto out;
	rcu_barrier();
	after = si_mem_available();

	r = measure(p, &et, true, &hit) ?: measure(p, &et, false, &miss);
	if (r)
		goto out;
	count_bytes(&et, &groups, &runs, &bytes);
	seq_buf_clear(&table_run.result);
	print_value("exceptions", p->exceptions);
	print_value("groups", groups);
	print_value("runs", runs);
	print_costs("hit", &hit);
	print_costs("miss", &miss);
	print_mean("add", "ticks", ticks, p->exceptions);
	print_value("empty-bytes", empty);
	print_value("bytes", bytes);
	print_value("taken-bytes", max(before - after, 0L) << PAGE_SHIFT);
out:
	snap_exceptions_exit(&et);
	rcu_barrier();
	return r;
}

/*
 * The line.
 */

static int parse_word(void *context, const char *key, char *value)
{
	struct table_params *p = context;
	unsigned int i;

	if (!strcmp(key, "exceptions"))
		return kstrtou64(value, 0, &p->exceptions);
	if (!strcmp(key, "lookups"))
		return kstrtou64(value, 0, &p->lookups);
	if (!strcmp(key, "bits"))
		return kstrtouint(value, 0, &p->bits);
	if (strcmp(key, "pattern") != 0)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (!strcmp(value, patterns[i].name)) {
			p->pattern = &patterns[i];
			return 0;
		}
	}
	return -EINVAL;
}

static int table_line(char *line)
{
	struct table_params p = {
		.pattern = patterns, .exceptions = 1000, .lookups = 20000, .bits = 27,
	};
	int r = test_line_parse(line, parse_word, &p);

	if (r)
		return r;
	if (!is_random(&p))
		p.bits = LARGE_BITS;
	if (p.bits <= SNAP_GROUP_BITS || p.bits > LARGE_BITS || !p.exceptions ||
	    p.exceptions > most_exceptions(&p) || !p.lookups)
		return -ERANGE;
	seq_buf_clear(&table_run.result);
	return run_table(&p);
}

static int __init table_init(void)
{
	return test_run_init(&table_run);
}
module_init(table_init);

static void __exit table_exit(void)
{
	test_run_exit(&table_run);
}
module_exit(table_exit);

MODULE_DESCRIPTION("Benchmark of dm-scaled's table of exceptions");
MODULE_LICENSE("GPL");
