/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The format of a persistent snapshot's COW device, which is stock's.
 *
 * The device is divided into chunks. The first holds the header; then come areas, each one chunk of
 * metadata and the chunks of data that its metadata can tell of:
 *
 *	+--------+--------+------+-----+------+--------+------+-----
 *	| header | area 0 | data | ... | data | area 1 | data | ...
 *	+--------+--------+------+-----+------+--------+------+-----
 *
 * A chunk of metadata is an array of exceptions, little endian. They are appended; the list ends
 * with the first whose chunk of the COW device is 0. An exception of any area may have its data
 * anywhere.
 *
 * Chunks of data are numbered without gaps by their index; exceptions on disk, in their order, by
 * their slot.
 */
#ifndef DM_SNAP_DISK_H
#define DM_SNAP_DISK_H

#include <linux/blkdev.h>
#include <linux/math64.h>

struct dm_kcopyd_mq_client;
struct snap_exceptions;
struct snap_store;

#define SNAP_DISK_MAGIC		0x70416e53
#define SNAP_DISK_VERSION	1

/* Before the first area. */
#define SNAP_HEADER_CHUNKS	1

/* A write of metadata: durable when it ends, and after all writes that have ended before it. */
#define SNAP_DISK_WRITE	(REQ_OP_WRITE | REQ_META | REQ_SYNC | REQ_PREFLUSH | REQ_FUA)

/**
 * struct snap_disk_header - what the first chunk begins with
 * @magic:      SNAP_DISK_MAGIC, or 0 if there is no snapshot yet
 * @valid:      0 if the snapshot has become unusable
 * @version:    SNAP_DISK_VERSION
 * @chunk_size: sectors
 */
struct snap_disk_header {
	__le32 magic;
	__le32 valid;
	__le32 version;
	__le32 chunk_size;
};

/**
 * struct snap_disk_exception - an exception in a chunk of metadata
 * @old: chunk of the origin
 * @new: chunk of the COW device; 0 ends the list
 */
struct snap_disk_exception {
	__le64 old;
	__le64 new;
};

/* log2 of the exceptions of an area. */
static inline unsigned int snap_area_shift(unsigned int chunk_size)
{
	BUILD_BUG_ON(sizeof(struct snap_disk_exception) != 16);
	return __ffs(chunk_size) + SECTOR_SHIFT - 4;
}

/*
 * An area may be long: exceptions are appended to it in blocks, of which one write fills some at
 * most, and zeroes one more.
 */
#define SNAP_MAX_BLOCK		4096U
#define SNAP_WINDOW_BLOCKS	4U

/* Bytes of a block. */
static inline unsigned int snap_disk_block(unsigned int chunk_size)
{
	return min_t(u64, (u64)chunk_size << SECTOR_SHIFT, SNAP_MAX_BLOCK);
}

/* Exceptions that one write appends, at most, if it begins with a block. */
static inline unsigned int snap_disk_window(unsigned int chunk_size)
{
	unsigned int entries = snap_disk_block(chunk_size) / sizeof(struct snap_disk_exception);

	return min(SNAP_WINDOW_BLOCKS * entries, 1U << snap_area_shift(chunk_size));
}

/* The chunk that holds an area's metadata. */
static inline u64 snap_area_chunk(unsigned int area_shift, u64 area)
{
	return SNAP_HEADER_CHUNKS + area * ((1ULL << area_shift) + 1);
}

/* Chunks of metadata of a list of exceptions: the area in which it ends is one of them. */
static inline u64 snap_metadata_chunks(unsigned int area_shift, u64 exceptions)
{
	return SNAP_HEADER_CHUNKS + 1 + (exceptions >> area_shift);
}

/* The chunk of data with an index. */
static inline u64 snap_data_chunk(unsigned int area_shift, u64 index)
{
	return snap_metadata_chunks(area_shift, index) + index;
}

/* The index of a chunk; false if it is not one of data. */
static inline bool snap_data_index(unsigned int area_shift, u64 chunk, u64 *index)
{
	u64 area, offset;

	if (chunk <= SNAP_HEADER_CHUNKS)
		return false;
	area = div64_u64_rem(chunk - SNAP_HEADER_CHUNKS, (1ULL << area_shift) + 1, &offset);
	*index = (area << area_shift) + offset - 1;
	return offset;
}

/*
 * Chunks of data of a device. Before an area's last slot is used there must be a next area, as its
 * list of exceptions does not end by itself: where the device ends with an area, one chunk stays
 * unused.
 */
static inline u64 snap_data_capacity(unsigned int area_shift, u64 chunks)
{
	u64 areas, rest;

	if (chunks <= SNAP_HEADER_CHUNKS + 1)
		return 0;
	areas = div64_u64_rem(chunks - SNAP_HEADER_CHUNKS, (1ULL << area_shift) + 1, &rest);
	return (areas << area_shift) + rest - 1;
}

/**
 * struct snap_disk_info - what the header says
 * @fresh:      there is no snapshot yet
 * @valid:      the snapshot is usable
 * @chunk_size: sectors of a chunk
 */
struct snap_disk_info {
	bool fresh;
	bool valid;
	unsigned int chunk_size;
};

/**
 * struct snap_disk_end - where the list of exceptions on disk ends
 * @slots: exceptions in it
 * @stale: something follows the end that must be overwritten before the list grows
 */
struct snap_disk_end {
	u64 slots;
	bool stale;
};

/**
 * snap_disk_io() - read or write some blocks and wait
 * @bdev:   device
 * @opf:    operation and flags
 * @sector: where
 * @data:   in the kernel's linear mapping
 * @bytes:  a multiple of the logical block size
 *
 * Context: process context, not in a map function.
 * Return: 0 or a negative error.
 */
int snap_disk_io(struct block_device *bdev, blk_opf_t opf, sector_t sector, void *data,
		 unsigned int bytes);

/**
 * snap_disk_read_header() - find out what is on a COW device
 * @bdev:  COW device
 * @info:  set; if @info->fresh only that is
 * @error: set to a message if this fails
 *
 * The chunk size is what the disk says, and may be nonsense.
 *
 * Context: process context, not in a map function.
 * Return: 0; -ENXIO if something else is there, -EINVAL for an unknown version, or an I/O error.
 */
int snap_disk_read_header(struct block_device *bdev, struct snap_disk_info *info, char **error);

/**
 * snap_disk_header_bytes() - size of what snap_disk_write_header() writes
 * @bdev: COW device
 */
static inline unsigned int snap_disk_header_bytes(struct block_device *bdev)
{
	return bdev_logical_block_size(bdev);
}

/**
 * snap_disk_write_header() - write the header and wait until it is durable
 * @bdev:       COW device
 * @chunk_size: sectors of a chunk
 * @valid:      whether the snapshot is usable
 * @buffer:     snap_disk_header_bytes() for the time of the call
 *
 * Context: process context, not in a map function; allocates nothing.
 * Return: 0 or a negative error.
 */
int snap_disk_write_header(struct block_device *bdev, unsigned int chunk_size, bool valid,
			   void *buffer);

/**
 * snap_disk_format() - make a COW device that of an empty snapshot
 * @bdev:       COW device
 * @chunk_size: sectors of a chunk
 * @kcopyd:     writes zeroes
 *
 * Context: process context, not in a map function.
 * Return: 0 or a negative error.
 */
int snap_disk_format(struct block_device *bdev, unsigned int chunk_size,
		     struct dm_kcopyd_mq_client *kcopyd);

/**
 * snap_disk_load() - read the exceptions of a snapshot
 * @store:      the store, unused; from then on it hands out the chunks that are not in use, those
 *              between used ones first
 * @exceptions: table that is to have them
 * @end:        set to where they end
 * @error:      set to a message if this fails
 *
 * Context: process context, not in a map function.
 * Return: 0; -EUCLEAN if they cannot be right, -ENOMEM, or an I/O error.
 */
int snap_disk_load(struct snap_store *store, struct snap_exceptions *exceptions,
		   struct snap_disk_end *end, char **error);

#endif /* DM_SNAP_DISK_H */
