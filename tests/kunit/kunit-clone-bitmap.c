// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bitmap of a clone: what gets to the metadata device, and when; what is loaded, or refused.
 */
#include "kunit-lib.h"

/* What happens while a sector that is wrong is not read again yet. */
static void (*while_waiting)(void);
static unsigned int waits;

static void bitmap_sleep(unsigned int ms)
{
	waits++;
	if (while_waiting)
		while_waiting();
}

#define msleep(ms)	bitmap_sleep(ms)

#include "dm-clone-bitmap.c"

#undef msleep

#define REGION		8	/* sectors */
/* Ten sectors of the bitmap, in two blocks; the last sector and its last word are not full. */
#define REGIONS		(9 * CLONE_SECTOR_REGIONS + 100UL)
#define SIZE		((sector_t)REGION * REGIONS - 3)
#define BITMAP_SECTOR	(CLONE_SUPERS * CLONE_BLOCK_SECTORS)

struct fixture {
	struct test_disk *td;
	struct clone_bitmap *b;
};

static struct clone_bitmap *open_size(struct fixture *f, sector_t size, sector_t region,
				      char **error)
{
	*error = NULL;
	f->b = clone_bitmap_create(f->td->bdev, size, region, error);
	return f->b;
}

static int open_again(struct fixture *f)
{
	char *error;

	if (!IS_ERR_OR_NULL(f->b))
		clone_bitmap_destroy(f->b);
	open_size(f, SIZE, REGION, &error);
	if (IS_ERR(f->b))
		return error ? PTR_ERR(f->b) : -ENOMSG;
	return clone_bitmap_load(f->b);
}

static struct fixture fixture;

static struct fixture *setup(struct kunit *test)
{
	struct fixture *f = &fixture;

	while_waiting = NULL;
	waits = 0;
	f->td = ku_disk(test, 64, 0);
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	return f;
}

static void close_bitmap(struct fixture *f)
{
	if (!IS_ERR_OR_NULL(f->b))
		clone_bitmap_destroy(f->b);
	f->b = NULL;
}

static void bitmap_exit(struct kunit *test)
{
	close_bitmap(&fixture);
	ku_exit(test);
}

static int commit(struct clone_bitmap *b)
{
	clone_bitmap_stage(b);
	return clone_bitmap_write(b);
}

static struct clone_disk_sector *disk_sector(struct fixture *f, unsigned long index)
{
	u8 *bitmap = f->td->store + (BITMAP_SECTOR << SECTOR_SHIFT);

	return (struct clone_disk_sector *)bitmap + index;
}

static bool on_disk(struct fixture *f, unsigned long region)
{
	struct clone_disk_sector *sector = disk_sector(f, region / CLONE_SECTOR_REGIONS);
	unsigned long bit = region % CLONE_SECTOR_REGIONS;

	return le64_to_cpu(sector->bits[bit / 64]) >> (bit % 64) & 1;
}

static void sizes_of_the_device(struct kunit *test)
{
	struct {
		unsigned long regions;
		sector_t sectors;
	} cases[] = {
		{ 1, 24 }, { 4032, 24 }, { 4033, 24 }, { 8 * 4032, 24 }, { 8 * 4032 + 1, 32 },
		{ CLONE_MAX_REGIONS, 532632 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		KUNIT_EXPECT_EQ_MSG(test, clone_bitmap_disk_sectors(cases[i].regions),
				    cases[i].sectors, "%lu regions", cases[i].regions);
	KUNIT_EXPECT_EQ(test, sizeof(struct clone_disk_super), 512);
	KUNIT_EXPECT_EQ(test, sizeof(struct clone_disk_sector), 512);
}

/* The numbers are those of the document; a tool that knows only that must understand the device. */
static void formats(struct kunit *test)
{
	struct fixture *f = setup(test);
	u8 *super = f->td->store;
	u32 crc;

	KUNIT_EXPECT_EQ(test, memcmp(super + 8, "dm-clone-scaled\n", 16), 0);
	KUNIT_EXPECT_EQ(test, memcmp(super, super + CLONE_BLOCK_SIZE, CLONE_BLOCK_SIZE), 0);
	KUNIT_EXPECT_EQ(test, le32_to_cpup((__le32 *)(super + 4)), 1);
	KUNIT_EXPECT_EQ(test, le64_to_cpup((__le64 *)(super + 40)), 1ULL);
	KUNIT_EXPECT_EQ(test, le64_to_cpup((__le64 *)(super + 48)), (u64)REGION);
	KUNIT_EXPECT_EQ(test, le64_to_cpup((__le64 *)(super + 56)), (u64)SIZE);
	KUNIT_EXPECT_EQ(test, le64_to_cpup((__le64 *)(super + 64)), (u64)REGIONS);
	KUNIT_EXPECT_EQ(test, le64_to_cpup((__le64 *)(super + 72)), 16ULL);
	KUNIT_EXPECT_EQ(test, le64_to_cpup((__le64 *)(super + 80)), 10ULL);
	crc = ~dm_scaled_crc32c(~0, super + 4, 508);
	KUNIT_EXPECT_EQ(test, le32_to_cpup((__le32 *)super), crc);
	/* What everybody knows of CRC-32C. */
	KUNIT_EXPECT_EQ(test, ~dm_scaled_crc32c(~0, "123456789", 9), 0xe3069283);

	KUNIT_EXPECT_EQ(test, clone_bitmap_next_unset(f->b, 0), 0UL);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_clean(f->b));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_complete(f->b));
}

static void keeps_what_was_committed(struct kunit *test)
{
	static const unsigned long set[] = { 0, 63, 64, 4031, 4032, 20000, REGIONS - 1 };
	struct fixture *f = setup(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(set); i++) {
		KUNIT_EXPECT_FALSE(test, clone_bitmap_test(f->b, set[i]));
		clone_bitmap_set(f->b, set[i]);
		clone_bitmap_set(f->b, set[i]);
		KUNIT_EXPECT_TRUE(test, clone_bitmap_test(f->b, set[i]));
		KUNIT_EXPECT_FALSE(test, clone_bitmap_is_durable(f->b, set[i]));
	}
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_clean(f->b));
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_clean(f->b));

	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f->b->count), (s64)ARRAY_SIZE(set));
	for (i = 0; i < ARRAY_SIZE(set); i++) {
		KUNIT_EXPECT_TRUE(test, clone_bitmap_test(f->b, set[i]));
		KUNIT_EXPECT_TRUE(test, clone_bitmap_is_durable(f->b, set[i]));
	}
	KUNIT_EXPECT_FALSE(test, clone_bitmap_test(f->b, 1));
}

/* What is set after the first half of a commit may not be durable in the destination. */
static void writes_only_what_was_staged(struct kunit *test)
{
	struct fixture *f = setup(test);

	clone_bitmap_set(f->b, 5);
	KUNIT_EXPECT_FALSE(test, on_disk(f, 5));
	KUNIT_ASSERT_TRUE(test, clone_bitmap_stage(f->b));
	clone_bitmap_set(f->b, 6);
	clone_bitmap_set(f->b, 30000);
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_clean(f->b));
	KUNIT_ASSERT_EQ(test, clone_bitmap_write(f->b), 0);
	KUNIT_EXPECT_TRUE(test, on_disk(f, 5));
	KUNIT_EXPECT_FALSE(test, on_disk(f, 6));
	KUNIT_EXPECT_FALSE(test, on_disk(f, 30000));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_clean(f->b));
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_durable(f->b, 5));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_durable(f->b, 6));

	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	KUNIT_EXPECT_TRUE(test, on_disk(f, 6));
	KUNIT_EXPECT_TRUE(test, on_disk(f, 30000));
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_clean(f->b));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_stage(f->b));
}

/* A commit costs what has changed, not what there is. */
static void writes_blocks_that_changed(struct kunit *test)
{
	struct fixture *f = setup(test);
	unsigned long region;

	KUNIT_ASSERT_EQ(test, test_disk_record(f->td, 100), 0);
	clone_bitmap_set(f->b, 9 * CLONE_SECTOR_REGIONS);
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->td), 1U);
	KUNIT_EXPECT_EQ(test, f->td->records[0].sector, (sector_t)BITMAP_SECTOR + 8);

	KUNIT_ASSERT_EQ(test, test_disk_record(f->td, 100), 0);
	for (region = 0; region < 8 * CLONE_SECTOR_REGIONS; region++)
		clone_bitmap_set(f->b, region);
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->td), 1U);
}

static void tries_again(struct kunit *test)
{
	struct fixture *f = setup(test);

	clone_bitmap_set(f->b, 5);
	test_disk_fail(f->td, OP_BIT(REQ_OP_WRITE), 0, 64, BLK_STS_IOERR);
	KUNIT_EXPECT_NE(test, commit(f->b), 0);
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_clean(f->b));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_durable(f->b, 5));
	clone_bitmap_set(f->b, 4040);
	KUNIT_EXPECT_NE(test, commit(f->b), 0);
	test_disk_heal(f->td);
	KUNIT_ASSERT_TRUE(test, clone_bitmap_stage(f->b));
	KUNIT_ASSERT_EQ(test, clone_bitmap_write(f->b), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_clean(f->b));
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_test(f->b, 5));
	KUNIT_EXPECT_TRUE(test, clone_bitmap_test(f->b, 4040));
}

/* Of a block that was being written any sectors may have arrived. */
static void torn_writes_are_right(struct kunit *test)
{
	struct fixture *f = setup(test);
	unsigned int mask, i;
	u8 *old, *new;

	old = kunit_kmalloc(test, CLONE_BLOCK_SIZE, GFP_KERNEL);
	new = kunit_kmalloc(test, CLONE_BLOCK_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, old);
	KUNIT_ASSERT_NOT_NULL(test, new);
	memcpy(old, disk_sector(f, 0), CLONE_BLOCK_SIZE);
	for (i = 0; i < CLONE_BLOCK_SECTORS; i++)
		clone_bitmap_set(f->b, i * CLONE_SECTOR_REGIONS + i);
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	memcpy(new, disk_sector(f, 0), CLONE_BLOCK_SIZE);

	for (mask = 0; mask < 256; mask += 37) {
		for (i = 0; i < CLONE_BLOCK_SECTORS; i++)
			memcpy(disk_sector(f, i), (mask & BIT(i) ? new : old) + i * 512, 512);
		KUNIT_ASSERT_EQ(test, open_again(f), 0);
		for (i = 0; i < CLONE_BLOCK_SECTORS; i++)
			KUNIT_EXPECT_EQ(test,
					clone_bitmap_test(f->b, i * CLONE_SECTOR_REGIONS + i),
					!!(mask & BIT(i)));
	}
}

static void refuses_damaged_sectors(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct clone_disk_sector copy;

	disk_sector(f, 3)->bits[20] ^= cpu_to_le64(1);
	KUNIT_EXPECT_EQ(test, open_again(f), -EILSEQ);
	KUNIT_EXPECT_EQ(test, waits, (unsigned int)CLONE_READ_AGAIN);
	disk_sector(f, 3)->bits[20] ^= cpu_to_le64(1);
	KUNIT_EXPECT_EQ(test, open_again(f), 0);

	/* It belongs elsewhere. */
	copy = *disk_sector(f, 3);
	*disk_sector(f, 3) = *disk_sector(f, 4);
	KUNIT_EXPECT_EQ(test, open_again(f), -EILSEQ);
	*disk_sector(f, 3) = copy;
	KUNIT_EXPECT_EQ(test, open_again(f), 0);

	/* A region that there is not, though the checksum is right. */
	disk_sector(f, 9)->bits[1] |= cpu_to_le64(1ULL << 36);
	disk_sector(f, 9)->csum = clone_sector_csum(f->b, disk_sector(f, 9));
	KUNIT_EXPECT_EQ(test, open_again(f), -EILSEQ);
	disk_sector(f, 9)->bits[1] = 0;
	disk_sector(f, 9)->bits[2] = cpu_to_le64(1);
	KUNIT_EXPECT_EQ(test, open_again(f), -EILSEQ);

	test_disk_fail(f->td, OP_BIT(REQ_OP_READ), BITMAP_SECTOR, 1, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, open_again(f), -EIO);
}

static void write_ends(void)
{
	if (waits == 3)
		disk_sector(&fixture, 3)->bits[20] ^= cpu_to_le64(1);
}

/* Another table of the same device writes it in place. */
static void waits_for_whole_sectors(struct kunit *test)
{
	struct fixture *f = setup(test);

	clone_bitmap_set(f->b, 7);
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	disk_sector(f, 3)->bits[20] ^= cpu_to_le64(1);
	while_waiting = write_ends;
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	KUNIT_EXPECT_EQ(test, waits, 3U);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_test(f->b, 7));
}

/* After an error what was read before it is not believed either: the device may have changed. */
static void forgets_what_it_has_read(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct clone_disk_sector *sector = disk_sector(f, 0);

	test_disk_fail(f->td, OP_BIT(REQ_OP_READ), BITMAP_SECTOR + 8, 8, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, clone_bitmap_load(f->b), -EIO);
	test_disk_heal(f->td);
	sector->bits[0] = cpu_to_le64(1 << 5);
	sector->csum = clone_sector_csum(f->b, sector);
	KUNIT_ASSERT_EQ(test, clone_bitmap_load(f->b), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_test(f->b, 5));
}

/* The flush between the halves of a commit fails, alone or after the second half has failed. */
static void reverts(struct kunit *test)
{
	struct fixture *f = setup(test);

	clone_bitmap_set(f->b, 5);
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	clone_bitmap_set(f->b, 6);
	clone_bitmap_set(f->b, 9 * CLONE_SECTOR_REGIONS);
	KUNIT_ASSERT_TRUE(test, clone_bitmap_stage(f->b));
	clone_bitmap_set(f->b, 4040);
	KUNIT_ASSERT_EQ(test, clone_bitmap_revert(f->b), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_staged(f->b, 5));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_staged(f->b, 6));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_clean(f->b));
	KUNIT_EXPECT_EQ(test, clone_bitmap_lost(f->b), 3UL);
	KUNIT_EXPECT_EQ(test, f->b->nr_staged, 1ULL);
	KUNIT_EXPECT_FALSE(test, on_disk(f, 6));

	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	clone_bitmap_set(f->b, 6);
	test_disk_fail(f->td, OP_BIT(REQ_OP_WRITE), 0, 64, BLK_STS_IOERR);
	KUNIT_EXPECT_NE(test, commit(f->b), 0);
	test_disk_heal(f->td);
	KUNIT_ASSERT_EQ(test, clone_bitmap_revert(f->b), 0);
	KUNIT_EXPECT_EQ(test, clone_bitmap_is_staged(f->b, 6), on_disk(f, 6));
	KUNIT_EXPECT_EQ(test, clone_bitmap_lost(f->b), on_disk(f, 6) ? 0UL : 1UL);

	/* What the device has is not known. */
	clone_bitmap_set(f->b, 7);
	KUNIT_ASSERT_TRUE(test, clone_bitmap_stage(f->b));
	test_disk_fail(f->td, OP_BIT(REQ_OP_READ), 0, 64, BLK_STS_IOERR);
	KUNIT_EXPECT_NE(test, clone_bitmap_revert(f->b), 0);
}

/* Complete in memory is not complete on the device. */
static void knows_when_all_is_committed(struct kunit *test)
{
	struct fixture *f = setup(test);
	unsigned long region;

	for (region = 0; region < REGIONS - 1; region++)
		clone_bitmap_set(f->b, region);
	KUNIT_ASSERT_TRUE(test, clone_bitmap_stage(f->b));
	clone_bitmap_set(f->b, REGIONS - 1);
	KUNIT_ASSERT_EQ(test, clone_bitmap_write(f->b), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_complete(f->b));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_committed(f->b));
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_committed(f->b));
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_committed(f->b));
}

/* Zeroing 4 KiB makes a new clone of dm-clone's, and must not make the old one again of ours. */
static void refuses_half_a_device(struct kunit *test)
{
	struct fixture *f = setup(test);
	char *error;

	/* So does a power cut before the last superblock of a format is written. */
	memset(f->td->store, 0, CLONE_BLOCK_SIZE);
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	clone_bitmap_set(f->b, 77);
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	memset(f->td->store, 0, CLONE_BLOCK_SIZE);
	KUNIT_EXPECT_EQ(test, open_again(f), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(open_size(f, SIZE, 2 * REGION, &error)), -EINVAL);
	KUNIT_EXPECT_NOT_NULL(test, strstr(error, "Zero 8 KiB"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(error, "dmsc-clone repair"));
	KUNIT_EXPECT_NULL(test, memchr_inv(f->td->store, 0, CLONE_BLOCK_SIZE));
}

static void one_superblock_is_enough(struct kunit *test)
{
	struct fixture *f = setup(test);
	u8 *first = f->td->store, *second = first + CLONE_BLOCK_SIZE;

	clone_bitmap_set(f->b, 77);
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	first[60] ^= 1;
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	KUNIT_EXPECT_EQ(test, memcmp(first, second, CLONE_BLOCK_SIZE), 0);
	memset(second, 0, CLONE_BLOCK_SIZE);
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	memset(second, 0x55, CLONE_BLOCK_SIZE);
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	KUNIT_EXPECT_EQ(test, memcmp(first, second, CLONE_BLOCK_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_test(f->b, 77));
	KUNIT_EXPECT_EQ(test, clone_bitmap_verify(f->b), 0);

	first[60] ^= 1;
	KUNIT_EXPECT_EQ(test, clone_bitmap_verify(f->b), 0);
	test_disk_fail(f->td, OP_BIT(REQ_OP_READ), 0, 8, BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, clone_bitmap_verify(f->b), 0);
	test_disk_heal(f->td);
	second[60] ^= 1;
	KUNIT_EXPECT_EQ(test, clone_bitmap_verify(f->b), -EINVAL);
	KUNIT_EXPECT_EQ(test, open_again(f), -EINVAL);
}

static void refuses_others(struct kunit *test)
{
	struct fixture *f = setup(test);
	char *error;

	close_bitmap(f);
	KUNIT_EXPECT_EQ(test, PTR_ERR(open_size(f, SIZE, 2 * REGION, &error)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(open_size(f, SIZE - 8, REGION, &error)), -EINVAL);
	KUNIT_EXPECT_NOT_NULL(test, error);

	memset(f->td->store, 0, 2 * CLONE_BLOCK_SIZE);
	*(__le64 *)(f->td->store + 32) = cpu_to_le64(CLONE_STOCK_MAGIC);
	KUNIT_EXPECT_EQ(test, PTR_ERR(open_size(f, SIZE, REGION, &error)), -EINVAL);
	KUNIT_EXPECT_NOT_NULL(test, strstr(error, "dmsc-clone"));
	f->td->store[32] = 1;
	KUNIT_EXPECT_EQ(test, PTR_ERR(open_size(f, SIZE, REGION, &error)), -EINVAL);
	KUNIT_EXPECT_NULL(test, strstr(error, "dmsc-clone"));

	memset(f->td->store, 0, 2 * CLONE_BLOCK_SIZE);
	set_capacity(f->td->disk, 31);
	KUNIT_EXPECT_EQ(test, PTR_ERR(open_size(f, SIZE, REGION, &error)), -ENOSPC);
	set_capacity(f->td->disk, 32);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(open_size(f, SIZE, REGION, &error)), 0);
}

/* A new table goes on with what the old one knows, even if that could not be written. */
static void adopts(struct kunit *test)
{
	struct fixture *f = setup(test);
	struct clone_bitmap *old = f->b;
	char *error;

	clone_bitmap_set(old, 10);
	KUNIT_ASSERT_EQ(test, commit(old), 0);
	clone_bitmap_set(old, 11);
	test_disk_fail(f->td, OP_BIT(REQ_OP_WRITE), 0, 64, BLK_STS_IOERR);
	KUNIT_EXPECT_NE(test, commit(old), 0);
	clone_bitmap_set(old, 12);
	test_disk_heal(f->td);

	KUNIT_ASSERT_EQ(test, PTR_ERR_OR_ZERO(open_size(f, SIZE, REGION, &error)), 0);
	clone_bitmap_adopt(f->b, old);
	clone_bitmap_destroy(old);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_test(f->b, 12));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_clean(f->b));
	KUNIT_EXPECT_FALSE(test, clone_bitmap_is_durable(f->b, 11));
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_durable(f->b, 11));
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	KUNIT_EXPECT_EQ(test, percpu_counter_sum(&f->b->count), 3LL);
}

static void set_own(unsigned int cpu, void *arg)
{
	unsigned int cpus = num_online_cpus();
	struct clone_bitmap *b = arg;
	unsigned long region;

	for (region = cpu; region < REGIONS; region += cpus) {
		clone_bitmap_set(b, region);
		if (!cpu && region % 997 == 0 && commit(b))
			break;
	}
}

static void all_cpus_set(struct kunit *test)
{
	struct fixture *f = setup(test);

	ku_run_on_cpus(test, set_own, f->b);
	KUNIT_EXPECT_EQ(test, clone_bitmap_next_unset(f->b, 0), REGIONS);
	KUNIT_EXPECT_TRUE(test, clone_bitmap_is_complete(f->b));
	KUNIT_ASSERT_EQ(test, commit(f->b), 0);
	KUNIT_ASSERT_EQ(test, open_again(f), 0);
	KUNIT_EXPECT_EQ(test, clone_bitmap_next_unset(f->b, 0), REGIONS);
}

static struct kunit_case bitmap_cases[] = {
	KUNIT_CASE(sizes_of_the_device),
	KUNIT_CASE(formats),
	KUNIT_CASE(keeps_what_was_committed),
	KUNIT_CASE(writes_only_what_was_staged),
	KUNIT_CASE(writes_blocks_that_changed),
	KUNIT_CASE(tries_again),
	KUNIT_CASE(torn_writes_are_right),
	KUNIT_CASE(refuses_damaged_sectors),
	KUNIT_CASE(waits_for_whole_sectors),
	KUNIT_CASE(forgets_what_it_has_read),
	KUNIT_CASE(reverts),
	KUNIT_CASE(knows_when_all_is_committed),
	KUNIT_CASE(refuses_half_a_device),
	KUNIT_CASE(one_superblock_is_enough),
	KUNIT_CASE(refuses_others),
	KUNIT_CASE(adopts),
	KUNIT_CASE(all_cpus_set),
	{}
};

static struct kunit_suite bitmap_suite = {
	.name = "dm-clone-bitmap",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = bitmap_exit,
	.test_cases = bitmap_cases,
};

kunit_test_suite(bitmap_suite);
