// SPDX-License-Identifier: GPL-2.0-only
/*
 * Groups of exceptions: how their runs are changed.
 */
#include <linux/bitops.h>
#include <linux/kcsan-checks.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "dm-snap-group.h"

#define GROUP_MIN_SIZE		32U

static size_t group_size(unsigned int capacity)
{
	unsigned int map = snap_group_has_map(capacity) ? SNAP_GROUP_MAP_WORDS : 0;

	return offsetof(struct snap_group, words) + (1 + map + capacity) * sizeof(u64);
}

static void group_map_clear(struct snap_group *g)
{
	if (snap_group_has_map(g->capacity))
		memset(snap_group_map(g), 0, SNAP_GROUP_MAP_WORDS * sizeof(u64));
}

/* A run starts at @offset, or no more. */
static void group_map_change(struct snap_group *g, unsigned int offset)
{
	unsigned int word = offset / 64;
	u64 *map = snap_group_map(g), bit = BIT_ULL(offset % 64);
	/* One in the byte of each word that follows. */
	u32 more = 0x01010100ULL << 8 * word;

	if (!snap_group_has_map(g->capacity))
		return;
	WRITE_ONCE(map[SNAP_GROUP_MAP_COUNTS],
		   map[SNAP_GROUP_MAP_COUNTS] + (map[word] & bit ? -(u64)more : more));
	WRITE_ONCE(map[word], map[word] ^ bit);
}

unsigned int snap_group_map_count(struct snap_group *g, unsigned int offset)
{
	const u64 *map = snap_group_map(g);
	unsigned int word = offset / 64;
	u8 before = READ_ONCE(map[SNAP_GROUP_MAP_COUNTS]) >> 8 * word;

	return before + hweight64(READ_ONCE(map[word]) << (63 - offset % 64));
}

unsigned int snap_group_gapless(struct snap_group *g, unsigned int nr, unsigned int i)
{
	const u64 *runs = snap_group_runs(g);
	u64 run = READ_ONCE(runs[i]);
	unsigned int end;

	for (;;) {
		end = snap_run_last(run) + 1;
		if (++i == nr)
			return end;
		run = READ_ONCE(runs[i]);
		if (snap_run_offset(run) != end)
			return end;
	}
}

size_t snap_group_alloc_size(unsigned int capacity)
{
	size_t size = GROUP_MIN_SIZE;

	while (size < group_size(capacity))
		size *= 2;
	return size;
}

void snap_group_init(struct snap_group *g, u64 number, unsigned int capacity)
{
	size_t room = (snap_group_alloc_size(capacity) - group_size(0)) / sizeof(u64);

	if (room >= SNAP_GROUP_SMALL + 1 + SNAP_GROUP_MAP_WORDS)
		room = min_t(size_t, room - SNAP_GROUP_MAP_WORDS, SNAP_GROUP_CHUNKS);
	else
		room = min_t(size_t, room, SNAP_GROUP_SMALL);

	seqcount_init(&g->seq);
	g->nr = 0;
	g->capacity = room;
	g->words[0] = number;
	group_map_clear(g);
}

void snap_group_copy(struct snap_group *to, struct snap_group *from)
{
	unsigned int i;

	to->nr = from->nr;
	memcpy(snap_group_runs(to), snap_group_runs(from), from->nr * sizeof(u64));
	if (snap_group_has_map(from->capacity))
		memcpy(snap_group_map(to), snap_group_map(from),
		       SNAP_GROUP_MAP_WORDS * sizeof(u64));
	else
		for (i = 0; i < from->nr; i++)
			group_map_change(to, snap_run_offset(snap_group_runs(from)[i]));
}

int snap_group_insert(struct snap_group *g, u64 run)
{
	u64 *runs = snap_group_runs(g);
	unsigned int offset = snap_run_offset(run), i = snap_group_search(g, g->nr, offset);
	bool left = i && snap_runs_touch(runs[i - 1], run);
	bool right = i < g->nr && snap_runs_touch(run, runs[i]);

	if (i && offset <= snap_run_last(runs[i - 1]))
		return -EEXIST;
	if (i < g->nr && offset + snap_run_more(run) >= snap_run_offset(runs[i]))
		return -EEXIST;
	if (!left && !right && g->nr == g->capacity)
		return -ENOSPC;

	raw_write_seqcount_begin(&g->seq);
	if (left && right) {
		group_map_change(g, snap_run_offset(runs[i]));
		run = snap_runs_joined(run, runs[i]);
		WRITE_ONCE(runs[i - 1], snap_runs_joined(runs[i - 1], run));
		WRITE_ONCE(g->nr, g->nr - 1);
		/* Readers that see a half moved array find that the sequence changed. */
		data_race(memmove(&runs[i], &runs[i + 1], (g->nr - i) * sizeof(*runs)));
	} else if (left) {
		WRITE_ONCE(runs[i - 1], snap_runs_joined(runs[i - 1], run));
	} else if (right) {
		group_map_change(g, snap_run_offset(runs[i]));
		group_map_change(g, offset);
		WRITE_ONCE(runs[i], snap_runs_joined(run, runs[i]));
	} else {
		group_map_change(g, offset);
		/* As above. */
		data_race(memmove(&runs[i + 1], &runs[i], (g->nr - i) * sizeof(*runs)));
		WRITE_ONCE(runs[i], run);
		WRITE_ONCE(g->nr, g->nr + 1);
	}
	raw_write_seqcount_end(&g->seq);

	return 0;
}

int snap_group_delete(struct snap_group *g, unsigned int i, unsigned int offset, unsigned int nr)
{
	u64 *runs = snap_group_runs(g), run = runs[i];
	unsigned int before = offset - snap_run_offset(run), next = offset + nr;
	unsigned int after = snap_run_more(run) + 1 - before - nr;

	if (before && after && g->nr == g->capacity)
		return -ENOSPC;

	raw_write_seqcount_begin(&g->seq);
	if (before && after) {
		/* Readers that see a half moved array find that the sequence changed. */
		data_race(memmove(&runs[i + 1], &runs[i], (g->nr - i) * sizeof(*runs)));
		WRITE_ONCE(runs[i + 1], snap_run_make(next, after - 1,
						      snap_run_new(run) + before + nr));
		WRITE_ONCE(g->nr, g->nr + 1);
	}
	if (!before)
		group_map_change(g, offset);
	if (after)
		group_map_change(g, next);
	if (before) {
		WRITE_ONCE(runs[i], snap_run_make(snap_run_offset(run), before - 1,
						  snap_run_new(run)));
	} else if (after) {
		WRITE_ONCE(runs[i], snap_run_make(next, after - 1, snap_run_new(run) + nr));
	} else {
		WRITE_ONCE(g->nr, g->nr - 1);
		/* As above. */
		data_race(memmove(&runs[i], &runs[i + 1], (g->nr - i) * sizeof(*runs)));
	}
	raw_write_seqcount_end(&g->seq);
	return 0;
}

/* Joins runs that touch. */
static void group_join(struct snap_group *g)
{
	u64 *runs = snap_group_runs(g);
	unsigned int i, nr = 1;

	for (i = 1; i < g->nr; i++) {
		if (snap_runs_touch(runs[nr - 1], runs[i])) {
			group_map_change(g, snap_run_offset(runs[i]));
			WRITE_ONCE(runs[nr - 1], snap_runs_joined(runs[nr - 1], runs[i]));
		} else {
			WRITE_ONCE(runs[nr++], runs[i]);
		}
	}
	WRITE_ONCE(g->nr, nr);
}

/*
 * Adds runs for which there is room: both arrays are merged from their ends, so that each run is
 * moved once. Returns the offset of a chunk that two runs have, or SNAP_GROUP_CHUNKS.
 */
static unsigned int group_merge_fitting(struct snap_group *g, const struct snap_group_addition *add)
{
	unsigned int olds = g->nr, adds = add->nr, i = olds + adds, above = SNAP_GROUP_CHUNKS;
	u64 *runs = snap_group_runs(g), run, last = 0;
	bool touch = false;

	raw_write_seqcount_begin(&g->seq);
	WRITE_ONCE(g->nr, i);
	for (;;) {
		bool old = olds && (!adds || snap_run_offset(runs[olds - 1]) >
					     snap_run_offset(add->runs[adds - 1]));

		if (!old && !adds)
			break;
		run = old ? runs[olds - 1] : add->runs[adds - 1];
		if (unlikely(snap_run_last(run) >= above))
			goto twice;
		touch |= above < SNAP_GROUP_CHUNKS && snap_runs_touch(run, last);
		/* What is below now is in its place, and so are its neighbours. */
		if (old && !adds)
			break;
		WRITE_ONCE(runs[--i], run);
		if (old) {
			olds--;
		} else {
			adds--;
			group_map_change(g, snap_run_offset(run));
		}
		last = run;
		above = snap_run_offset(run);
	}
	if (touch)
		group_join(g);
	raw_write_seqcount_end(&g->seq);
	return SNAP_GROUP_CHUNKS;

twice:
	WRITE_ONCE(g->nr, 0);
	group_map_clear(g);
	raw_write_seqcount_end(&g->seq);
	return above;
}

/* One by one: there are so many that some chunk must be there twice. Returns its offset. */
static unsigned int group_find_twice(struct snap_group *g,
				     const struct snap_group_addition *add)
{
	const u64 *runs = snap_group_runs(g);
	unsigned int i, k, offset;

	for (i = 0; i < add->nr; i++) {
		offset = snap_run_offset(add->runs[i]);
		if (snap_group_insert(g, add->runs[i]) != -EEXIST)
			continue;
		k = snap_group_search(g, g->nr, offset);
		if (k && offset <= snap_run_last(runs[k - 1]))
			return offset;
		return snap_run_offset(runs[k]);
	}
	return SNAP_GROUP_CHUNKS;
}

unsigned int snap_group_merge(struct snap_group *g, const struct snap_group_addition *add)
{
	if (g->nr + add->nr > g->capacity)
		return group_find_twice(g, add);
	return group_merge_fitting(g, add);
}
