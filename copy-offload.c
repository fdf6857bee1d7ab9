// SPDX-License-Identifier: GPL-2.0-only
/*
 * copy-offload: which disks copy, what may be left to them, and when they are given up.
 *
 * How a copy is asked for is a provider's: copy-offload-nvme.c, copy-offload-blk.c.
 */
#undef pr_fmt
#define pr_fmt(fmt) "copy-offload: " fmt

#include <linux/blk-integrity.h>
#include <linux/debugfs.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "copy-offload.h"
#include "dm-scaled-delay.h"

/*
 * A failure weighs as much as so many successes, and a device is given up when they sum up to
 * COPY_OFFLOAD_TOO_MUCH. An interruption may be the administrator's. A time-out makes a user wait
 * for a minute, as the driver first aborts the command and then resets the controller: so the
 * second in a row is the last.
 */
#define COPY_OFFLOAD_FAILURE	16
#define COPY_OFFLOAD_INTERRUPTION	4
#define COPY_OFFLOAD_TIME_OUT	32
#define COPY_OFFLOAD_TOO_MUCH	64
/* A reset fails all that is under way, and not each device says that it was one. */
#define COPY_OFFLOAD_BURST	DIV_ROUND_UP(HZ, 10)
/* A device that is asked for more is kept busy for too long: a command that times out resets it. */
#define COPY_OFFLOAD_MAX_SECTORS	2048
/* What is not worth a command. */
#define COPY_OFFLOAD_MIN_SECTORS	PAGE_SECTORS
#define COPY_OFFLOAD_LINE		512

static const char * const copy_offload_whys[COPY_OFFLOAD_WHYS] = {
	[COPY_OFFLOAD_OFF] = "off",
	[COPY_OFFLOAD_GAVE_UP] = "gave-up",
	[COPY_OFFLOAD_ELSEWHERE] = "elsewhere",
	[COPY_OFFLOAD_UNALIGNED] = "unaligned",
	[COPY_OFFLOAD_BEYOND] = "beyond",
	[COPY_OFFLOAD_READ_ONLY] = "read-only",
	[COPY_OFFLOAD_CHANGED] = "changed",
	[COPY_OFFLOAD_NO_MEMORY] = "no-memory",
	[COPY_OFFLOAD_FAILED] = "failed",
	[COPY_OFFLOAD_INTERRUPTED] = "interrupted",
	[COPY_OFFLOAD_TIMED_OUT] = "timed-out",
	[COPY_OFFLOAD_PROBING] = "probing",
};

/* What a reason adds to the trouble; the other reasons are no fault of the device's. */
static const unsigned int copy_offload_weights[COPY_OFFLOAD_WHYS] = {
	[COPY_OFFLOAD_FAILED] = COPY_OFFLOAD_FAILURE,
	[COPY_OFFLOAD_INTERRUPTED] = COPY_OFFLOAD_INTERRUPTION,
	[COPY_OFFLOAD_TIMED_OUT] = COPY_OFFLOAD_TIME_OUT,
};

static const struct copy_offload_ops *const copy_offload_providers[] = {
#if DM_SCALED_HAVE_BLKDEV_COPY_OFFLOAD
	&copy_offload_blk,
#endif
	&copy_offload_nvme,
};

/*
 * Protects the list, and who uses what is in it. All disks share it, so nothing is waited for while
 * it is held: no I/O, and no memory.
 */
static DEFINE_MUTEX(copy_offload_lock);
static LIST_HEAD(copy_offload_disks);
static bool copy_offload_off;

/*
 *------------------------------------------------------------
 * Switches
 *------------------------------------------------------------
 */

/* Reads the word that switches offload on or off, perhaps with an end of line. */
static int copy_offload_parse_switch(const char *word, bool *on)
{
	if (sysfs_streq(word, "auto"))
		*on = true;
	else if (sysfs_streq(word, "off"))
		*on = false;
	else
		return -EINVAL;
	return 0;
}

static int copy_offload_set_param(const char *val, const struct kernel_param *kp)
{
	bool on;

	if (copy_offload_parse_switch(val, &on)) {
		pr_err("offload=%s: must be auto or off\n", val);
		return -EINVAL;
	}
	WRITE_ONCE(copy_offload_off, !on);
	return 0;
}

static int copy_offload_get_param(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%s\n", READ_ONCE(copy_offload_off) ? "off" : "auto");
}

static const struct kernel_param_ops copy_offload_param_ops = {
	.set = copy_offload_set_param,
	.get = copy_offload_get_param,
};

module_param_cb(offload, &copy_offload_param_ops, NULL, 0644);
MODULE_PARM_DESC(offload, "auto: devices that can copy do; off: all is read and written");

/* The only place where a disk's state changes. Returns whether it was @from. */
static bool copy_offload_change(struct copy_offload *co, enum copy_offload_state from,
				enum copy_offload_state to)
{
	return READ_ONCE(co->state) == from && cmpxchg(&co->state, from, to) == from;
}

/* Off: for copies that begin from now on. On: also if the disk was given up. */
static void copy_offload_switch(struct copy_offload *co, bool on)
{
	WRITE_ONCE(co->off, !on);
	if (on) {
		atomic_set(&co->trouble, 0);
		copy_offload_change(co, COPY_OFFLOAD_PROBED, COPY_OFFLOAD_TRUSTED);
		copy_offload_change(co, COPY_OFFLOAD_GIVEN_UP, COPY_OFFLOAD_TRUSTED);
	}
}

static bool copy_offload_is_off(const struct copy_offload *co)
{
	return READ_ONCE(co->off) || READ_ONCE(copy_offload_off);
}

/*
 *------------------------------------------------------------
 * Disks
 *------------------------------------------------------------
 */

/* Brings limits into an order in which none of them is more than another allows. */
static bool copy_offload_normalize(struct copy_offload_limits *l)
{
	u64 most;

	if (!l->align || !is_power_of_2(l->align) || !l->ranges)
		return false;
	l->command = min_t(unsigned int, l->command, COPY_OFFLOAD_MAX_SECTORS);
	l->range = rounddown(min(l->range, l->command), l->align);
	most = (u64)l->range * l->ranges;
	l->command = round_down(min_t(u64, l->command, most), l->align);
	if (l->command < max_t(unsigned int, COPY_OFFLOAD_MIN_SECTORS, l->align))
		return false;
	l->ranges = min(l->ranges, l->command / l->align);
	return true;
}

static int copy_offload_open(struct copy_offload *co)
{
	unsigned int i;
	int r = -EOPNOTSUPP;

	/* Nobody has said what becomes of their metadata, or of their write pointers. */
	if (blk_get_integrity(co->disk) || bdev_is_zoned(co->disk->part0))
		return -EOPNOTSUPP;

	for (i = 0; i < ARRAY_SIZE(copy_offload_providers); i++) {
		co->ops = copy_offload_providers[i];
		r = co->ops->open(co);
		if (r)
			continue;
		if (copy_offload_normalize(&co->limits))
			return 0;
		co->ops->close(co);
		r = -EOPNOTSUPP;
	}
	return r;
}

static struct copy_offload *copy_offload_find(const struct gendisk *disk)
	__must_hold(&copy_offload_lock)
{
	struct copy_offload *co;

	list_for_each_entry(co, &copy_offload_disks, list)
		if (co->disk == disk)
			return co;
	return NULL;
}

static void copy_offload_free(struct copy_offload *co)
{
	free_percpu(co->stats);
	kfree(co);
}

static struct copy_offload *copy_offload_new(struct gendisk *disk)
{
	struct copy_offload *co;

	co = kzalloc(sizeof(*co), GFP_KERNEL);
	if (!co)
		return NULL;
	co->disk = disk;
	co->users = 1;
	co->failed_at = jiffies - COPY_OFFLOAD_BURST;
	init_completion(&co->opened);
	co->stats = alloc_percpu(struct copy_offload_stats);
	if (!co->stats) {
		kfree(co);
		return NULL;
	}
	return co;
}

/* Finds the disk in the list, or else enters @new; returns which. */
static struct copy_offload *copy_offload_enter(struct gendisk *disk, struct copy_offload *new)
{
	struct copy_offload *co;

	mutex_lock(&copy_offload_lock);
	co = copy_offload_find(disk);
	if (co) {
		co->users++;
	} else if (new) {
		list_add_tail(&new->list, &copy_offload_disks);
		co = new;
	}
	mutex_unlock(&copy_offload_lock);
	return co;
}

/* Asks the disk whether it copies, for all that wait meanwhile, and tells them. */
static void copy_offload_ask(struct copy_offload *co)
{
	int r = copy_offload_open(co);

	dm_scaled_delay("copy-offload:tell-waiters");
	mutex_lock(&copy_offload_lock);
	/* Who comes from now on asks the disk anew. */
	if (r)
		list_del_init(&co->list);
	else
		co->copies = true;
	mutex_unlock(&copy_offload_lock);
	complete_all(&co->opened);
	if (r)
		return;
	pr_info("%s: copies by itself (%s), up to %u KiB in %u ranges of %u KiB\n",
		co->disk->disk_name, co->ops->name, co->limits.command / 2, co->limits.ranges,
		co->limits.range / 2);
}

struct copy_offload *copy_offload_get(struct block_device *from, struct block_device *to)
{
	struct gendisk *disk = from->bd_disk;
	struct copy_offload *co, *new;

	if (disk != to->bd_disk)
		return NULL;

	co = copy_offload_enter(disk, NULL);
	if (!co) {
		new = copy_offload_new(disk);
		if (!new)
			return NULL;
		co = copy_offload_enter(disk, new);
		if (co == new)
			copy_offload_ask(co);
		else
			copy_offload_free(new);
	}
	/* A task that is killed does without. */
	if (!wait_for_completion_killable(&co->opened) && co->copies)
		return co;
	copy_offload_put(co);
	return NULL;
}

void copy_offload_put(struct copy_offload *co)
{
	bool last;

	if (!co)
		return;
	mutex_lock(&copy_offload_lock);
	last = !--co->users;
	if (last)
		list_del_init(&co->list);
	mutex_unlock(&copy_offload_lock);
	if (!last)
		return;
	dm_scaled_delay("copy-offload:close");
	if (co->copies)
		co->ops->close(co);
	copy_offload_free(co);
}

/*
 *------------------------------------------------------------
 * Requests
 *------------------------------------------------------------
 */

void copy_offload_count_not(struct copy_offload *co, enum copy_offload_why why)
{
	this_cpu_inc(co->stats->not[why]);
}

static bool copy_offload_inside(struct block_device *bdev, sector_t sector, sector_t count)
{
	return sector <= bdev_nr_sectors(bdev) && count <= bdev_nr_sectors(bdev) - sector;
}

/* What keeps all copies from the device, at this moment; COPY_OFFLOAD_WHYS: nothing. */
static enum copy_offload_why copy_offload_distrust(const struct copy_offload *co)
{
	switch (READ_ONCE(co->state)) {
	case COPY_OFFLOAD_TRUSTED:
		return COPY_OFFLOAD_WHYS;
	case COPY_OFFLOAD_PROBED:
		return atomic_read(&co->probe) ? COPY_OFFLOAD_PROBING : COPY_OFFLOAD_WHYS;
	default:
		return COPY_OFFLOAD_GAVE_UP;
	}
}

/* What holds for every copy to this device, at this moment; COPY_OFFLOAD_WHYS: nothing. */
static enum copy_offload_why copy_offload_obstacle(const struct copy_offload *co,
						   struct block_device *to, sector_t sector,
						   sector_t count)
{
	if (copy_offload_is_off(co))
		return COPY_OFFLOAD_OFF;
	if (bdev_logical_block_size(to) != co->limits.align << SECTOR_SHIFT)
		return COPY_OFFLOAD_CHANGED;
	/* The block layer looks at neither for a command that is not its own. */
	if (bdev_read_only(to))
		return COPY_OFFLOAD_READ_ONLY;
	if (!copy_offload_inside(to, sector, count))
		return COPY_OFFLOAD_BEYOND;
	return copy_offload_distrust(co);
}

static enum copy_offload_why copy_offload_why_not(const struct copy_offload *co,
						  struct block_device *from, sector_t from_sector,
						  struct block_device *to, sector_t to_sector,
						  sector_t count)
{
	sector_t bits = (get_start_sect(from) + from_sector) | (get_start_sect(to) + to_sector);

	if (from->bd_disk != co->disk || to->bd_disk != co->disk)
		return COPY_OFFLOAD_ELSEWHERE;
	if ((bits | count) & (co->limits.align - 1))
		return COPY_OFFLOAD_UNALIGNED;
	if (!copy_offload_inside(from, from_sector, count))
		return COPY_OFFLOAD_BEYOND;
	return copy_offload_obstacle(co, to, to_sector, count);
}

bool copy_offload_usable(struct copy_offload *co, struct block_device *from, sector_t from_sector,
			 struct block_device *to, sector_t to_sector, sector_t count)
{
	enum copy_offload_why why = copy_offload_why_not(co, from, from_sector, to, to_sector,
							 count);

	if (likely(why == COPY_OFFLOAD_WHYS))
		return true;
	copy_offload_count_not(co, why);
	return false;
}

struct copy_offload_request *copy_offload_alloc(struct copy_offload *co, unsigned int ranges)
{
	struct copy_offload_request *req;

	req = kmalloc(sizeof(*req) + ranges * co->ops->range_bytes, GFP_NOWAIT | __GFP_NOWARN);
	if (!req)
		return NULL;
	req->co = co;
	req->count = 0;
	req->nr = 0;
	req->size = ranges;
	req->copies = 0;
	req->probe = false;
	return req;
}

void copy_offload_add(struct copy_offload_request *req, struct block_device *from, sector_t sector,
		      unsigned int count)
{
	struct copy_offload *co = req->co;

	req->copies++;
	sector += get_start_sect(from);
	while (count && !WARN_ON_ONCE(req->nr == req->size)) {
		unsigned int part = min(count, co->limits.range);

		co->ops->set_range(req, req->nr++, sector, part);
		req->count += part;
		sector += part;
		count -= part;
	}
}

void copy_offload_submit(struct copy_offload_request *req, struct block_device *to, sector_t sector,
			 copy_offload_fn fn, void *context)
{
	req->to = to;
	req->sector = sector;
	req->fn = fn;
	req->context = context;
	req->co->ops->issue(req);
}

/*
 * Whether a request may be the one that shows whether the disk copies again. Those for several
 * copies are not: all their users would wait.
 */
static bool copy_offload_begin_probe(struct copy_offload_request *req)
{
	req->probe = req->copies == 1 && !atomic_cmpxchg(&req->co->probe, 0, 1);
	return req->probe;
}

bool copy_offload_may_issue(struct copy_offload_request *req)
{
	enum copy_offload_why why = copy_offload_obstacle(req->co, req->to, req->sector,
							  req->count);

	if (why == COPY_OFFLOAD_WHYS && copy_offload_is_probed(req->co) &&
	    !copy_offload_begin_probe(req))
		why = COPY_OFFLOAD_PROBING;
	if (likely(why == COPY_OFFLOAD_WHYS))
		return true;
	copy_offload_end(req, COPY_OFFLOAD_REFUSED, why);
	return false;
}

/* What fails at the same time has failed once. */
static bool copy_offload_is_new_failure(struct copy_offload *co)
{
	unsigned long last = READ_ONCE(co->failed_at);

	return time_after_eq(jiffies, last + COPY_OFFLOAD_BURST) &&
	       cmpxchg(&co->failed_at, last, jiffies) == last;
}

/* Adds to the trouble; the disk is given up if it is too much. */
static void copy_offload_blame(struct copy_offload *co, enum copy_offload_why why)
{
	unsigned int weight = copy_offload_weights[why];

	if (!weight)
		return;
	/* Before the trouble is looked at: others of the same moment may have been counted. */
	if (why == COPY_OFFLOAD_TIMED_OUT)
		copy_offload_change(co, COPY_OFFLOAD_TRUSTED, COPY_OFFLOAD_PROBED);
	dm_scaled_delay("copy-offload:add-trouble");
	if (!copy_offload_is_new_failure(co))
		return;
	if (atomic_add_return(weight, &co->trouble) < COPY_OFFLOAD_TOO_MUCH)
		return;
	if (copy_offload_change(co, COPY_OFFLOAD_TRUSTED, COPY_OFFLOAD_GIVEN_UP) ||
	    copy_offload_change(co, COPY_OFFLOAD_PROBED, COPY_OFFLOAD_GIVEN_UP))
		pr_warn("%s: fails too often, is no longer asked to copy\n", co->disk->disk_name);
}

/* A request has copied what it should. */
static void copy_offload_credit(struct copy_offload *co, const struct copy_offload_request *req,
				bool in_time)
{
	this_cpu_inc(co->stats->commands);
	this_cpu_add(co->stats->ranges, req->nr);
	this_cpu_add(co->stats->sectors, req->count);
	if (unlikely(!in_time))
		return;
	if (unlikely(atomic_read(&co->trouble)))
		atomic_dec_if_positive(&co->trouble);
	if (unlikely(req->probe))
		copy_offload_change(co, COPY_OFFLOAD_PROBED, COPY_OFFLOAD_TRUSTED);
}

void copy_offload_end(struct copy_offload_request *req, enum copy_offload_result result,
		      enum copy_offload_why why)
{
	struct copy_offload *co = req->co;
	copy_offload_fn fn = req->fn;
	void *context = req->context;

	if (likely(result == COPY_OFFLOAD_COPIED))
		copy_offload_credit(co, req, why == COPY_OFFLOAD_WHYS);
	if (unlikely(why != COPY_OFFLOAD_WHYS)) {
		copy_offload_count_not(co, why);
		copy_offload_blame(co, why);
	}
	dm_scaled_delay("copy-offload:end-probe");
	/* After the change of state that it has led to: the next one sees that. */
	if (unlikely(req->probe))
		atomic_set_release(&co->probe, 0);
	kfree(req);
	dm_scaled_delay("copy-offload:tell-user");
	/* With this the last user may be gone, and the disk with it. */
	fn(context, result);
}

/*
 *------------------------------------------------------------
 * What it tells
 *------------------------------------------------------------
 */

static void copy_offload_sum(const struct copy_offload *co, struct copy_offload_stats *sum)
{
	unsigned int i;
	int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		const struct copy_offload_stats *s = per_cpu_ptr(co->stats, cpu);

		sum->commands += s->commands;
		sum->ranges += s->ranges;
		sum->sectors += s->sectors;
		for (i = 0; i < COPY_OFFLOAD_WHYS; i++)
			sum->not[i] += s->not[i];
	}
}

/* Tells what a disk has copied, in one line without its end. Returns its length. */
static int copy_offload_format(struct copy_offload *co, char *buf, size_t size)
{
	const char *state = "auto";
	struct copy_offload_stats sum;
	unsigned int i;
	int len;

	if (copy_offload_is_off(co))
		state = "off";
	else if (READ_ONCE(co->state) == COPY_OFFLOAD_GIVEN_UP)
		state = "gave-up";
	else if (copy_offload_is_probed(co))
		state = "probed";

	copy_offload_sum(co, &sum);
	len = scnprintf(buf, size, "%s %s %s commands %llu ranges %llu sectors %llu",
			co->disk->disk_name, co->ops->name, state, sum.commands, sum.ranges,
			sum.sectors);
	for (i = 0; i < COPY_OFFLOAD_WHYS; i++)
		len += scnprintf(buf + len, size - len, " %s %llu", copy_offload_whys[i],
				 sum.not[i]);
	return len;
}

int copy_offload_message(struct copy_offload *co, unsigned int argc, char **argv, char *result,
			 unsigned int maxlen)
{
	bool offload = argc == 2 && !strcmp(argv[0], "offload");
	bool on;

	if (argc == 1 && !strcmp(argv[0], "stats")) {
		if (co)
			copy_offload_format(co, result, maxlen);
		else
			scnprintf(result, maxlen, "-");
		return 1;
	}
	if (!offload || copy_offload_parse_switch(argv[1], &on))
		return -EINVAL;
	if (!co) {
		pr_err("message offload: no disk has both devices and copies by itself\n");
		return -EOPNOTSUPP;
	}
	copy_offload_switch(co, on);
	return 0;
}

static int copy_offload_show(struct seq_file *m, void *unused)
{
	struct copy_offload *co;
	char *line;

	line = kmalloc(COPY_OFFLOAD_LINE, GFP_KERNEL);
	if (!line)
		return -ENOMEM;
	mutex_lock(&copy_offload_lock);
	list_for_each_entry(co, &copy_offload_disks, list) {
		if (!co->copies)
			continue;
		copy_offload_format(co, line, COPY_OFFLOAD_LINE);
		seq_printf(m, "%s\n", line);
	}
	mutex_unlock(&copy_offload_lock);
	kfree(line);
	return 0;
}

static int copy_offload_open_file(struct inode *inode, struct file *file)
{
	return single_open(file, copy_offload_show, NULL);
}

/* DISK auto, or DISK off */
static int copy_offload_command(char *line)
{
	char *word = strim(line), *disk = strsep(&word, " ");
	struct copy_offload *co;
	int r = -ENODEV;
	bool on;

	if (!word || copy_offload_parse_switch(word, &on))
		return -EINVAL;
	mutex_lock(&copy_offload_lock);
	list_for_each_entry(co, &copy_offload_disks, list) {
		if (co->copies && !strcmp(co->disk->disk_name, disk)) {
			copy_offload_switch(co, on);
			r = 0;
		}
	}
	mutex_unlock(&copy_offload_lock);
	return r;
}

static ssize_t copy_offload_write(struct file *file, const char __user *from, size_t size,
				  loff_t *pos)
{
	char line[DISK_NAME_LEN + 8];
	int r;

	if (size >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, size))
		return -EFAULT;
	line[size] = '\0';
	r = copy_offload_command(line);
	return r ?: size;
}

static const struct file_operations copy_offload_fops = {
	.owner = THIS_MODULE,
	.open = copy_offload_open_file,
	.read = seq_read,
	.write = copy_offload_write,
	.llseek = seq_lseek,
	.release = single_release,
};

void copy_offload_init(struct dentry *dir)
{
	debugfs_create_file("offload", 0600, dir, NULL, &copy_offload_fops);
}
