// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delay points of debug builds; see dm-scaled-delay.h.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "dm-scaled-delay.h"

#define DM_SCALED_MAX_DELAYS	16
#define DM_SCALED_DELAY_NAME	48
#define DM_SCALED_MAX_DELAY_MS	120000
/* A spinning CPU must not look like a hung one. */
#define DM_SCALED_MAX_SPIN_MS	2000

/**
 * struct dm_scaled_delay_line - one setting
 * @name:         name of the points, without the final "*"
 * @prefix:       @name is only the beginning of their names
 * @ms:           milliseconds that a hit waits
 * @per_thousand: probability that a hit waits
 * @left:         hits that may still wait, or negative: any number
 * @hits:         number of hits
 * @waited:       number of hits that waited
 */
struct dm_scaled_delay_line {
	char name[DM_SCALED_DELAY_NAME];
	bool prefix;
	unsigned int ms;
	unsigned int per_thousand;
	atomic_t left;
	atomic_t hits;
	atomic_t waited;
};

DEFINE_STATIC_KEY_FALSE(dm_scaled_delays_set);
/* Serializes writers; a line is complete before dm_scaled_nr_delays counts it. */
static DEFINE_MUTEX(dm_scaled_delay_lock);
static struct dm_scaled_delay_line dm_scaled_delays[DM_SCALED_MAX_DELAYS];
static unsigned int dm_scaled_nr_delays;

static bool dm_scaled_delay_matches(const struct dm_scaled_delay_line *line, const char *name)
{
	if (line->prefix)
		return !strncmp(name, line->name, strlen(line->name));
	return !strcmp(name, line->name);
}

static void dm_scaled_delay_wait(unsigned int ms)
{
	if (preemptible() && !rcu_preempt_depth())
		msleep(ms);
	else
		mdelay(min_t(unsigned int, ms, DM_SCALED_MAX_SPIN_MS));
}

void __dm_scaled_delay(const char *name)
{
	/* Pairs with smp_store_release() in dm_scaled_delay_add(). */
	unsigned int i, nr = smp_load_acquire(&dm_scaled_nr_delays);

	for (i = 0; i < nr; i++) {
		struct dm_scaled_delay_line *line = &dm_scaled_delays[i];

		if (!dm_scaled_delay_matches(line, name))
			continue;
		atomic_inc(&line->hits);
		if (get_random_u32() % 1000 >= line->per_thousand)
			continue;
		if (atomic_read(&line->left) >= 0 && atomic_dec_if_positive(&line->left) < 0)
			continue;
		atomic_inc(&line->waited);
		dm_scaled_delay_wait(line->ms);
		return;
	}
}

static void dm_scaled_delay_clear(void)
{
	lockdep_assert_held(&dm_scaled_delay_lock);

	if (!dm_scaled_nr_delays)
		return;
	/* A thread that still reads a line may see the next setting in it: it waits once more. */
	WRITE_ONCE(dm_scaled_nr_delays, 0);
	static_branch_disable(&dm_scaled_delays_set);
}

static int dm_scaled_delay_add(char *text)
{
	struct dm_scaled_delay_line *line = &dm_scaled_delays[dm_scaled_nr_delays];
	unsigned int ms, per_thousand = 1000;
	char name[DM_SCALED_DELAY_NAME];
	int left = -1, n;
	size_t length;

	lockdep_assert_held(&dm_scaled_delay_lock);

	n = sscanf(text, "%47s %u %u %d", name, &ms, &per_thousand, &left);
	if (n < 2 || ms > DM_SCALED_MAX_DELAY_MS || per_thousand > 1000)
		return -EINVAL;
	if (dm_scaled_nr_delays == DM_SCALED_MAX_DELAYS)
		return -ENOSPC;

	length = strlen(name);
	line->prefix = name[length - 1] == '*';
	if (line->prefix)
		name[length - 1] = '\0';
	strscpy(line->name, name, sizeof(line->name));
	line->ms = ms;
	line->per_thousand = per_thousand;
	atomic_set(&line->left, left);
	atomic_set(&line->hits, 0);
	atomic_set(&line->waited, 0);
	/* Pairs with smp_load_acquire() in __dm_scaled_delay(). */
	smp_store_release(&dm_scaled_nr_delays, dm_scaled_nr_delays + 1);
	if (dm_scaled_nr_delays == 1)
		static_branch_enable(&dm_scaled_delays_set);
	return 0;
}

static ssize_t dm_scaled_delay_write(struct file *file, const char __user *data, size_t size,
				     loff_t *pos)
{
	char *text, *word;
	int r = 0;

	if (size > PAGE_SIZE)
		return -E2BIG;
	text = memdup_user_nul(data, size);
	if (IS_ERR(text))
		return PTR_ERR(text);
	word = strim(text);

	mutex_lock(&dm_scaled_delay_lock);
	if (!strcmp(word, "off"))
		dm_scaled_delay_clear();
	else
		r = dm_scaled_delay_add(word);
	mutex_unlock(&dm_scaled_delay_lock);

	kfree(text);
	return r ?: size;
}

static int dm_scaled_delay_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	mutex_lock(&dm_scaled_delay_lock);
	for (i = 0; i < dm_scaled_nr_delays; i++) {
		struct dm_scaled_delay_line *line = &dm_scaled_delays[i];

		seq_printf(m, "%s%s %u ms, %u per thousand: %d hits, %d waited\n", line->name,
			   line->prefix ? "*" : "", line->ms, line->per_thousand,
			   atomic_read(&line->hits), atomic_read(&line->waited));
	}
	mutex_unlock(&dm_scaled_delay_lock);
	return 0;
}

static int dm_scaled_delay_open(struct inode *inode, struct file *file)
{
	return single_open(file, dm_scaled_delay_show, NULL);
}

static const struct file_operations dm_scaled_delay_fops = {
	.owner = THIS_MODULE,
	.open = dm_scaled_delay_open,
	.read = seq_read,
	.write = dm_scaled_delay_write,
	.llseek = seq_lseek,
	.release = single_release,
};

bool dm_scaled_no_memory_set;

void dm_scaled_delay_init(struct dentry *dir)
{
	debugfs_create_file("delay", 0600, dir, NULL, &dm_scaled_delay_fops);
	debugfs_create_bool("no_memory", 0600, dir, &dm_scaled_no_memory_set);
}

void dm_scaled_delay_exit(void)
{
	mutex_lock(&dm_scaled_delay_lock);
	dm_scaled_delay_clear();
	mutex_unlock(&dm_scaled_delay_lock);
}
