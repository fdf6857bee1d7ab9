// SPDX-License-Identifier: GPL-2.0-only
/*
 * A persistent snapshot's COW device: header, formatting, loading.
 *
 * What is loaded may be anything. What cannot be right is -EUCLEAN: a chunk that two exceptions
 * claim, that is not one of data, or that is not on the device, and a list that does not end. The
 * kernel's log then says where it is.
 */
#define DM_MSG_PREFIX "snap-disk"

#include <linux/completion.h>
#include <linux/dm-bufio.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "dm-kcopyd-mq.h"
#include "dm-snap-disk.h"
#include "dm-snap-exception.h"
#include "dm-snap-store.h"
#include "dm-snap-used.h"

/* Metadata is read in blocks of at most this size, some of them ahead. */
#define SNAP_LOAD_BLOCK		SZ_64K
#define SNAP_LOAD_AHEAD		12
/* Exceptions that are sorted at a time: 16 KiB of them at first, and 16 MiB at most. */
#define SNAP_LOAD_BATCH_MIN	SZ_1K
#define SNAP_LOAD_BATCH_MAX	SZ_1M
/* Bits by which they are sorted at a time: their counters are on the stack. */
#define SNAP_LOAD_DIGIT_BITS	7
#define SNAP_LOAD_DIGIT_MASK	(BIT(SNAP_LOAD_DIGIT_BITS) - 1)

int snap_disk_io(struct block_device *bdev, blk_opf_t opf, sector_t sector, void *data,
		 unsigned int bytes)
{
	struct bio_vec vec;
	struct bio bio;
	int r;

	bio_init(&bio, bdev, &vec, 1, opf);
	bio.bi_iter.bi_sector = sector;
	__bio_add_page(&bio, virt_to_page(data), bytes, offset_in_page(data));
	r = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return r;
}

int snap_disk_read_header(struct block_device *bdev, struct snap_disk_info *info, char **error)
{
	unsigned int bytes = snap_disk_header_bytes(bdev);
	struct snap_disk_header *header;
	int r;

	header = kzalloc(bytes, GFP_KERNEL);
	if (!header) {
		*error = "No memory for the COW device's header";
		return -ENOMEM;
	}

	r = snap_disk_io(bdev, REQ_OP_READ | REQ_META, 0, header, bytes);
	if (r) {
		*error = "Cannot read the COW device's header";
		goto out;
	}

	info->fresh = !header->magic;
	if (info->fresh)
		goto out;
	if (le32_to_cpu(header->magic) != SNAP_DISK_MAGIC) {
		*error = "COW device holds no snapshot: zero its first sectors to make one";
		r = -ENXIO;
		goto out;
	}
	if (le32_to_cpu(header->version) != SNAP_DISK_VERSION) {
		*error = "COW device's format has an unknown version: must be 1";
		r = -EINVAL;
		goto out;
	}
	info->valid = header->valid;
	info->chunk_size = le32_to_cpu(header->chunk_size);
out:
	kfree(header);
	return r;
}

int snap_disk_write_header(struct block_device *bdev, unsigned int chunk_size, bool valid,
			   void *buffer)
{
	unsigned int bytes = snap_disk_header_bytes(bdev);
	struct snap_disk_header *header = buffer;

	memset(buffer, 0, bytes);
	header->magic = cpu_to_le32(SNAP_DISK_MAGIC);
	header->valid = cpu_to_le32(valid);
	header->version = cpu_to_le32(SNAP_DISK_VERSION);
	header->chunk_size = cpu_to_le32(chunk_size);
	return snap_disk_io(bdev, SNAP_DISK_WRITE, 0, buffer, bytes);
}

/**
 * struct snap_zeroing - a wait for zeroes to be written
 * @done:  completed at the end
 * @error: how it ended
 */
struct snap_zeroing {
	struct completion done;
	int error;
};

static void snap_zeroing_done(int read_err, unsigned long write_err, void *context)
{
	struct snap_zeroing *zeroing = context;

	zeroing->error = write_err ? -EIO : 0;
	complete(&zeroing->done);
}

int snap_disk_format(struct block_device *bdev, unsigned int chunk_size,
		     struct dm_kcopyd_mq_client *kcopyd)
{
	struct dm_io_region region = {
		.bdev = bdev,
		.count = (sector_t)chunk_size * (SNAP_HEADER_CHUNKS + 1),
	};
	struct snap_zeroing zeroing;
	void *buffer;
	int r;

	if (region.count > bdev_nr_sectors(bdev))
		return -ENOSPC;
	buffer = kmalloc(snap_disk_header_bytes(bdev), GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;

	/* The header comes last, and makes all before it durable: half a format is none. */
	init_completion(&zeroing.done);
	dm_kcopyd_mq_zero(kcopyd, 1, &region, 0, snap_zeroing_done, &zeroing);
	wait_for_completion(&zeroing.done);
	r = zeroing.error;
	if (!r)
		r = snap_disk_write_header(bdev, chunk_size, true, buffer);

	kfree(buffer);
	return r;
}

/**
 * struct snap_loader - the loading of a snapshot's exceptions
 * @store:       the store
 * @exceptions:  table that gets them
 * @bufio:       reads metadata, in blocks
 * @block_shift: log2 of the exceptions in a block
 * @end:         of the list
 * @used:        chunks of data in use, by index
 * @batch:       exceptions that are not yet in the table
 * @sorted:      room for as many, for sorting
 * @nr:          number of exceptions in @batch
 * @size:        how many there is room for
 * @ascending:   chunks of the origin in @batch are in ascending order
 * @error:       message
 */
struct snap_loader {
	struct snap_store *store;
	struct snap_exceptions *exceptions;
	struct dm_bufio_client *bufio;
	unsigned int block_shift;
	struct snap_disk_end *end;
	struct snap_used used;
	struct snap_exception *batch;
	struct snap_exception *sorted;
	size_t nr;
	size_t size;
	bool ascending;
	char **error;
};

/* Marks a chunk of data as used. Returns 1 if it was already, or an error. */
static int snap_load_mark(struct snap_loader *l, u64 index)
{
	int r = snap_used_set(&l->used, index);

	if (r == -ENOMEM)
		*l->error = "No memory for the map of used chunks";
	return r;
}

/* The sector of the slot that comes next. */
static sector_t snap_load_sector(const struct snap_loader *l)
{
	unsigned int shift = l->store->area_shift;
	u64 chunk = snap_area_chunk(shift, l->end->slots >> shift);
	u64 offset = l->end->slots & ((1ULL << shift) - 1);

	return (chunk << l->store->chunk_shift) +
	       (offset * sizeof(struct snap_disk_exception) >> SECTOR_SHIFT);
}

static int snap_load_corrupt(struct snap_loader *l, u64 old, u64 new, const char *what)
{
	DMERR("%pg: Exception %llu, in sector %llu, of chunk %llu in chunk %llu: %s",
	      l->store->cow, l->end->slots, (unsigned long long)snap_load_sector(l), old, new,
	      what);
	*l->error = "COW device is corrupt: see the kernel's log";
	return -EUCLEAN;
}

/* Where a block of metadata is, in blocks of the device. */
static u64 snap_load_position(const struct snap_loader *l, u64 block)
{
	unsigned int shift = l->store->area_shift - l->block_shift;
	u64 area = block >> shift;

	return (snap_area_chunk(l->store->area_shift, area) << shift) +
	       (block & ((1ULL << shift) - 1));
}

static bool snap_load_on_device(const struct snap_loader *l, u64 block)
{
	u64 chunk = snap_area_chunk(l->store->area_shift,
				    block >> (l->store->area_shift - l->block_shift));

	return chunk < snap_store_chunks(l->store);
}

/*
 * Exceptions are collected and sorted before they are added: those of a group, which are anywhere
 * in the list if writes were scattered, are added at once, and what the caches have of it is used.
 * The first batches are small, so that what sorting needs is in proportion to the list.
 */

static void snap_load_free_batch(struct snap_loader *l)
{
	kvfree(l->batch);
	kvfree(l->sorted);
	l->batch = NULL;
	l->sorted = NULL;
	l->size = 0;
}

/* The next batch is to be larger, if there is memory. */
static int snap_load_new_batch(struct snap_loader *l)
{
	size_t size = clamp_t(size_t, 2 * l->size, SNAP_LOAD_BATCH_MIN, SNAP_LOAD_BATCH_MAX);
	/* A larger one is for speed, and nobody's memory is to be taken for it. */
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | (l->size ? __GFP_NORETRY : 0);
	struct snap_exception *batch, *sorted;

	l->nr = 0;
	l->ascending = true;
	if (size == l->size)
		return 0;

	batch = kvmalloc_array(size, sizeof(*batch), gfp);
	sorted = kvmalloc_array(size, sizeof(*sorted), gfp);
	if (batch && sorted) {
		snap_load_free_batch(l);
		l->batch = batch;
		l->sorted = sorted;
		l->size = size;
		return 0;
	}
	kvfree(batch);
	kvfree(sorted);
	if (l->size)
		return 0;
	*l->error = "No memory for the exceptions";
	return -ENOMEM;
}

/* Sorts by some bits of the chunk of the origin; those that are equal in them keep their order. */
static void snap_load_sort_digit(struct snap_loader *l, unsigned int shift)
{
	u32 ends[1 << SNAP_LOAD_DIGIT_BITS] = {}, sum = 0;
	size_t i;

	for (i = 0; i < l->nr; i++)
		ends[l->batch[i].old >> shift & SNAP_LOAD_DIGIT_MASK]++;
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		sum += ends[i];
		ends[i] = sum - ends[i];
	}
	for (i = 0; i < l->nr; i++)
		l->sorted[ends[l->batch[i].old >> shift & SNAP_LOAD_DIGIT_MASK]++] = l->batch[i];
	swap(l->batch, l->sorted);
}

static void snap_load_sort(struct snap_loader *l)
{
	unsigned int shift;
	u64 differ = 0;
	size_t i;

	for (i = 1; i < l->nr; i++)
		differ |= l->batch[i].old ^ l->batch[0].old;
	for (shift = 0; shift < 64; shift += SNAP_LOAD_DIGIT_BITS) {
		if (differ >> shift & SNAP_LOAD_DIGIT_MASK)
			snap_load_sort_digit(l, shift);
		cond_resched();
	}
}

/* Says where the list has the second exception of a chunk of the origin. */
static int snap_load_twice(struct snap_loader *l, u64 old)
{
	unsigned int i, nr = 1U << l->block_shift, found = 0;
	const struct snap_disk_exception *table;
	struct dm_buffer *buffer;
	u64 block;

	for (block = 0; snap_load_on_device(l, block) && found < 2; block++) {
		table = dm_bufio_read(l->bufio, snap_load_position(l, block), &buffer);
		if (IS_ERR(table)) {
			*l->error = "Cannot read the COW device's metadata";
			return PTR_ERR(table);
		}
		for (i = 0; i < nr && found < 2; i++) {
			if (le64_to_cpu(table[i].old) != old || !table[i].new)
				continue;
			l->end->slots = (block << l->block_shift) + i;
			if (++found == 2)
				snap_load_corrupt(l, old, le64_to_cpu(table[i].new),
						  "that chunk of the origin has another one");
		}
		dm_bufio_release(buffer);
		dm_bufio_forget(l->bufio, snap_load_position(l, block));
		cond_resched();
	}
	*l->error = "COW device is corrupt: see the kernel's log";
	return -EUCLEAN;
}

/* Adds the batch. */
static int snap_load_add(struct snap_loader *l)
{
	u64 twice;
	int r;

	if (!l->ascending)
		snap_load_sort(l);
	r = snap_exception_add_sorted(l->exceptions, l->batch, l->nr, &twice);
	if (r == -EEXIST)
		return snap_load_twice(l, twice);
	if (r)
		*l->error = "No memory for the exceptions";
	return r;
}

static int snap_load_exception(struct snap_loader *l, const struct snap_disk_exception *de)
{
	u64 old = le64_to_cpu(de->old), new = le64_to_cpu(de->new), index;
	int r;

	if (!snap_data_index(l->store->area_shift, new, &index))
		return snap_load_corrupt(l, old, new, "that is no chunk of data");
	if (new >= snap_store_chunks(l->store))
		return snap_load_corrupt(l, old, new, "the device ends before it");
	r = snap_load_mark(l, index);
	if (r < 0)
		return r;
	if (r)
		return snap_load_corrupt(l, old, new, "another exception has that chunk");

	if (l->nr == l->size) {
		r = snap_load_add(l) ?: snap_load_new_batch(l);
		if (r)
			return r;
	}
	l->ascending &= !l->nr || l->batch[l->nr - 1].old < old;
	l->batch[l->nr++] = (struct snap_exception) { old, new };
	l->end->slots++;
	return 0;
}

static void snap_load_ahead(const struct snap_loader *l, u64 block)
{
	if (snap_load_on_device(l, block))
		dm_bufio_prefetch(l->bufio, snap_load_position(l, block), 1);
}

/* A torn write may have left something behind the end: whether it has, as far as that may be. */
static int snap_load_check_tail(struct snap_loader *l, const struct snap_disk_exception *table)
{
	u64 last = l->end->slots + snap_disk_window(l->store->chunk_size) - 1, slot = l->end->slots;
	u64 area = slot >> l->store->area_shift, block = slot >> l->block_shift;
	struct dm_buffer *buffer = NULL;
	u64 i, nr = 1ULL << l->block_shift;
	int r = 0;

	last = min(last, ((area + 1) << l->store->area_shift) - 1);
	while (slot <= last && !l->end->stale) {
		for (i = slot & (nr - 1); i < nr && slot <= last; i++, slot++)
			if (table[i].old || table[i].new)
				l->end->stale = true;
		if (buffer)
			dm_bufio_release(buffer);
		buffer = NULL;
		if (slot > last || l->end->stale)
			break;
		block++;
		table = dm_bufio_read(l->bufio, snap_load_position(l, block), &buffer);
		if (IS_ERR(table)) {
			r = PTR_ERR(table);
			*l->error = "Cannot read the COW device's metadata";
			break;
		}
	}
	return r;
}

static int snap_load_list(struct snap_loader *l)
{
	const struct snap_disk_exception *table;
	unsigned int i, nr = 1U << l->block_shift;
	struct dm_buffer *buffer;
	bool ended = false;
	u64 block;
	int r = 0;

	for (block = 0; block < SNAP_LOAD_AHEAD; block++)
		snap_load_ahead(l, block);

	for (block = 0; !ended; block++) {
		if (!snap_load_on_device(l, block)) {
			DMERR("%pg: List of %llu exceptions goes on in sector %llu, beyond the end",
			      l->store->cow, l->end->slots,
			      (unsigned long long)snap_load_sector(l));
			*l->error = "COW device is corrupt: its list of exceptions does not end";
			return -EUCLEAN;
		}
		snap_load_ahead(l, block + SNAP_LOAD_AHEAD);
		table = dm_bufio_read(l->bufio, snap_load_position(l, block), &buffer);
		if (IS_ERR(table)) {
			*l->error = "Cannot read the COW device's metadata";
			return PTR_ERR(table);
		}

		for (i = 0; i < nr && !r; i++) {
			ended = !table[i].new;
			if (ended)
				break;
			r = snap_load_exception(l, &table[i]);
		}
		if (ended && !r)
			r = snap_load_add(l) ?: snap_load_check_tail(l, table);
		dm_bufio_release(buffer);
		dm_bufio_forget(l->bufio, snap_load_position(l, block));
		if (r)
			return r;
		cond_resched();
	}
	return 0;
}

/* What lies between chunks in use is handed out again. */
static int snap_load_holes(struct snap_loader *l)
{
	u64 index = 0, end = 0, start;
	int r;

	while (snap_used_next(&l->used, index, &start, &end)) {
		r = start > index ? snap_store_add_hole(l->store, index, start) : 0;
		if (r) {
			*l->error = "No memory for the list of free chunks";
			return r;
		}
		index = end;
		cond_resched();
	}
	snap_store_set_next(l->store, index);
	return 0;
}

int snap_disk_load(struct snap_store *store, struct snap_exceptions *exceptions,
		   struct snap_disk_end *end, char **error)
{
	unsigned int bytes = min_t(u64, (u64)store->chunk_size << SECTOR_SHIFT, SNAP_LOAD_BLOCK);
	struct snap_loader l = {
		.store = store,
		.exceptions = exceptions,
		.block_shift = ilog2(bytes / sizeof(struct snap_disk_exception)),
		.end = end,
		.error = error,
	};
	int r;

	end->slots = 0;
	end->stale = false;

	l.bufio = dm_bufio_client_create(store->cow, bytes, 1, 0, NULL, NULL, 0);
	if (IS_ERR(l.bufio)) {
		*error = "Cannot create a client of dm-bufio";
		return PTR_ERR(l.bufio);
	}
	dm_bufio_set_minimum_buffers(l.bufio, 1 + SNAP_LOAD_AHEAD);
	snap_used_init(&l.used);

	r = snap_load_new_batch(&l) ?: snap_load_list(&l);
	dm_bufio_client_destroy(l.bufio);
	snap_load_free_batch(&l);
	if (!r)
		r = snap_load_holes(&l);
	snap_used_exit(&l.used);
	return r;
}
