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
#include <linux/delay.h>
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
#include "dm-scaled-delay.h"

/* Blocks that are read ahead while the bitmap is loaded. */
#define CLONE_LOAD_AHEAD	64
/* A sector that is wrong is read so often again, after 1 ms, 2 ms and so on. */
#define CLONE_READ_AGAIN	8
/* Regions and words of the bitmap that are looked at between two calls of cond_resched(). */
#define CLONE_SCAN_REGIONS	BIT(20)
#define CLONE_SCAN_WORDS	(CLONE_SCAN_REGIONS / BITS_PER_LONG)

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

/* Takes a sector's bits for those on disk. */
static void clone_sector_take_staged(struct clone_bitmap *b, unsigned long index,
				     const struct clone_disk_sector *sector)
{
	unsigned long i, first = index * CLONE_SECTOR_WORDS;
	u64 word;

	for (i = 0; i < clone_sector_words(b, index); i++) {
		word = le64_to_cpu(sector->bits[i]);
		b->nr_staged += hweight64(word);
		b->nr_staged -= hweight64(clone_map_word(b->staged, first + i));
		clone_map_set_word(b->staged, first + i, word);
	}
}

/* Takes a sector's bits into the bitmap. */
static void clone_sector_load(struct clone_bitmap *b, unsigned long index,
			      const struct clone_disk_sector *sector)
{
	unsigned long i, first = index * CLONE_SECTOR_WORDS;

	for (i = 0; i < clone_sector_words(b, index); i++)
		clone_map_set_word(b->hydrated, first + i, le64_to_cpu(sector->bits[i]));
	clone_sector_take_staged(b, index, sector);
}

static unsigned int clone_sector_weight(const struct clone_disk_sector *sector)
{
	unsigned int i, set = 0;

	for (i = 0; i < CLONE_SECTOR_WORDS; i++)
		set += hweight64(le64_to_cpu(sector->bits[i]));
	return set;
}

/* Number of the first sector of a block that is wrong, or that of the one behind its last. */
static unsigned long clone_block_check(const struct clone_bitmap *b, unsigned long block,
				       const struct clone_disk_sector *sectors)
{
	unsigned long first = block * CLONE_BLOCK_SECTORS, index;
	unsigned long end = min(first + CLONE_BLOCK_SECTORS, b->sectors);

	for (index = first; index < end; index++)
		if (!clone_sector_is_valid(b, index, &sectors[index - first]))
			break;
	return index;
}

/*
 * Gets a block of the bitmap. A table is loaded while the old one of the device may write the block
 * in place. A read at the same time may find a sector that is half old and half new, on devices
 * whose writes of a sector are not atomic to readers. So a sector that is wrong is read again, and
 * is damaged only if it stays wrong.
 */
static struct clone_disk_sector *clone_block_read(struct clone_bitmap *b, unsigned long block,
						  struct dm_buffer **buffer)
{
	unsigned long end = min((block + 1) * CLONE_BLOCK_SECTORS, b->sectors), wrong;
	struct clone_disk_sector *sectors;
	unsigned int again = 0;

	for (;;) {
		sectors = dm_bufio_read(b->bufio, CLONE_SUPERS + block, buffer);
		if (IS_ERR(sectors)) {
			DMERR("%pg: cannot read block %lu: error %ld", b->bdev,
			      CLONE_SUPERS + block, PTR_ERR(sectors));
			return sectors;
		}
		wrong = clone_block_check(b, block, sectors);
		if (wrong == end)
			return sectors;
		dm_bufio_release(*buffer);
		if (again == CLONE_READ_AGAIN) {
			DMERR("%pg: bitmap sector %lu, of regions from %lu on, is damaged",
			      b->bdev, wrong, wrong * CLONE_SECTOR_REGIONS);
			return ERR_PTR(-EILSEQ);
		}
		msleep(1 << again++);
		dm_bufio_forget(b->bufio, CLONE_SUPERS + block);
	}
}

/* Reads all sectors, and counts the bits that are set; with @load, into the bitmap. */
static int clone_bitmap_read(struct clone_bitmap *b, bool load, u64 *set)
{
	unsigned long block, blocks = clone_bitmap_blocks(b->sectors), index, end;
	struct clone_disk_sector *sectors, *sector;
	struct dm_buffer *buffer;
	int r = 0;

	*set = 0;
	for (block = 0; block < blocks; block++) {
		if (!(block % CLONE_LOAD_AHEAD))
			dm_bufio_prefetch(b->bufio, CLONE_SUPERS + block,
					  min_t(u64, CLONE_LOAD_AHEAD, blocks - block));
		sectors = clone_block_read(b, block, &buffer);
		if (IS_ERR(sectors)) {
			r = PTR_ERR(sectors);
			break;
		}
		index = block * CLONE_BLOCK_SECTORS;
		end = min(index + CLONE_BLOCK_SECTORS, b->sectors);
		for (sector = sectors; index < end; index++, sector++) {
			*set += clone_sector_weight(sector);
			if (load)
				clone_sector_load(b, index, sector);
		}
		dm_bufio_release(buffer);
		cond_resched();
	}
	/* Until the next read the device may change, whether this one has failed or not. */
	dm_bufio_forget_buffers(b->bufio, 0, clone_bitmap_used_blocks(b));
	return r;
}

/* Of the two superblocks, one is enough; the other one is made again. */
static int clone_bitmap_open(struct clone_bitmap *b, struct clone_disk_super *supers,
			     char **error)
{
	enum clone_super_state states[CLONE_SUPERS] = { };
	unsigned int copy, best = CLONE_SUPERS;
	u64 generation, set;
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
	if (!r) {
		memcpy(b->uuid, supers[best].uuid, sizeof(b->uuid));
		r = clone_bitmap_read(b, false, &set);
		if (r)
			*error = "Metadata device's bitmap cannot be read, or is damaged";
	}
	/*
	 * Zeroing 4 KiB begins a new clone of dm-clone's. Going on with superblock 1 would take the
	 * destination's old data for the new clone's. An empty bitmap is that of a new clone.
	 */
	if (states[0] == CLONE_SUPER_ZERO && (r || set)) {
		*error = "Zero 8 KiB of metadata, not 4, for a new clone; or use dmsc-clone repair";
		return -EINVAL;
	}
	if (r)
		return r;

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
	u64 set;
	int r = clone_bitmap_read(b, true, &set);

	if (!r)
		percpu_counter_set(&b->count, set);
	return r;
}

void clone_bitmap_adopt(struct clone_bitmap *b, const struct clone_bitmap *from)
{
	unsigned long i;
	u64 set = 0;

	for (i = 0; i < BITS_TO_LONGS(b->regions); i++) {
		b->hydrated[i] = from->hydrated[i];
		b->staged[i] = from->staged[i];
		set += hweight_long(b->hydrated[i]);
		if (!(i % CLONE_SCAN_WORDS))
			cond_resched();
	}
	percpu_counter_set(&b->count, set);
	b->nr_staged = from->nr_staged;
	/* What the other one could not write may be anything that it has staged. */
	if (!clone_bitmap_is_clean(from)) {
		bitmap_fill(b->dirty, b->sectors);
		b->changed = true;
		b->unwritten = true;
	}
}

int clone_bitmap_verify(struct clone_bitmap *b)
{
	enum clone_super_state state = CLONE_SUPER_BROKEN;
	struct clone_disk_super super;
	bool ours = false;
	unsigned int copy;
	int r, error = -EINVAL;

	for (copy = 0; copy < CLONE_SUPERS; copy++) {
		dm_bufio_forget(b->bufio, copy);
		r = clone_super_read(b, copy, &super, &state);
		if (r)
			error = r;
		else if (state == CLONE_SUPER_VALID &&
			 !memcmp(super.uuid, b->uuid, sizeof(super.uuid)))
			ours = true;
		else if (state != CLONE_SUPER_BROKEN)
			return -EINVAL;
	}
	return ours ? 0 : error;
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

	dm_scaled_delay("clone-bitmap:set-hydrated");
	/* [data] */
	smp_mb__before_atomic();
	if (test_and_set_bit(region, b->hydrated))
		return;
	percpu_counter_inc(&b->count);
	dm_scaled_delay("clone-bitmap:set-dirty");
	/* [sector]: the stage sees the region, or this sees that the sector's bit is cleared. */
	smp_mb();
	if (!test_bit(sector, b->dirty))
		set_bit(sector, b->dirty);
	dm_scaled_delay("clone-bitmap:set-changed");
	/* [changed]: the stage sees the sector's bit, or this sees that @changed is cleared. */
	smp_mb();
	if (!READ_ONCE(b->changed))
		WRITE_ONCE(b->changed, true);
}

unsigned long clone_bitmap_next_unset(const struct clone_bitmap *b, unsigned long from)
{
	unsigned long end, region;

	while (from < b->regions) {
		end = min(b->regions, from + CLONE_SCAN_REGIONS);
		region = find_next_zero_bit(b->hydrated, end, from);
		if (region < end)
			return region;
		from = end;
		cond_resched();
	}
	return b->regions;
}

static void clone_bitmap_stage_sector(struct clone_bitmap *b, unsigned long sector)
{
	unsigned long i, first = sector * CLONE_SECTOR_WORDS;
	u64 word;

	for (i = first; i < first + clone_sector_words(b, sector); i++) {
		word = clone_map_word(b->hydrated, i);
		b->nr_staged += hweight64(word);
		b->nr_staged -= hweight64(clone_map_word(b->staged, i));
		clone_map_set_word(b->staged, i, word);
	}
	set_bit(sector, b->writing);
}

bool clone_bitmap_stage(struct clone_bitmap *b)
{
	unsigned long sector;

	if (!READ_ONCE(b->changed))
		return READ_ONCE(b->unwritten);

	WRITE_ONCE(b->unwritten, true);
	/* [unwritten]: a flush that finds nothing changed finds it unwritten. */
	smp_wmb();
	WRITE_ONCE(b->changed, false);
	dm_scaled_delay("clone-bitmap:stage-dirty");
	/* [changed], [staged] */
	smp_mb();
	for_each_set_bit(sector, b->dirty, b->sectors) {
		clear_bit(sector, b->dirty);
		dm_scaled_delay("clone-bitmap:stage-sector");
		/* [sector] */
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
	dm_scaled_delay("clone-bitmap:clear-unwritten");
	/* What was staged is durable before anybody is told. */
	smp_wmb();
	WRITE_ONCE(b->unwritten, false);
	return 0;
}

/* Takes back what has been staged of a block. */
static int clone_bitmap_revert_block(struct clone_bitmap *b, unsigned long block)
{
	unsigned long first = block * CLONE_BLOCK_SECTORS, index;
	unsigned long end = min(first + CLONE_BLOCK_SECTORS, b->sectors);
	struct clone_disk_sector *sectors;
	struct dm_buffer *buffer;

	/* After a write that failed the buffer has what the device may not have. */
	dm_bufio_forget(b->bufio, CLONE_SUPERS + block);
	sectors = clone_block_read(b, block, &buffer);
	if (IS_ERR(sectors))
		return PTR_ERR(sectors);
	for (index = first; index < end; index++)
		clone_sector_take_staged(b, index, &sectors[index - first]);
	dm_bufio_release(buffer);
	return 0;
}

/*
 * Each bit on the device follows a flush of the destination that succeeded. That holds for writes
 * of the bitmap that failed as well, since the flush comes before the first attempt.
 */
int clone_bitmap_revert(struct clone_bitmap *b)
{
	unsigned long sector, block, last = ULONG_MAX;
	int r;

	for_each_set_bit(sector, b->writing, b->sectors) {
		block = sector / CLONE_BLOCK_SECTORS;
		if (block == last)
			continue;
		last = block;
		r = clone_bitmap_revert_block(b, block);
		if (r)
			return r;
		cond_resched();
	}
	bitmap_zero(b->writing, b->sectors);
	return 0;
}

unsigned long clone_bitmap_lost(const struct clone_bitmap *b)
{
	unsigned long i, lost = 0;

	for (i = 0; i < BITS_TO_LONGS(b->regions); i++) {
		lost += hweight_long(READ_ONCE(b->hydrated[i]) & ~READ_ONCE(b->staged[i]));
		if (!(i % CLONE_SCAN_WORDS))
			cond_resched();
	}
	return lost;
}
