/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lines that are written to a file in debugfs: words NAME=VALUE.
 */
#ifndef DM_SCALED_TEST_LINE_H
#define DM_SCALED_TEST_LINE_H

#include <linux/errno.h>
#include <linux/string.h>

typedef int (*test_word_fn)(void *context, const char *key, char *value);

/**
 * test_line_parse() - take a line apart
 * @line:    the line, which is changed; values point into it
 * @fn:      called for each word, until it returns an error
 * @context: for @fn
 *
 * Return: 0, the error of @fn, or -EINVAL for a word without "=".
 */
static inline int test_line_parse(char *line, test_word_fn fn, void *context)
{
	char *key, *value;
	int r;

	while ((value = strsep(&line, " \t\n"))) {
		if (!*value)
			continue;
		key = strsep(&value, "=");
		if (!value)
			return -EINVAL;
		r = fn(context, key, value);
		if (r)
			return r;
	}
	return 0;
}

#endif /* DM_SCALED_TEST_LINE_H */
