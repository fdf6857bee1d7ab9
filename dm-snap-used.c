// SPDX-License-Identifier: GPL-2.0-only
/*
 * The set of used chunks: a sparse array of bitmaps.
 */
#include <linux/bitmap.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "dm-snap-used.h"

/* Chunks of a part: as many as make struct snap_used_part a page of 4 KiB. */
#define SNAP_PART_CHUNKS	((SZ_4K - sizeof(long)) * BITS_PER_BYTE)

/**
 * struct snap_used_part - chunks that follow each other, some of which are used
 * @nr:   number of them that are used
 * @bits: set for each of them
 */
struct snap_used_part {
	unsigned long nr;
	DECLARE_BITMAP(bits, SNAP_PART_CHUNKS);
};

/* The entry of a part all of whose chunks are used. */
static void *snap_used_full(void)
{
	return xa_mk_value(0);
}

void snap_used_init(struct snap_used *used)
{
	BUILD_BUG_ON(sizeof(struct snap_used_part) != SZ_4K);
	xa_init(&used->parts);
	used->recent = NULL;
}

void snap_used_exit(struct snap_used *used)
{
	unsigned long number;
	void *entry;

	xa_for_each(&used->parts, number, entry) {
		if (!xa_is_value(entry))
			kfree(entry);
		cond_resched();
	}
	xa_destroy(&used->parts);
}

/* A part that is not used completely; a new one if there is none. NULL: it is used completely. */
static struct snap_used_part *snap_used_part(struct snap_used *used, unsigned long number)
{
	struct snap_used_part *part;
	int r;

	if (used->recent && used->number == number)
		return used->recent;

	part = xa_load(&used->parts, number);
	if (xa_is_value(part))
		return NULL;
	if (!part) {
		part = kzalloc(sizeof(*part), GFP_KERNEL);
		if (!part)
			return ERR_PTR(-ENOMEM);
		r = xa_err(xa_store(&used->parts, number, part, GFP_KERNEL));
		if (r) {
			kfree(part);
			return ERR_PTR(r);
		}
	}
	used->recent = part;
	used->number = number;
	return part;
}

int snap_used_set(struct snap_used *used, u64 index)
{
	struct snap_used_part *part;
	u64 number, offset;

	number = div64_u64_rem(index, SNAP_PART_CHUNKS, &offset);
	/* On a 32-bit host, a COW device of exabytes. */
	if (number > ULONG_MAX)
		return -ENOMEM;

	part = snap_used_part(used, number);
	if (IS_ERR(part))
		return PTR_ERR(part);
	if (!part || __test_and_set_bit(offset, part->bits))
		return 1;
	/* The entry exists: replacing it takes no memory. */
	if (++part->nr == SNAP_PART_CHUNKS) {
		xa_store(&used->parts, number, snap_used_full(), GFP_KERNEL);
		used->recent = NULL;
		kfree(part);
	}
	return 0;
}

bool snap_used_next(struct snap_used *used, u64 from, u64 *start, u64 *end)
{
	const struct snap_used_part *part;
	unsigned long number;
	u64 offset, first, last;

	number = div64_u64_rem(from, SNAP_PART_CHUNKS, &offset);
	xa_for_each_start(&used->parts, number, part, number) {
		u64 base = (u64)number * SNAP_PART_CHUNKS;

		offset = base < from ? from - base : 0;
		if (xa_is_value(part)) {
			first = offset;
			last = SNAP_PART_CHUNKS;
		} else {
			first = find_next_bit(part->bits, SNAP_PART_CHUNKS, offset);
			last = find_next_zero_bit(part->bits, SNAP_PART_CHUNKS, first);
		}
		if (first < SNAP_PART_CHUNKS) {
			*start = base + first;
			*end = base + last;
			return true;
		}
	}
	return false;
}
