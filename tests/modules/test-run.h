/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a test module shows in debugfs: a file "run" to which a line is written, which returns when
 * that has been done, and a file "result" that says what came of it.
 */
#ifndef DM_SCALED_TEST_RUN_H
#define DM_SCALED_TEST_RUN_H

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>
#include <linux/string.h>

#define TEST_RUN_LINE_MAX	4096

/**
 * struct test_run - the files
 * @name:   of their folder
 * @size:   of @result, in bytes
 * @run:    does what a line asks for, which it may change, and prints to @result; one at a time. If
 *          it returns an error before it has cleared @result, the older one stays
 * @lock:   one run at a time; protects @result
 * @result: what "result" shows
 * @dir:    their folder
 */
struct test_run {
	const char *name;
	size_t size;
	int (*run)(char *line);
	struct mutex lock;	/* protects the result */
	struct seq_buf result;
	struct dentry *dir;
};

static ssize_t test_run_write(struct file *file, const char __user *from, size_t size, loff_t *pos)
{
	struct test_run *run = file->private_data;
	char *line;
	int r;

	if (size > TEST_RUN_LINE_MAX)
		return -E2BIG;
	line = memdup_user_nul(from, size);
	if (IS_ERR(line))
		return PTR_ERR(line);

	mutex_lock(&run->lock);
	r = run->run(line);
	mutex_unlock(&run->lock);
	kfree(line);
	return r ? r : size;
}

static ssize_t test_result_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	struct test_run *run = file->private_data;
	ssize_t r;

	mutex_lock(&run->lock);
	r = simple_read_from_buffer(to, size, pos, run->result.buffer,
				    seq_buf_used(&run->result));
	mutex_unlock(&run->lock);
	return r;
}

static const struct file_operations test_run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = test_run_write,
	.llseek = noop_llseek,
};

static const struct file_operations test_result_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = test_result_read,
	.llseek = default_llseek,
};

/**
 * test_run_init() - show the files
 * @run: @name, @size and @run are set, all else is zero
 *
 * Return: 0 or -ENOMEM.
 */
static inline int test_run_init(struct test_run *run)
{
	char *buffer = kvzalloc(run->size, GFP_KERNEL);

	if (!buffer)
		return -ENOMEM;
	mutex_init(&run->lock);
	seq_buf_init(&run->result, buffer, run->size);
	run->dir = debugfs_create_dir(run->name, NULL);
	debugfs_create_file("run", 0200, run->dir, run, &test_run_fops);
	debugfs_create_file("result", 0400, run->dir, run, &test_result_fops);
	return 0;
}

/**
 * test_run_exit() - undo test_run_init()
 * @run: nobody runs anything any more, as the files hold the module
 */
static inline void test_run_exit(struct test_run *run)
{
	debugfs_remove(run->dir);
	kvfree(run->result.buffer);
}

#endif /* DM_SCALED_TEST_RUN_H */
