// SPDX-License-Identifier: GPL-2.0-only
/*
 * The persistent snapshot's format: where things are, what is refused, and what a list of
 * exceptions says about the chunks that are free.
 */
#include "kunit-lib.h"

#include "dm-snap-disk.c"

/*
 * Where things are.
 */

/* Every chunk after the header is one of metadata or of data, and data has no gaps. */
static void numbers_chunks_without_gaps(struct kunit *test)
{
	unsigned int shift;

	for (shift = 5; shift <= 9; shift++) {
		u64 chunk, index, expected = 0, area = 0;

		for (chunk = 0; chunk < 3000; chunk++) {
			bool data = snap_data_index(shift, chunk, &index);

			if (chunk == snap_area_chunk(shift, area)) {
				KUNIT_EXPECT_FALSE(test, data);
				area++;
			} else if (chunk) {
				KUNIT_ASSERT_TRUE(test, data);
				KUNIT_EXPECT_EQ(test, index, expected);
				KUNIT_EXPECT_EQ(test, snap_data_chunk(shift, index), chunk);
				expected++;
			} else {
				KUNIT_EXPECT_FALSE(test, data);
			}
		}
	}
}

/* All but what holds metadata, and one where the last area could not be followed by another. */
static void counts_chunks_of_data(struct kunit *test)
{
	struct {
		u64 chunks, capacity;
	} cases[] = {
		{ 0, 0 }, { 1, 0 }, { 2, 0 }, { 3, 1 }, { 33, 31 }, { 34, 31 }, { 35, 32 },
		{ 36, 33 }, { 66, 63 }, { 67, 63 }, { 68, 64 }, { 1 + 33000, 31999 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		KUNIT_EXPECT_EQ_MSG(test, snap_data_capacity(5, cases[i].chunks),
				    cases[i].capacity, "%llu chunks", cases[i].chunks);
	KUNIT_EXPECT_EQ(test, snap_area_shift(1), 5);
	KUNIT_EXPECT_EQ(test, snap_area_shift(8), 8);
	KUNIT_EXPECT_EQ(test, snap_area_shift(2097152), 26);
}

/*
 * Header.
 */

static void put_header(struct test_disk *td, u32 magic, u32 valid, u32 version, u32 chunk_size)
{
	struct snap_disk_header *header = (struct snap_disk_header *)td->store;

	header->magic = cpu_to_le32(magic);
	header->valid = cpu_to_le32(valid);
	header->version = cpu_to_le32(version);
	header->chunk_size = cpu_to_le32(chunk_size);
}

static void knows_its_header(struct kunit *test)
{
	struct test_disk *td = ku_disk(test, 64, 0);
	struct snap_disk_info info;
	char *error = NULL;

	KUNIT_ASSERT_EQ(test, snap_disk_read_header(td->bdev, &info, &error), 0);
	KUNIT_EXPECT_TRUE(test, info.fresh);

	put_header(td, SNAP_DISK_MAGIC, 1, 1, 16);
	KUNIT_ASSERT_EQ(test, snap_disk_read_header(td->bdev, &info, &error), 0);
	KUNIT_EXPECT_FALSE(test, info.fresh);
	KUNIT_EXPECT_TRUE(test, info.valid);
	KUNIT_EXPECT_EQ(test, info.chunk_size, 16);

	put_header(td, SNAP_DISK_MAGIC, 0, 1, 16);
	KUNIT_ASSERT_EQ(test, snap_disk_read_header(td->bdev, &info, &error), 0);
	KUNIT_EXPECT_FALSE(test, info.valid);

	put_header(td, SNAP_DISK_MAGIC, 1, 2, 16);
	KUNIT_EXPECT_EQ(test, snap_disk_read_header(td->bdev, &info, &error), -EINVAL);
	put_header(td, SNAP_DISK_MAGIC + 1, 1, 1, 16);
	KUNIT_EXPECT_EQ(test, snap_disk_read_header(td->bdev, &info, &error), -ENXIO);
	test_disk_fail(td, OP_BIT(REQ_OP_READ), 0, 1, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, snap_disk_read_header(td->bdev, &info, &error), -EIO);
	KUNIT_EXPECT_NOT_NULL(test, error);
}

/* The header is the last that is written, and nothing beyond the first area is. */
static void formats(struct kunit *test)
{
	struct dm_kcopyd_mq_client *kc = ku_client(test, 512, NULL);
	struct test_disk *td = ku_disk(test, 64, 0);
	struct snap_disk_info info;
	char *error = NULL;
	unsigned int nr;

	ku_disk_fill(td, 0, 64, 0xaa);
	KUNIT_ASSERT_EQ(test, test_disk_record(td, 100), 0);
	KUNIT_ASSERT_EQ(test, snap_disk_format(td->bdev, 16, kc), 0);
	nr = test_disk_nr_records(td);
	KUNIT_ASSERT_GT(test, nr, 1);
	KUNIT_EXPECT_EQ(test, td->records[nr - 1].sector, 0);
	KUNIT_EXPECT_EQ(test, td->records[nr - 1].count, 1);

	KUNIT_EXPECT_TRUE(test, ku_disk_holds(td, 1, 31, 0));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(td, 32, 32, 0xaa));
	KUNIT_ASSERT_EQ(test, snap_disk_read_header(td->bdev, &info, &error), 0);
	KUNIT_EXPECT_TRUE(test, info.valid && !info.fresh);
	KUNIT_EXPECT_EQ(test, info.chunk_size, 16);

	KUNIT_EXPECT_EQ(test, snap_disk_format(td->bdev, 64, kc), -ENOSPC);
	test_disk_fail(td, OP_BIT(REQ_OP_WRITE), 20, 1, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, snap_disk_format(td->bdev, 16, kc), -EIO);
}

/*
 * Loading.
 */

#define CHUNK		1	/* sectors: 32 exceptions in an area */

struct load {
	struct test_disk *td;
	struct snap_store store;
	struct snap_exceptions exceptions;
	struct snap_disk_end end;
	char *error;
};

static struct load load;

static void load_exit(struct kunit *test)
{
	if (load.store.batches)
		snap_store_exit(&load.store);
	if (load.exceptions.sections)
		snap_exceptions_exit(&load.exceptions);
	memset(&load, 0, sizeof(load));
	ku_exit(test);
}

static void load_setup(struct kunit *test, sector_t sectors, unsigned int chunk_size)
{
	load.td = ku_disk(test, sectors, 0);
	KUNIT_ASSERT_EQ(test, snap_store_init(&load.store, load.td->bdev, chunk_size, true), 0);
	KUNIT_ASSERT_EQ(test, snap_exceptions_init(&load.exceptions, 10000, sectors), 0);
}

/* The place of a slot on the disk. */
static struct snap_disk_exception *slot_at(u64 slot)
{
	unsigned int shift = load.store.area_shift;
	u64 chunk = snap_area_chunk(shift, slot >> shift);
	struct snap_disk_exception *area;

	area = (void *)(load.td->store + (chunk << (load.store.chunk_shift + SECTOR_SHIFT)));
	return area + (slot & ((1 << shift) - 1));
}

static void put_exception(u64 slot, u64 old, u64 new)
{
	slot_at(slot)->old = cpu_to_le64(old);
	slot_at(slot)->new = cpu_to_le64(new);
}

static int load_it(void)
{
	return snap_disk_load(&load.store, &load.exceptions, &load.end, &load.error);
}

static u64 take(struct kunit *test)
{
	u64 chunk;
	bool got;

	local_irq_disable();
	got = snap_store_alloc(&load.store, 1, &chunk);
	local_irq_enable();
	KUNIT_EXPECT_TRUE(test, got);
	return chunk;
}

/* Lists of every length around the ends of areas. */
static void loads_lists_of_any_length(struct kunit *test)
{
	static const unsigned int lengths[] = { 0, 1, 31, 32, 33, 63, 64, 65, 200 };
	sector_t allocated, total;
	unsigned int i, nr;
	u64 new;

	for (nr = 0; nr < ARRAY_SIZE(lengths); nr++) {
		load_setup(test, 500, CHUNK);
		for (i = 0; i < lengths[nr]; i++)
			put_exception(i, 1000 + 3 * i, snap_data_chunk(5, i));
		KUNIT_ASSERT_EQ(test, load_it(), 0);
		KUNIT_EXPECT_EQ(test, load.end.slots, lengths[nr]);
		KUNIT_EXPECT_FALSE(test, load.end.stale);
		for (i = 0; i < lengths[nr]; i++) {
			KUNIT_ASSERT_TRUE(test, snap_exception_lookup(&load.exceptions,
								      1000 + 3 * i, &new));
			KUNIT_EXPECT_EQ(test, new, snap_data_chunk(5, i));
		}
		KUNIT_EXPECT_FALSE(test, snap_exception_lookup(&load.exceptions, 1001, &new));
		snap_store_usage(&load.store, &allocated, &total);
		KUNIT_EXPECT_EQ(test, allocated, 2 + lengths[nr] + lengths[nr] / 32);
		KUNIT_EXPECT_EQ(test, take(test), snap_data_chunk(5, lengths[nr]));

		snap_store_exit(&load.store);
		snap_exceptions_exit(&load.exceptions);
		memset(&load, 0, sizeof(load));
		ku_disk_put(ku_of(test)->disks[--ku_of(test)->nr_disks]);
	}
}

/* Exceptions that follow each other, across groups and areas, and others between them. */
static void loads_runs(struct kunit *test)
{
	unsigned int i, nr = 300;
	u64 new;

	load_setup(test, 500, CHUNK);
	for (i = 0; i < nr; i++)
		put_exception(i, 200 + i + (i >= 40) + 1000 * (i == 70), snap_data_chunk(5, i));
	KUNIT_ASSERT_EQ(test, load_it(), 0);
	KUNIT_EXPECT_EQ(test, load.end.slots, nr);
	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_TRUE_MSG(test,
				      snap_exception_lookup(&load.exceptions,
							    200 + i + (i >= 40) + 1000 * (i == 70),
							    &new), "exception %u", i);
		KUNIT_EXPECT_EQ(test, new, snap_data_chunk(5, i));
	}
	KUNIT_EXPECT_FALSE(test, snap_exception_lookup(&load.exceptions, 199, &new));
	KUNIT_EXPECT_FALSE(test, snap_exception_lookup(&load.exceptions, 240, &new));
	KUNIT_EXPECT_FALSE(test, snap_exception_lookup(&load.exceptions, 271, &new));
	KUNIT_EXPECT_FALSE(test, snap_exception_lookup(&load.exceptions, 201 + nr, &new));
}

/* More than is sorted at a time, in an order that jumps about. */
static void loads_many(struct kunit *test)
{
	unsigned int i, nr = 3 * SNAP_LOAD_BATCH_MIN + 8;
	u64 new;

	load_setup(test, nr + nr / 32 + 10, CHUNK);
	for (i = 0; i < nr; i++)
		put_exception(i, i * 7919 % nr * 3, snap_data_chunk(5, i));
	KUNIT_ASSERT_EQ(test, load_it(), 0);
	KUNIT_EXPECT_EQ(test, load.end.slots, nr);
	for (i = 0; i < nr; i++) {
		u64 old = i * 7919 % nr * 3;

		KUNIT_ASSERT_TRUE(test, snap_exception_lookup(&load.exceptions, old, &new));
		KUNIT_ASSERT_EQ(test, new, snap_data_chunk(5, i));
		KUNIT_ASSERT_FALSE(test, snap_exception_lookup(&load.exceptions, old + 1, &new));
	}

	/* The same chunk of the origin once more, in another batch. */
	snap_store_exit(&load.store);
	snap_exceptions_exit(&load.exceptions);
	KUNIT_ASSERT_EQ(test, snap_store_init(&load.store, load.td->bdev, CHUNK, true), 0);
	KUNIT_ASSERT_EQ(test, snap_exceptions_init(&load.exceptions, 10000, nr), 0);
	put_exception(nr - 100, 7919 % nr * 3, snap_data_chunk(5, nr - 100));
	KUNIT_EXPECT_EQ(test, load_it(), -EUCLEAN);
	KUNIT_EXPECT_EQ(test, load.end.slots, nr - 100);
}

/* A run in which one chunk of the origin cannot be: what is said names that one. */
static void names_the_chunk_of_a_run(struct kunit *test)
{
	unsigned int i;

	load_setup(test, 500, CHUNK);
	put_exception(0, 7, snap_data_chunk(5, 20));
	for (i = 1; i < 10; i++)
		put_exception(i, 3 + i, snap_data_chunk(5, i));
	KUNIT_EXPECT_EQ(test, load_it(), -EUCLEAN);
	KUNIT_EXPECT_NOT_NULL(test, load.error);
	KUNIT_EXPECT_EQ(test, load.end.slots, 4);
}

/* Areas that are longer than what is read at a time. */
static void loads_long_areas(struct kunit *test)
{
	unsigned int i, nr = 5000;
	u64 new;

	/* 8192 exceptions in an area, 16 chunks on the device. */
	load_setup(test, 4096, 256);
	for (i = 0; i < 10; i++)
		put_exception(i, i, 2 + i);
	KUNIT_ASSERT_EQ(test, load_it(), 0);
	KUNIT_EXPECT_EQ(test, load.end.slots, 10);
	KUNIT_EXPECT_TRUE(test, snap_exception_lookup(&load.exceptions, 9, &new));

	/* More than fits on this device: each claims one that is not there. */
	for (i = 0; i < nr; i++)
		put_exception(i, i, 2 + i);
	KUNIT_EXPECT_EQ(test, load_it(), -EUCLEAN);
}

/* What nobody uses between chunks in use is handed out first, once, and counted as free. */
static void finds_holes(struct kunit *test)
{
	static const u8 used[] = { 0, 1, 4, 5, 6, 40, 70 };
	unsigned int i, holes = 71 - ARRAY_SIZE(used);
	sector_t allocated, total;
	DECLARE_BITMAP(taken, 128);
	u64 index;

	load_setup(test, 500, CHUNK);
	bitmap_zero(taken, 128);
	for (i = 0; i < ARRAY_SIZE(used); i++) {
		/* In any order. */
		u8 index = used[(i * 3) % ARRAY_SIZE(used)];

		put_exception(i, 7 * i, snap_data_chunk(5, index));
		__set_bit(index, taken);
	}
	KUNIT_ASSERT_EQ(test, load_it(), 0);
	KUNIT_EXPECT_EQ(test, load.end.slots, ARRAY_SIZE(used));
	snap_store_usage(&load.store, &allocated, &total);
	KUNIT_EXPECT_EQ(test, allocated, 2 + ARRAY_SIZE(used));

	for (i = 0; i < holes; i++) {
		KUNIT_ASSERT_TRUE(test, snap_data_index(5, take(test), &index));
		KUNIT_EXPECT_LT(test, index, 71);
		KUNIT_EXPECT_FALSE(test, __test_and_set_bit(index, taken));
	}
	KUNIT_EXPECT_TRUE(test, bitmap_full(taken, 71));
	KUNIT_EXPECT_EQ(test, take(test), snap_data_chunk(5, 71));
}

struct corrupt {
	const char *name;
	u64 old, new;
	u64 more_old, more_new;
};

static const struct corrupt corruptions[] = {
	{ "the header as a chunk", 1, 0x8000000000000000ULL, 0, 0 },
	{ "the first area as a chunk", 1, 1, 0, 0 },
	{ "the second area as a chunk", 1, 34, 0, 0 },
	{ "the chunk after the last", 1, 500, 0, 0 },
	{ "a very large chunk", 1, U64_MAX, 0, 0 },
	{ "a chunk of the COW device twice", 1, 2, 2, 2 },
	{ "a chunk of the origin twice", 1, 2, 1, 3 },
};

static void corrupt_desc(const struct corrupt *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(corrupt, corruptions, corrupt_desc);

static void refuses_what_cannot_be(struct kunit *test)
{
	const struct corrupt *c = test->param_value;

	load_setup(test, 500, CHUNK);
	put_exception(0, c->old, c->new);
	if (c->more_new)
		put_exception(1, c->more_old, c->more_new);
	KUNIT_EXPECT_EQ(test, load_it(), -EUCLEAN);
	KUNIT_EXPECT_NOT_NULL(test, load.error);
}

/* All areas are full, and the device ends. */
static void refuses_a_list_without_end(struct kunit *test)
{
	unsigned int i;

	load_setup(test, 1 + 33, CHUNK);
	for (i = 0; i < 32; i++)
		put_exception(i, i, snap_data_chunk(5, i));
	KUNIT_EXPECT_EQ(test, load_it(), -EUCLEAN);
}

/* The rest of a torn write is seen, in this block and in those that follow. */
static void sees_what_follows_the_end(struct kunit *test)
{
	static const unsigned int behind[] = { 4, 255, 256, 700 };
	unsigned int i;

	load_setup(test, 2048, 64);	/* 2048 exceptions in an area */
	for (i = 0; i < 3; i++)
		put_exception(i, i, 2 + i);
	KUNIT_ASSERT_EQ(test, load_it(), 0);
	KUNIT_EXPECT_FALSE(test, load.end.stale);
	for (i = 0; i < ARRAY_SIZE(behind); i++) {
		snap_store_exit(&load.store);
		snap_exceptions_exit(&load.exceptions);
		KUNIT_ASSERT_EQ(test, snap_store_init(&load.store, load.td->bdev, 64, true), 0);
		KUNIT_ASSERT_EQ(test, snap_exceptions_init(&load.exceptions, 10000, 100), 0);
		put_exception(behind[i], 9, 9);
		KUNIT_ASSERT_EQ(test, load_it(), 0);
		KUNIT_EXPECT_EQ(test, load.end.slots, 3);
		KUNIT_EXPECT_TRUE(test, load.end.stale);
		put_exception(behind[i], 0, 0);
	}
}

static void fails_if_it_cannot_read(struct kunit *test)
{
	load_setup(test, 500, CHUNK);
	test_disk_fail(load.td, OP_BIT(REQ_OP_READ), 1, 1, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, load_it(), -EIO);
	KUNIT_EXPECT_NOT_NULL(test, load.error);
}

static struct kunit_case disk_cases[] = {
	KUNIT_CASE(numbers_chunks_without_gaps),
	KUNIT_CASE(counts_chunks_of_data),
	KUNIT_CASE(knows_its_header),
	KUNIT_CASE(formats),
	KUNIT_CASE(loads_lists_of_any_length),
	KUNIT_CASE(loads_runs),
	KUNIT_CASE(loads_many),
	KUNIT_CASE(names_the_chunk_of_a_run),
	KUNIT_CASE(loads_long_areas),
	KUNIT_CASE(finds_holes),
	KUNIT_CASE_PARAM(refuses_what_cannot_be, corrupt_gen_params),
	KUNIT_CASE(refuses_a_list_without_end),
	KUNIT_CASE(sees_what_follows_the_end),
	KUNIT_CASE(fails_if_it_cannot_read),
	{}
};

static struct kunit_suite disk_suite = {
	.name = "dm-snap-disk",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = load_exit,
	.test_cases = disk_cases,
};

kunit_test_suite(disk_suite);
