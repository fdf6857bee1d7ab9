// SPDX-License-Identifier: GPL-2.0-only
/*
 * dm-scaled-fault: fault injection by call site, which the kernel does not have on x86-64.
 *
 * fail_callers in debugfs, with the kernel's settings (probability, interval, times), fails
 * allocations made, directly or not, by code between the addresses in "start" and "end", in
 * whatever task: of slabs, of pages and of memory per CPU, which the kernel itself fails only with
 * the pages it consists of. When dm-scaled is loaded, the addresses become its own. So I/O under
 * memory faults can be checked without the faults of everybody else on its way; and with fail-nth,
 * while failslab and fail_page_alloc count nothing, only our allocations are counted.
 *
 * "wait" tells whether allocations that may wait fail, too; real ones hardly ever do, and those of
 * mempools never. "site" is the address in our code from where the last one came that failed, and
 * "symbol" its name. "stacks" lists those that fail-nth has counted, a number for each stack that
 * they were made from, since "nr_stacks" was set to 0. If "stack" is such a number, it is not the
 * nth that fails, but one from there, the first but "skip".
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/fault-inject.h>
#include <linux/gfp.h>
#include <linux/jhash.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/stacktrace.h>

#include "test-compat.h"

#define FAULT_MAX_CALLERS	32
#define FAULT_MAX_STACKS	4096
/* How kmemleak gets memory for its own notes of an allocation; it has a reserve. */
#define FAULT_KMEMLEAK		(__GFP_DIRECT_RECLAIM | __GFP_NORETRY | __GFP_NOMEMALLOC | \
				 __GFP_NOWARN)

static DECLARE_FAULT_ATTR(fail_callers);
static u64 fault_start, fault_end, fault_site;
static bool fault_wait;
static struct dentry *fault_dir;
/* Written by the one task that uses fail-nth. */
static u32 fault_stacks[FAULT_MAX_STACKS];
static u32 fault_nr_stacks, fault_stack, fault_skip;
static atomic_t fault_count;

/* These run in place of the probed functions, and return to their callers. */

static int fault_no_object(void)
{
	return -ENOMEM;
}

static bool fault_no_page(void)
{
	return true;
}

static void *fault_no_percpu(void)
{
	return NULL;
}

/* The breakpoint of a probe counts as an NMI. */
static bool fault_in_task(void)
{
	unsigned int count = preempt_count();

	if (in_nmi())
		count -= NMI_OFFSET + HARDIRQ_OFFSET;
	return !(count & (NMI_MASK | HARDIRQ_MASK | SOFTIRQ_OFFSET));
}

/* Without memory for a file in sysfs, kmem_cache_create() of 6.1 loses the file's name. */
static bool fault_is_foreign(const unsigned long *callers, unsigned int nr)
{
	char name[KSYM_SYMBOL_LEN];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		sprint_symbol_no_offset(name, callers[i]);
		if (!strcmp(name, "sysfs_slab_add"))
			return true;
	}
	return false;
}

/*
 * What should_fail() does, but without its random numbers, which take a lock: so many of a hundred
 * that the interval leaves, and without a period. Who allocates in a cycle, such as so many times
 * for each chunk, would else come upon a fault at the same place of each cycle.
 */
static bool fault_is_drawn(void)
{
	unsigned int n = atomic_inc_return(&fault_count);
	unsigned int interval = max(fail_callers.interval, 1UL);

	if (n % interval || jhash_1word(n / interval, 0) % 100 >= fail_callers.probability)
		return false;
	return atomic_add_unless(&fail_callers.times, -1, 0);
}

static bool fault_is_nth(const unsigned long *callers, unsigned int nr)
{
	u32 stack;

	if (!current->fail_nth)
		return fault_is_drawn();
	stack = jhash(callers, nr * sizeof(*callers), 0);
	if (fault_nr_stacks < FAULT_MAX_STACKS)
		fault_stacks[fault_nr_stacks++] = stack;
	if (fault_stack)
		return stack == fault_stack && !fault_skip--;
	return !--current->fail_nth;
}

static bool fault_is_due(gfp_t gfp)
{
	unsigned long callers[FAULT_MAX_CALLERS];
	unsigned int i, nr;

	if ((!fail_callers.probability && !current->fail_nth) || !fault_in_task())
		return false;
	if (gfp & __GFP_NOFAIL || (!READ_ONCE(fault_wait) && gfp & __GFP_DIRECT_RECLAIM))
		return false;
	if ((gfp & FAULT_KMEMLEAK) == FAULT_KMEMLEAK)
		return false;

	nr = stack_trace_save(callers, ARRAY_SIZE(callers), 0);
	for (i = 0; i < nr; i++)
		if (callers[i] >= fault_start && callers[i] < fault_end)
			break;
	if (i == nr || fault_is_foreign(callers, nr) || !fault_is_nth(callers, nr))
		return false;
	WRITE_ONCE(fault_site, callers[i]);
	return true;
}

/* For a handler that has changed where the probed function goes on, there is nothing else to do. */
static int fault_divert(struct pt_regs *regs, void *to)
{
	instruction_pointer_set(regs, (unsigned long)to);
	return 1;
}

static int fault_slab(struct kprobe *probe, struct pt_regs *regs)
{
	gfp_t gfp = (__force gfp_t)regs_get_kernel_argument(regs, 1);

	return fault_is_due(gfp) ? fault_divert(regs, fault_no_object) : 0;
}

NOKPROBE_SYMBOL(fault_slab);

static int fault_page(struct kprobe *probe, struct pt_regs *regs)
{
	gfp_t gfp = (__force gfp_t)regs_get_kernel_argument(regs, 0);

	return fault_is_due(gfp) ? fault_divert(regs, fault_no_page) : 0;
}

NOKPROBE_SYMBOL(fault_page);

static int fault_percpu(struct kprobe *probe, struct pt_regs *regs)
{
	gfp_t gfp = (__force gfp_t)regs_get_kernel_argument(regs, 3);

	return fault_is_due(gfp) ? fault_divert(regs, fault_no_percpu) : 0;
}

NOKPROBE_SYMBOL(fault_percpu);

/* That there is one keeps the probe from being optimized into a jump, which cannot be diverted. */
static void fault_post(struct kprobe *probe, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe fault_slab_probe = {
	.symbol_name = "should_failslab",
	.pre_handler = fault_slab,
	.post_handler = fault_post,
};

static struct kprobe fault_page_probe = {
	.symbol_name = "should_fail_alloc_page",
	.pre_handler = fault_page,
	.post_handler = fault_post,
};

static struct kprobe fault_percpu_probe = {
	.symbol_name = TEST_PCPU_ALLOC,
	.pre_handler = fault_percpu,
	.post_handler = fault_post,
};

static struct kprobe *fault_probes[] = {
	&fault_slab_probe, &fault_page_probe, &fault_percpu_probe,
};

static int fault_symbol_show(struct seq_file *m, void *unused)
{
	if (fault_site)
		seq_printf(m, "%pS\n", (void *)(unsigned long)fault_site);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(fault_symbol);

static int fault_stacks_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	for (i = 0; i < fault_nr_stacks; i++)
		seq_printf(m, "%u\n", fault_stacks[i]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(fault_stacks);

static int fault_module_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct module *mod = data;

	if (event == MODULE_STATE_COMING && !strcmp(mod->name, "dm_scaled"))
		test_module_text(mod, &fault_start, &fault_end);
	return NOTIFY_OK;
}

static struct notifier_block fault_modules = {
	.notifier_call = fault_module_event,
};

/*
 * Where dm-scaled is. /proc/modules would not do: it has the size of all of a module, the parts of
 * which later kernels keep apart, so that other modules follow the text.
 */
static void __init fault_find_module(void)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, "dm_scaled");
	struct module *mod;

	if (!kobj)
		return;
	mod = container_of(kobj, struct module_kobject, kobj)->mod;
	if (mod)
		test_module_text(mod, &fault_start, &fault_end);
	kobject_put(kobj);
}

static int __init fault_init(void)
{
	int r;

	r = register_module_notifier(&fault_modules);
	if (r)
		return r;
	fault_find_module();
	r = register_kprobes(fault_probes, ARRAY_SIZE(fault_probes));
	if (r) {
		pr_err("Cannot set the probes: error %d\n", r);
		unregister_module_notifier(&fault_modules);
		return r;
	}
	fault_dir = fault_create_debugfs_attr("fail_callers", NULL, &fail_callers);
	debugfs_create_u64("start", 0600, fault_dir, &fault_start);
	debugfs_create_u64("end", 0600, fault_dir, &fault_end);
	debugfs_create_u64("site", 0600, fault_dir, &fault_site);
	debugfs_create_file("symbol", 0400, fault_dir, NULL, &fault_symbol_fops);
	debugfs_create_file("stacks", 0400, fault_dir, NULL, &fault_stacks_fops);
	debugfs_create_u32("nr_stacks", 0600, fault_dir, &fault_nr_stacks);
	debugfs_create_u32("stack", 0600, fault_dir, &fault_stack);
	debugfs_create_u32("skip", 0600, fault_dir, &fault_skip);
	debugfs_create_bool("wait", 0600, fault_dir, &fault_wait);
	return 0;
}

static void __exit fault_exit(void)
{
	unregister_kprobes(fault_probes, ARRAY_SIZE(fault_probes));
	unregister_module_notifier(&fault_modules);
	debugfs_remove(fault_dir);
	test_release_fault_attr(&fail_callers);
}

module_init(fault_init);
module_exit(fault_exit);

MODULE_DESCRIPTION("Fault injection for the tests of dm-scaled");
MODULE_LICENSE("GPL");
