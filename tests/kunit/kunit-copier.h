/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A disk that copies by itself, in place of NVMe's.
 */
#ifndef DM_SCALED_KUNIT_COPIER_H
#define DM_SCALED_KUNIT_COPIER_H

#include <linux/completion.h>

#include "copy-offload.h"
#include "kunit-lib.h"

#define COPIER_MAX	16

/**
 * struct copier_request - what the disk was asked to copy
 * @to:     sector of the destination
 * @count:  sectors in all
 * @ranges: source ranges
 * @req:    the request, if it is held
 */
struct copier_request {
	sector_t to;
	unsigned int count;
	unsigned int ranges;
	struct copy_offload_request *req;
};

/**
 * struct copier - the disk
 * @td:       it copies inside its memory; NULL: no disk copies
 * @limits:   what it says that it takes
 * @result:   how requests end
 * @why:      if they do not copy, or too late
 * @slow:     a disk that does not say whether it copies before @answer is completed
 * @slow_copies: whether it does
 * @asked:    completed when that disk is asked
 * @answer:   see @slow
 * @hold:     they do not end before copier_end()
 * @opened:   how often it was asked for its limits
 * @requests: the first ones
 * @nr:       number of them all
 */
struct copier {
	struct test_disk *td;
	struct copy_offload_limits limits;
	enum copy_offload_result result;
	enum copy_offload_why why;
	struct test_disk *slow;
	bool slow_copies;
	struct completion asked;
	struct completion answer;
	bool hold;
	unsigned int opened;
	struct copier_request requests[COPIER_MAX];
	unsigned int nr;
};

/* kunit-copy-offload.c */

extern struct copier copier;

/* From now on @td copies: up to @command sectors in @ranges of @range, in blocks of 512 bytes. */
void copier_start(struct test_disk *td, unsigned int range, unsigned int command,
		  unsigned int ranges);
void copier_stop(void);
/* Ends what is held; requests are no longer held. */
void copier_release(void);

#endif /* DM_SCALED_KUNIT_COPIER_H */
