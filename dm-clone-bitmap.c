// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bitmap of a clone's regions, and how it gets to the metadata device.
 *
 * Bits only ever go from 0 to 1. So a sector of the bitmap is written in place: whether a torn
 * write leaves the old sector or the new one, it is right. What must not happen is that a bit is on
 * disk before the data that it vouches for. Therefore a commit has two halves, with a flush of the
 * destination between them:
 *
 *	hydrated --stage--> staged --(flush of the destination)--> written, flushed
 *
 * Regions that are set meanwhile are for the next commit.
 */
#define DM_MSG_PREFIX "clone-bitmap"

#include <linux/bitmap.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/dm-bufio.h>
#include <linux/err.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uuid.h>

#include "compat.h"
#include "dm-clone-bitmap.h"

/* Blocks that are read ahead while the bitmap is loaded. */
#define CLONE_LOAD_AHEAD	64

/* Stock's superblock has this behind a checksum, flags, a block number and a UUID. */
#define CLONE_STOCK_MAGIC	0x8af27f64ULL
#define CLONE_STOCK_MAGIC_AT	32

/*
 *------------------------------------------------------------
 * What is on the device
 *------------------------------------------------------------
 */

static unsigned long clone_bitmap_sectors(unsigned long regions)
{
	return DIV_ROUND_UP(regions, CLONE_SECTOR_REGIONS);
}

static u64 clone_bitmap_blocks(unsigned long sectors)
{
	return DIV_ROUND_UP(sectors, CLONE_BLOCK_SECTORS);
}

/* Sectors that a metadata device needs at least. */
static sector_t clone_bitmap_disk_sectors(unsigned long regions)
{
	return (CLONE_SUPERS + clone_bitmap_blocks(clone_bitmap_sectors(regions))) *
	       CLONE_BLOCK_SECTORS;
}

u64 clone_bitmap_used_blocks(const struct clone_bitmap *b)
{
	return clone_bitmap_disk_sectors(b->regions) / CLONE_BLOCK_SECTORS;
}

static __le32 clone_super_csum(const struct clone_disk_super *super)
{
	return cpu_to_le32(~dm_scaled_crc32c(~0, &super->version,
					     sizeof(*super) - sizeof(super->csum)));
}

static __le32 clone_sector_csum(const struct clone_bitmap *b,
				const struct clone_disk_sector *sector)
{
	u32 crc = dm_scaled_crc32c(~0, b->uuid, sizeof(b->uuid));

	return cpu_to_le32(~dm_scaled_crc32c(crc, &sector->index,
					     sizeof(*sector) - sizeof(sector->csum)));
}

/* Words of the bitmap in memory that a sector holds. */
static unsigned long clone_sector_words(const struct clone_bitmap *b, unsigned long sector)
{
	unsigned long first = sector * CLONE_SECTOR_WORDS;

	return min_t(unsigned long, CLONE_SECTOR_WORDS, DIV_ROUND_UP(b->regions, 64) - first);
}

static u64 clone_map_word(const unsigned long *map, unsigned long word)
{
#if BITS_PER_LONG == 64
	return READ_ONCE(map[word]);
#else
	return READ_ONCE(map[2 * word]) | (u64)READ_ONCE(map[2 * word + 1]) << 32;
#endif
}

static void clone_map_set_word(unsigned long *map, unsigned long word, u64 value)
{
#if BITS_PER_LONG == 64
	WRITE_ONCE(map[word], value);
#else
	WRITE_ONCE(map[2 * word], value);
	WRITE_ONCE(map[2 * word + 1], value >> 32);
#endif
}

/* Fills a sector with what has been staged. */
static void clone_sector_fill(const struct clone_bitmap *b, unsigned long index,
			      struct clone_disk_sector *sector)
{
	unsigned long i, words = clone_sector_words(b, index);

	memset(sector, 0, sizeof(*sector));
	sector->index = cpu_to_le32(index);
	for (i = 0; i < words; i++)
		sector->bits[i] = cpu_to_le64(clone_map_word(b->staged,
							     index * CLONE_SECTOR_WORDS + i));
	sector->csum = clone_sector_csum(b, sector);
}

/* Whether a sector is one of this bitmap, in this place, and tells only of regions that exist. */
static bool clone_sector_is_valid(const struct clone_bitmap *b, unsigned long index,
				  const struct clone_disk_sector *sector)
{
	unsigned long i, words = clone_sector_words(b, index);
	u64 last;

	if (sector->csum != clone_sector_csum(b, sector) || le32_to_cpu(sector->index) != index)
		return false;
	for (i = words; i < CLONE_SECTOR_WORDS; i++)
		if (sector->bits[i])
			return false;
	last = le64_to_cpu(sector->bits[words - 1]);
	return index + 1 < b->sectors || !(b->regions % 64) || !(last >> b->regions % 64);
}

/*
 *------------------------------------------------------------
 * Superblocks
 *------------------------------------------------------------
 */

/**
 * enum clone_super_state - what is where a superblock should be
 * @CLONE_SUPER_ZERO:    zeroes
 * @CLONE_SUPER_VALID:   a superblock
 * @CLONE_SUPER_BROKEN:  one with a wrong checksum
 * @CLONE_SUPER_STOCK:   one of stock's
 * @CLONE_SUPER_FOREIGN: something else
 */
enum clone_super_state {
	CLONE_SUPER_ZERO,
	CLONE_SUPER_VALID,
	CLONE_SUPER_BROKEN,
	CLONE_SUPER_STOCK,
	CLONE_SUPER_FOREIGN,
};

static enum clone_super_state clone_super_look(const void *block)
{
	const struct clone_disk_super *super = block;
	__le64 magic;

	if (!memchr_inv(block, 0, CLONE_BLOCK_SIZE))
		return CLONE_SUPER_ZERO;
	if (!memcmp(super->magic, CLONE_DISK_MAGIC, sizeof(super->magic)))
		return super->csum == clone_super_csum(super) ? CLONE_SUPER_VALID :
								CLONE_SUPER_BROKEN;
	memcpy(&magic, block + CLONE_STOCK_MAGIC_AT, sizeof(magic));
	return le64_to_cpu(magic) == CLONE_STOCK_MAGIC ? CLONE_SUPER_STOCK : CLONE_SUPER_FOREIGN;
}

static int clone_super_read(struct clone_bitmap *b, unsigned int copy,
			    struct clone_disk_super *super, enum clone_super_state *state)
{
	struct dm_buffer *buffer;
	void *block;

	block = dm_bufio_read(b->bufio, copy, &buffer);
	if (IS_ERR(block))
		return PTR_ERR(block);
	*state = clone_super_look(block);
	memcpy(super, block, sizeof(*super));
	dm_bufio_release(buffer);
	return 0;
}

/* Writes a copy of the superblock, and waits until it is durable. */
static int clone_super_write(struct clone_bitmap *b, unsigned int copy, u64 generation)
{
	struct clone_disk_super *super;
	struct dm_buffer *buffer;

	super = dm_bufio_new(b->bufio, copy, &buffer);
	if (IS_ERR(super))
		return PTR_ERR(super);
	memset(super, 0, CLONE_BLOCK_SIZE);
	super->version = cpu_to_le32(CLONE_DISK_VERSION);
	memcpy(super->magic, CLONE_DISK_MAGIC, sizeof(super->magic));
	memcpy(super->uuid, b->uuid, sizeof(super->uuid));
	super->generation = cpu_to_le64(generation);
	super->region_size = cpu_to_le64(b->region_size);
	super->target_size = cpu_to_le64(b->target_size);
	super->regions = cpu_to_le64(b->regions);
	super->bitmap = cpu_to_le64(CLONE_SUPERS * CLONE_BLOCK_SECTORS);
	super->bitmap_sectors = cpu_to_le64(b->sectors);
	super->csum = clone_super_csum(super);
	dm_bufio_mark_buffer_dirty(buffer);
	dm_bufio_release(buffer);
	return dm_bufio_write_dirty_buffers(b->bufio);
}

static int clone_super_check(const struct clone_bitmap *b, const struct clone_disk_super *super,
			     char **error)
{
	if (le32_to_cpu(super->version) != CLONE_DISK_VERSION || super->flags) {
		DMERR("%pg: metadata of version %u, flags %llx: must be version 1, flags 0",
		      b->bdev, le32_to_cpu(super->version), le64_to_cpu(super->flags));
		*error = "Metadata device's format is not known: made by a newer dm-scaled";
		return -EINVAL;
	}
	if (le64_to_cpu(super->region_size) != b->region_size) {
		DMERR("%pg: metadata for regions of %llu sectors, not %llu", b->bdev,
		      le64_to_cpu(super->region_size), (unsigned long long)b->region_size);
		*error = "Region size is not that of the metadata device";
		return -EINVAL;
	}
	if (le64_to_cpu(super->target_size) != b->target_size) {
		DMERR("%pg: metadata for a clone of %llu sectors, not %llu", b->bdev,
		      le64_to_cpu(super->target_size), (unsigned long long)b->target_size);
		*error = "Size of the clone is not that of the metadata device";
		return -EINVAL;
	}
	if (le64_to_cpu(super->regions) != b->regions ||
	    le64_to_cpu(super->bitmap) != CLONE_SUPERS * CLONE_BLOCK_SECTORS ||
	    le64_to_cpu(super->bitmap_sectors) != b->sectors) {
		*error = "Metadata device's superblock contradicts itself";
		return -EINVAL;
	}
	return 0;
}

/*
 *------------------------------------------------------------
 * Format, check, load
 *------------------------------------------------------------
 */

static int clone_bitmap_write_block(struct clone_bitmap *b, unsigned long block)
{
	struct clone_disk_sector *sectors;
	struct dm_buffer *buffer;
	unsigned long i, first = block * CLONE_BLOCK_SECTORS;

	sectors = dm_bufio_new(b->bufio, CLONE_SUPERS + block, &buffer);
	if (IS_ERR(sectors))
		return PTR_ERR(sectors);
	memset(sectors, 0, CLONE_BLOCK_SIZE);
	for (i = 0; i < CLONE_BLOCK_SECTORS && first + i < b->sectors; i++)
		clone_sector_fill(b, first + i, &sectors[i]);
	dm_bufio_mark_buffer_dirty(buffer);
	dm_bufio_release(buffer);
	return 0;
}

/* The superblocks come last: half a format is none. */
static int clone_bitmap_format(struct clone_bitmap *b)
{
	unsigned long block, blocks = clone_bitmap_blocks(b->sectors);
	int r;

	generate_random_uuid(b->uuid);
	for (block = 0; block < blocks; block++) {
		r = clone_bitmap_write_block(b, block);
		if (r)
			return r;
		cond_resched();
	}
	r = dm_bufio_write_dirty_buffers(b->bufio);
	if (!r)
		r = clone_super_write(b, 1, 1);
	if (!r)
		r = clone_super_write(b, 0, 1);
	/* As after a look at a bitmap: what is loaded is what is on the device by then. */
	dm_bufio_forget_buffers(b->bufio, 0, clone_bitmap_used_blocks(b));
	return r;
}

/* Takes a sector's bits into the bitmap. Returns how many are set. */
static unsigned int clone_sector_load(struct clone_bitmap *b, unsigned long index,
				      const struct clone_disk_sector *sector)
{
	unsigned long i, first = index * CLONE_SECTOR_WORDS;
	unsigned int set = 0;
	u64 word;

	for (i = 0; i < clone_sector_words(b, index); i++) {
		word = le64_to_cpu(sector->bits[i]);
		clone_map_set_word(b->hydrated, first + i, word);
		clone_map_set_word(b->staged, first + i, word);
		set += hweight64(word);
	}
	return set;
}

/* Reads all sectors; with @load, into the bitmap. */
static int clone_bitmap_read(struct clone_bitmap *b, bool load)
{
	unsigned long block, blocks = clone_bitmap_blocks(b->sectors), index, end;
	struct clone_disk_sector *sectors, *sector;
	struct dm_buffer *buffer;
	u64 set = 0;
	int r = 0;

	for (block = 0; block < blocks && !r; block++) {
		if (!(block % CLONE_LOAD_AHEAD))
			dm_bufio_prefetch(b->bufio, CLONE_SUPERS + block,
					  min_t(u64, CLONE_LOAD_AHEAD, blocks - block));
		sectors = dm_bufio_read(b->bufio, CLONE_SUPERS + block, &buffer);
		if (IS_ERR(sectors)) {
			DMERR("%pg: cannot read block %lu: error %ld", b->bdev,
			      CLONE_SUPERS + block, PTR_ERR(sectors));
			return PTR_ERR(sectors);
		}
		index = block * CLONE_BLOCK_SECTORS;
		end = min(index + CLONE_BLOCK_SECTORS, b->sectors);
		for (sector = sectors; index < end; index++, sector++) {
			if (!clone_sector_is_valid(b, index, sector)) {
				DMERR("%pg: bitmap sector %lu, of regions from %lu on, is damaged",
				      b->bdev, index, index * CLONE_SECTOR_REGIONS);
				r = -EILSEQ;
				break;
			}
			if (load)
				set += clone_sector_load(b, index, sector);
		}
		dm_bufio_release(buffer);
		cond_resched();
	}
	/* Until it is loaded the device may change. */
	dm_bufio_forget_buffers(b->bufio, 0, clone_bitmap_used_blocks(b));
	if (!r && load)
		percpu_counter_set(&b->count, set);
	return r;
}

/* Of the two superblocks, one is enough; the other one is made again. */
static int clone_bitmap_open(struct clone_bitmap *b, struct clone_disk_super *supers,
			     char **error)
{
	enum clone_super_state states[CLONE_SUPERS] = { };
	unsigned int copy, best = CLONE_SUPERS;
	u64 generation;
	int r;

	for (copy = 0; copy < CLONE_SUPERS; copy++) {
		r = clone_super_read(b, copy, &supers[copy], &states[copy]);
		if (r) {
			*error = "Cannot read the metadata device's superblock";
			return r;
		}
		if (states[copy] == CLONE_SUPER_VALID &&
		    (best == CLONE_SUPERS || le64_to_cpu(supers[copy].generation) >
					     le64_to_cpu(supers[best].generation)))
			best = copy;
	}

	if (best == CLONE_SUPERS) {
		*error = "Metadata device holds something else: zero its first 8 KiB to use it";
		if (states[0] == CLONE_SUPER_STOCK)
			*error = "Metadata device is one of dm-clone's: convert it with dmsc-clone";
		if (states[0] == CLONE_SUPER_BROKEN || states[1] == CLONE_SUPER_BROKEN)
			*error = "Metadata device's superblocks are damaged";
		if (states[0] != CLONE_SUPER_ZERO || states[1] != CLONE_SUPER_ZERO)
			return -EINVAL;
		r = clone_bitmap_format(b);
		if (r)
			*error = "Cannot write to the metadata device";
		return r;
	}

	r = clone_super_check(b, &supers[best], error);
	if (r)
		return r;
	memcpy(b->uuid, supers[best].uuid, sizeof(b->uuid));
	r = clone_bitmap_read(b, false);
	if (r) {
		*error = "Metadata device's bitmap cannot be read, or is damaged";
		return r;
	}

	generation = le64_to_cpu(supers[best].generation);
	for (copy = 0; copy < CLONE_SUPERS && !r; copy++) {
		if (!memcmp(&supers[copy], &supers[best], sizeof(supers[copy])))
			continue;
		DMWARN("%pg: writing copy %u of the superblock again", b->bdev, copy);
		r = clone_super_write(b, copy, generation);
		if (r)
			*error = "Cannot write to the metadata device";
	}
	return r;
}

int clone_bitmap_load(struct clone_bitmap *b)
{
	return clone_bitmap_read(b, true);
}

void clone_bitmap_adopt(struct clone_bitmap *b, const struct clone_bitmap *from)
{
	unsigned long i;
	u64 set = 0;

	for (i = 0; i < BITS_TO_LONGS(b->regions); i++) {
		b->hydrated[i] = from->hydrated[i];
		b->staged[i] = from->staged[i];
		set += hweight_long(b->hydrated[i]);
	}
	percpu_counter_set(&b->count, set);
	/* What the other one could not write may be anything that it has staged. */
	if (!clone_bitmap_is_clean(from)) {
		bitmap_fill(b->dirty, b->sectors);
		b->changed = true;
		b->unwritten = true;
	}
}

int clone_bitmap_verify(struct clone_bitmap *b)
{
	struct clone_disk_super super;
	enum clone_super_state state = CLONE_SUPER_FOREIGN;
	bool ours;
	int r;

	dm_bufio_forget(b->bufio, 0);
	r = clone_super_read(b, 0, &super, &state);
	if (r)
		return r;
	ours = state == CLONE_SUPER_VALID && !memcmp(super.uuid, b->uuid, sizeof(super.uuid));
	return ours ? 0 : -EINVAL;
}

/*
 *------------------------------------------------------------
 * Life
 *------------------------------------------------------------
 */

static unsigned long *clone_map_alloc(unsigned long bits)
{
	/* Whole 64-bit words, as on disk. */
	return kvcalloc(DIV_ROUND_UP(bits, 64), sizeof(u64), GFP_KERNEL);
}

static int clone_bitmap_alloc(struct clone_bitmap *b)
{
	b->hydrated = clone_map_alloc(b->regions);
	b->staged = clone_map_alloc(b->regions);
	b->dirty = clone_map_alloc(b->sectors);
	b->writing = clone_map_alloc(b->sectors);
	if (!b->hydrated || !b->staged || !b->dirty || !b->writing)
		return -ENOMEM;
	return percpu_counter_init(&b->count, 0, GFP_KERNEL);
}

void clone_bitmap_destroy(struct clone_bitmap *b)
{
	if (!IS_ERR_OR_NULL(b->bufio))
		dm_bufio_client_destroy(b->bufio);
	percpu_counter_destroy(&b->count);
	kvfree(b->writing);
	kvfree(b->dirty);
	kvfree(b->staged);
	kvfree(b->hydrated);
	kfree(b);
}

struct clone_bitmap *clone_bitmap_create(struct block_device *bdev, sector_t target_size,
					 sector_t region_size, char **error)
{
	struct clone_disk_super *supers;
	struct clone_bitmap *b;
	sector_t needed;
	int r;

	b = kzalloc(sizeof(*b), GFP_KERNEL);
	if (!b) {
		*error = "No memory for the clone's bitmap";
		return ERR_PTR(-ENOMEM);
	}
	b->bdev = bdev;
	b->region_size = region_size;
	b->target_size = target_size;
	b->regions = dm_sector_div_up(target_size, region_size);
	b->sectors = clone_bitmap_sectors(b->regions);

	needed = clone_bitmap_disk_sectors(b->regions);
	if (bdev_nr_sectors(bdev) < needed) {
		DMERR("%pg: metadata device has %llu sectors: must have %llu", bdev,
		      (unsigned long long)bdev_nr_sectors(bdev), (unsigned long long)needed);
		*error = "Metadata device is too small: see the kernel log for the size it needs";
		r = -ENOSPC;
		goto bad;
	}

	r = clone_bitmap_alloc(b);
	if (r) {
		*error = "No memory for the clone's bitmap";
		goto bad;
	}
	b->bufio = dm_bufio_client_create(bdev, CLONE_BLOCK_SIZE, 1, 0, NULL, NULL, 0);
	if (IS_ERR(b->bufio)) {
		*error = "No memory for the metadata device's buffers";
		r = PTR_ERR(b->bufio);
		goto bad;
	}
	supers = kcalloc(CLONE_SUPERS, sizeof(*supers), GFP_KERNEL);
	if (!supers) {
		*error = "No memory for the metadata device's superblocks";
		r = -ENOMEM;
		goto bad;
	}
	r = clone_bitmap_open(b, supers, error);
	kfree(supers);
	if (r)
		goto bad;
	return b;

bad:
	clone_bitmap_destroy(b);
	return ERR_PTR(r);
}

/*
 *------------------------------------------------------------
 * Changes and commits
 *------------------------------------------------------------
 */

void clone_bitmap_set(struct clone_bitmap *b, unsigned long region)
{
	unsigned long sector = region / CLONE_SECTOR_REGIONS;

	/* Who finds the bit finds the region's data. */
	smp_mb__before_atomic();
	if (test_and_set_bit(region, b->hydrated))
		return;
	percpu_counter_inc(&b->count);
	/*
	 * Pairs with the second barrier in clone_bitmap_stage(): either it sees the region, or we
	 * see that it has cleared the sector's bit.
	 */
	smp_mb();
	if (!test_bit(sector, b->dirty)) {
		set_bit(sector, b->dirty);
		/* With the first one: it sees the sector's bit, or we that it cleared @changed. */
		smp_mb__after_atomic();
	}
	if (!READ_ONCE(b->changed))
		WRITE_ONCE(b->changed, true);
}

static void clone_bitmap_stage_sector(struct clone_bitmap *b, unsigned long sector)
{
	unsigned long i, first = sector * CLONE_SECTOR_WORDS;

	for (i = first; i < first + clone_sector_words(b, sector); i++)
		clone_map_set_word(b->staged, i, clone_map_word(b->hydrated, i));
	set_bit(sector, b->writing);
}

bool clone_bitmap_stage(struct clone_bitmap *b)
{
	unsigned long sector;

	if (!READ_ONCE(b->changed))
		return READ_ONCE(b->unwritten);

	WRITE_ONCE(b->unwritten, true);
	/* Who finds nothing changed finds it unwritten, see clone_bitmap_is_clean(). */
	smp_wmb();
	WRITE_ONCE(b->changed, false);
	/* Pairs with the second barrier in clone_bitmap_set(). */
	smp_mb();
	for_each_set_bit(sector, b->dirty, b->sectors) {
		clear_bit(sector, b->dirty);
		/* Pairs with the first barrier in clone_bitmap_set(). */
		smp_mb__after_atomic();
		clone_bitmap_stage_sector(b, sector);
		cond_resched();
	}
	return true;
}

int clone_bitmap_write(struct clone_bitmap *b)
{
	unsigned long sector, block, last = ULONG_MAX;
	int r;

	for_each_set_bit(sector, b->writing, b->sectors) {
		block = sector / CLONE_BLOCK_SECTORS;
		if (block == last)
			continue;
		last = block;
		r = clone_bitmap_write_block(b, block);
		if (r)
			return r;
		cond_resched();
	}
	r = dm_bufio_write_dirty_buffers(b->bufio);
	if (r)
		return r;
	bitmap_zero(b->writing, b->sectors);
	/* What was staged is durable before anybody is told. */
	smp_wmb();
	WRITE_ONCE(b->unwritten, false);
	return 0;
}
