/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which regions of a clone are in the destination: a bitmap, in memory and on the metadata device.
 *
 * The format is described in docs/clone-format.md.
 */
#ifndef DM_CLONE_BITMAP_H
#define DM_CLONE_BITMAP_H

#include <linux/bitops.h>
#include <linux/percpu_counter.h>
#include <linux/types.h>

struct block_device;
struct dm_bufio_client;

/* The metadata device is used in blocks of so many sectors. */
#define CLONE_BLOCK_SECTORS		8
#define CLONE_BLOCK_SIZE		(CLONE_BLOCK_SECTORS << SECTOR_SHIFT)
/* Copies of the superblock, in as many blocks; the bitmap follows. */
#define CLONE_SUPERS			2

#define CLONE_DISK_MAGIC		"dm-clone-scaled\n"
#define CLONE_DISK_VERSION		1
#define CLONE_UUID_BYTES		16

/* Regions that a sector of the bitmap tells of. */
#define CLONE_SECTOR_WORDS		63
#define CLONE_SECTOR_REGIONS		(CLONE_SECTOR_WORDS * 64)

/* More would not fit into what counts regions. */
#define CLONE_MAX_REGIONS		BIT(31)

/**
 * struct clone_disk_super - superblock; the rest of its block is zero
 * @csum:       CRC32C of the sector behind it
 * @version:    CLONE_DISK_VERSION
 * @magic:      CLONE_DISK_MAGIC
 * @uuid:       of this format of the device; random
 * @generation: of two valid copies the one with the larger number counts
 * @region_size: sectors
 * @target_size: sectors
 * @regions:    number of them
 * @bitmap:     sector at which the bitmap begins
 * @bitmap_sectors: number of sectors that it takes
 * @flags:      0
 * @zero:       0
 */
struct clone_disk_super {
	__le32 csum;
	__le32 version;
	__u8 magic[16];
	__u8 uuid[CLONE_UUID_BYTES];
	__le64 generation;
	__le64 region_size;
	__le64 target_size;
	__le64 regions;
	__le64 bitmap;
	__le64 bitmap_sectors;
	__le64 flags;
	__u8 zero[512 - 96];
} __packed;

/**
 * struct clone_disk_sector - sector of the bitmap
 * @csum:  CRC32C of the UUID and of the sector behind this field
 * @index: number of the sector in the bitmap
 * @bits:  a bit for each region, the first one the lowest; 1: in the destination
 */
struct clone_disk_sector {
	__le32 csum;
	__le32 index;
	__le64 bits[CLONE_SECTOR_WORDS];
} __packed;

/*
 * Protocol of the bits
 * ====================
 *
 * A region, or a sector of the bitmap, has several bits. Each has one row here. A bit that others
 * act on is published last: a region's busy bit is cleared after all that a flush looks at is set.
 *
 *  bit                  set by                    cleared by             asked by
 *  ------------------   -----------------------   --------------------   -------------------------
 *  busy (clone.busy)    clone_region_claim()      clone_region_release() writes, others that claim
 *  hydrated (region)    clone_bitmap_set(), by    never                  reads: in the destination?
 *                       the owner of busy                                writes: with busy
 *  dirty (sector)       clone_bitmap_set()        clone_bitmap_stage()   clone_bitmap_stage()
 *  changed              clone_bitmap_set()        clone_bitmap_stage()   flushes
 *  unwritten            clone_bitmap_stage()      clone_bitmap_write()   flushes and FUA
 *  staged (region)      clone_bitmap_stage()      clone_bitmap_revert()  FUA; reads after a failed
 *                                                                        flush of the destination
 *  writing (sector)     clone_bitmap_stage()      clone_bitmap_write(),  the same two
 *                                                 clone_bitmap_revert()
 *
 * For a read, hydrated means that the destination has the data. For a write it is not enough: a
 * flush that follows the write must find "changed". So a write goes to the destination only if the
 * region is hydrated and not busy, and the order of the owner is
 *
 *	hydrated, dirty, changed, not busy
 *
 * Barriers, each with its pair:
 *
 *  [data]       before hydrated is set           /  acquire of hydrated: who finds the bit finds
 *                                                   the data
 *  [sector]     hydrated set, dirty tested       /  dirty cleared, hydrated copied (stage)
 *  [changed]    dirty set, changed tested        /  changed cleared, dirty scanned (stage)
 *  [busy]       release of busy                  /  acquire of busy: who finds the region settled
 *                                                   finds it changed, or staged since
 *  [unwritten]  unwritten set, changed cleared   /  changed tested, unwritten tested (is_clean)
 *  [staged]     unwritten set, staged set        /  acquire of staged, unwritten tested
 *                                                   (is_durable)
 *
 * [sector] and [changed] are full barriers on both sides, as each side writes one and reads the
 * other. [changed] is needed even if another CPU has set dirty, as that CPU may not have set
 * changed yet.
 */

/**
 * struct clone_bitmap - the regions' states
 * @bdev:        metadata device
 * @bufio:       reads and writes it; used by one thread at a time
 * @region_size: sectors
 * @target_size: sectors
 * @regions:     number of them
 * @sectors:     of the bitmap on disk
 * @uuid:        of the format
 * @hydrated:    bit for each region: what it should contain is in the destination
 * @staged:      bit for each region: it has been, or is being, written to the metadata device
 * @dirty:       bit for each sector on disk: @hydrated may have what @staged has not
 * @writing:     bit for each sector on disk: has to be written; changes in a commit only
 * @count:       number of regions set in @hydrated
 * @nr_staged:   number of regions set in @staged; changes in a commit only
 * @changed:     @dirty may have bits
 * @unwritten:   @staged may have bits that are not on disk
 *
 * Commits are serialized by whoever makes them. @changed and @unwritten are written when they
 * change, and so not for each region.
 */
struct clone_bitmap {
	struct block_device *bdev;
	struct dm_bufio_client *bufio;
	sector_t region_size;
	sector_t target_size;
	unsigned long regions;
	unsigned long sectors;
	u8 uuid[CLONE_UUID_BYTES];

	unsigned long *hydrated;
	unsigned long *staged;
	unsigned long *dirty;
	unsigned long *writing;
	struct percpu_counter count;
	u64 nr_staged;
	bool changed;
	bool unwritten;
};

/**
 * clone_bitmap_create() - open a metadata device, and format it if it begins with zeroes
 * @bdev:        metadata device
 * @target_size: sectors of the clone
 * @region_size: sectors, a power of two
 * @error:       set to a message if it cannot be used
 *
 * All that is on the device is checked, but nothing is loaded.
 *
 * Context: process context, may do I/O.
 * Return: the bitmap, without a region set, or an ERR_PTR().
 */
struct clone_bitmap *clone_bitmap_create(struct block_device *bdev, sector_t target_size,
					 sector_t region_size, char **error);

/**
 * clone_bitmap_destroy() - free a bitmap; nothing is written
 * @b: the bitmap
 */
void clone_bitmap_destroy(struct clone_bitmap *b);

/**
 * clone_bitmap_load() - read the regions' states from the metadata device
 * @b: the bitmap; nobody else uses it yet
 *
 * Context: process context, does I/O. Needs no memory but what the bitmap has.
 * Return: 0, or a negative error code.
 */
int clone_bitmap_load(struct clone_bitmap *b);

/**
 * clone_bitmap_adopt() - take the regions' states over from another bitmap of the same device
 * @b:    the bitmap; nobody else uses it yet
 * @from: the other one, which no longer changes
 *
 * Context: process context.
 */
void clone_bitmap_adopt(struct clone_bitmap *b, const struct clone_bitmap *from);

/**
 * clone_bitmap_verify() - look whether the metadata device still is what it was
 * @b: the bitmap
 *
 * One superblock must be the bitmap's own. The other one may be damaged or unreadable, but not
 * another format's, nor zero as somebody leaves it who wants a new clone.
 *
 * Context: process context, reads the superblocks.
 * Return: 0, or a negative error code.
 */
int clone_bitmap_verify(struct clone_bitmap *b);

/**
 * clone_bitmap_test() - whether a region is in the destination
 * @b:      the bitmap
 * @region: the region
 *
 * Context: any. What was written to the region before it was set is seen.
 */
static inline bool clone_bitmap_test(const struct clone_bitmap *b, unsigned long region)
{
	return test_bit_acquire(region, b->hydrated);
}

/**
 * clone_bitmap_set() - a region is in the destination from now on
 * @b:      the bitmap
 * @region: the region, whose data have been written there, or do not matter
 *
 * The caller owns the region's busy bit and clears it after this returns. Until then a flush may
 * not find the region, so no write that relies on @hydrated may be acknowledged.
 *
 * Context: any.
 */
void clone_bitmap_set(struct clone_bitmap *b, unsigned long region);

/**
 * clone_bitmap_next_unset() - find a region that is not in the destination
 * @b:    the bitmap
 * @from: where to begin
 *
 * Context: process context, as there may be 2^31 regions to look at.
 * Return: the first one from @from on, or the number of regions.
 */
unsigned long clone_bitmap_next_unset(const struct clone_bitmap *b, unsigned long from);

/**
 * clone_bitmap_is_complete() - whether all regions are in the destination
 * @b: the bitmap
 *
 * Says nothing about the metadata device, see clone_bitmap_is_committed().
 */
static inline bool clone_bitmap_is_complete(struct clone_bitmap *b)
{
	return percpu_counter_sum(&b->count) == b->regions;
}

/**
 * clone_bitmap_is_committed() - whether all regions are, on the metadata device as well
 * @b: the bitmap
 *
 * From then on nothing can change any more.
 *
 * Context: commits are excluded.
 */
static inline bool clone_bitmap_is_committed(const struct clone_bitmap *b)
{
	return b->nr_staged == b->regions && !b->unwritten;
}

/**
 * clone_bitmap_is_clean() - whether all that has been set is on the metadata device
 * @b: the bitmap
 *
 * Context: any.
 */
static inline bool clone_bitmap_is_clean(const struct clone_bitmap *b)
{
	bool changed = READ_ONCE(b->changed);

	/* [unwritten], with smp_wmb() in clone_bitmap_stage(). */
	smp_rmb();
	return !changed && !READ_ONCE(b->unwritten);
}

/**
 * clone_bitmap_is_durable() - whether a region's being in the destination is on the metadata device
 * @b:      the bitmap
 * @region: the region
 *
 * Context: any.
 */
static inline bool clone_bitmap_is_durable(const struct clone_bitmap *b, unsigned long region)
{
	/* [staged], with smp_mb() in clone_bitmap_stage(). */
	return test_bit_acquire(region, b->staged) && !READ_ONCE(b->unwritten);
}

/**
 * clone_bitmap_is_staged() - as clone_bitmap_is_durable(), after clone_bitmap_revert()
 * @b:      the bitmap
 * @region: the region
 *
 * Context: any; no commit is made any more.
 */
static inline bool clone_bitmap_is_staged(const struct clone_bitmap *b, unsigned long region)
{
	return test_bit_acquire(region, b->staged);
}

/**
 * clone_bitmap_stage() - first half of a commit: note what is to be written
 * @b: the bitmap
 *
 * Before the second half the destination must be flushed: what has been staged is then durable
 * there.
 *
 * Return: true if there is something to write.
 */
bool clone_bitmap_stage(struct clone_bitmap *b);

/**
 * clone_bitmap_write() - second half of a commit: make what was staged durable
 * @b: the bitmap
 *
 * After an error all that was not written stays staged, for another attempt.
 *
 * Context: process context, does I/O.
 * Return: 0, or a negative error code.
 */
int clone_bitmap_write(struct clone_bitmap *b);

/**
 * clone_bitmap_revert() - take back the first half of a commit, as the flush behind it failed
 * @b: the bitmap
 *
 * What is staged then is what the metadata device has. Regions that are hydrated beyond that
 * may have lost their data: see clone_bitmap_lost(). @unwritten stays set.
 *
 * Context: process context, reads what was to be written. Commits are excluded.
 * Return: 0, or a negative error code: what the metadata device has is not known.
 */
int clone_bitmap_revert(struct clone_bitmap *b);

/**
 * clone_bitmap_lost() - number of regions that are hydrated, but not staged
 * @b: the bitmap, after clone_bitmap_revert()
 *
 * Context: process context.
 */
unsigned long clone_bitmap_lost(const struct clone_bitmap *b);

/**
 * clone_bitmap_used_blocks() - blocks of the metadata device that are in use
 * @b: the bitmap
 */
u64 clone_bitmap_used_blocks(const struct clone_bitmap *b);

#endif /* DM_CLONE_BITMAP_H */
