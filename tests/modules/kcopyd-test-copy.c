// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cases about what a copy does when nothing fails: contents, neighbours, order, CPUs.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/slab.h>

#include "kcopyd-test.h"

#define MARGIN	64	/* sectors looked at on each side of a copy */

static const sector_t kt_sizes[] = {
	1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 1023, 1024,
	1025, 1031, 2047, 2048, 2049, 4095, 8192, 8209, 16384,
};

/*
 * Copies @count sectors to @nr destinations at their own positions, and looks at the contents and
 * the neighbours. Destinations hold their own pattern before and after.
 */
static bool copy_and_check(struct kt *t, void *kc, sector_t from, sector_t count,
			   unsigned int nr, const sector_t *to, unsigned int flags)
{
	struct dm_io_region src = kt_region(&t->src, from, count);
	struct dm_io_region dests[DM_KCOPYD_MAX_REGIONS];
	struct kt_result res;
	unsigned int i;
	bool ok;

	for (i = 0; i < nr; i++)
		dests[i] = kt_region(&t->dst[i], to[i], count);

	if (!kt_copy_wait(t, kc, &src, nr, dests, flags, &res))
		return false;

	ok = kt_expect(t, !res.read_err && !res.write_err, "%llu sectors: %d, %#lx", (u64)count,
		       res.read_err, res.write_err);
	for (i = 0; i < nr; i++) {
		ok &= kt_holds_own(t, &t->dst[i], to[i] - MARGIN, MARGIN);
		ok &= kt_holds(t, &t->dst[i], to[i], count, t->src.seed, from);
		ok &= kt_holds_own(t, &t->dst[i], to[i] + count, MARGIN);
		ok &= kt_fill(t, &t->dst[i], to[i], count);
	}
	ok &= kt_holds_own(t, &t->src, from, count);

	return ok;
}

static sector_t random_place(struct kt *t, struct kt_vol *vol, sector_t count)
{
	return MARGIN + kt_random(t, vol->sectors - count - 2 * MARGIN);
}

static void case_copy_sizes(struct kt *t)
{
	unsigned int i;
	void *kc;

	kc = kt_vols_client(t, 1, 20000);
	if (!kc)
		return;

	for (i = 0; i < ARRAY_SIZE(kt_sizes) && !t->hung; i++) {
		sector_t count = kt_sizes[i];
		sector_t to = random_place(t, &t->dst[0], count);

		copy_and_check(t, kc, random_place(t, &t->src, count), count, 1, &to, 0);
		to = MARGIN;
		copy_and_check(t, kc, MARGIN, count, 1, &to, 0);
	}
	kt_holds_own(t, &t->src, 0, t->src.sectors);
	kt_holds_own(t, &t->dst[0], 0, t->dst[0].sectors);

	kt_client_destroy(t, kc);
}

static void case_copy_dests(struct kt *t)
{
	static const sector_t sizes[] = { 1, 9, 129, 1027, 3001 };
	sector_t to[DM_KCOPYD_MAX_REGIONS];
	unsigned int nr, i, j;
	void *kc;

	kc = kt_vols_client(t, DM_KCOPYD_MAX_REGIONS, 6000);
	if (!kc)
		return;

	for (nr = 1; nr <= t->nr_dst; nr++) {
		for (i = 0; i < ARRAY_SIZE(sizes) && !t->hung; i++) {
			for (j = 0; j < nr; j++)
				to[j] = random_place(t, &t->dst[j], sizes[i]);
			copy_and_check(t, kc, random_place(t, &t->src, sizes[i]), sizes[i], nr, to,
				       0);
		}
	}
	for (i = 0; i < t->nr_dst; i++)
		kt_holds_own(t, &t->dst[i], 0, t->dst[i].sectors);

	kt_client_destroy(t, kc);
}

/* All destinations on one device, which is the source's as well. */
static void case_copy_same_device(struct kt *t)
{
	static const sector_t sizes[] = { 1, 8, 77, 1024, 1999 };
	struct dm_io_region dests[DM_KCOPYD_MAX_REGIONS];
	struct kt_result res;
	unsigned int i, j;
	void *kc;

	kc = kt_vols_client(t, 1, 20480);
	if (!kc)
		return;

	for (i = 0; i < ARRAY_SIZE(sizes) && !t->hung; i++) {
		struct dm_io_region src = kt_region(&t->src, 3, sizes[i]);

		for (j = 0; j < DM_KCOPYD_MAX_REGIONS; j++)
			dests[j] = kt_region(&t->src, 2048 * (j + 1) + 5, sizes[i]);
		if (!kt_copy_wait(t, kc, &src, DM_KCOPYD_MAX_REGIONS, dests, 0, &res))
			break;
		kt_expect(t, !res.read_err && !res.write_err, "%d, %#lx", res.read_err,
			  res.write_err);
		kt_holds_own(t, &t->src, 0, 2048 + 5);
		for (j = 0; j < DM_KCOPYD_MAX_REGIONS; j++) {
			kt_holds(t, &t->src, dests[j].sector, sizes[i], t->src.seed, 3);
			kt_holds_own(t, &t->src, dests[j].sector + sizes[i], 2048 - sizes[i]);
			kt_fill(t, &t->src, dests[j].sector, sizes[i]);
		}
	}

	kt_client_destroy(t, kc);
}

static void case_copy_nothing(struct kt *t)
{
	struct dm_io_region src, dst;
	struct kt_result res = { .read_err = 1 };
	void *kc;

	kc = kt_vols_client(t, 1, 128);
	if (!kc)
		return;

	src = kt_region(&t->src, 8, 0);
	dst = kt_region(&t->dst[0], 8, 0);
	if (kt_copy_wait(t, kc, &src, 1, &dst, 0, &res))
		kt_expect(t, !res.read_err && !res.write_err, "%d, %#lx", res.read_err,
			  res.write_err);
	if (kt_zero_wait(t, kc, 1, &dst, 0, &res))
		kt_expect(t, !res.read_err && !res.write_err, "%d, %#lx", res.read_err,
			  res.write_err);
	kt_holds_own(t, &t->dst[0], 0, 128);

	kt_client_destroy(t, kc);
}

/* Regions are the caller's again when the call returns. */
static void case_copy_regions(struct kt *t)
{
	static const sector_t sizes[] = { 8, 8192 };
	unsigned int i, j;
	void *kc;

	kc = kt_vols_client(t, 4, 8192);
	if (!kc)
		return;

	for (i = 0; i < ARRAY_SIZE(sizes) && !t->hung; i++) {
		struct dm_io_region src = kt_region(&t->src, 0, sizes[i]);
		struct dm_io_region dests[4];
		struct kt_batch *b = kt_batch_create(t, kc, 1);

		if (!b)
			break;
		for (j = 0; j < t->nr_dst; j++) {
			dests[j] = kt_region(&t->dst[j], 0, sizes[i]);
			if (t->dst[j].td)
				test_disk_hold(t->dst[j].td);
		}
		kt_copy(&b->jobs[0], &src, t->nr_dst, dests, 0);
		memset(&src, 0xa5, sizeof(src));
		memset(dests, 0xa5, sizeof(dests));
		for (j = 0; j < t->nr_dst; j++) {
			if (t->dst[j].td)
				test_disk_release(t->dst[j].td);
		}
		kt_batch_wait(b);
		for (j = 0; j < t->nr_dst; j++)
			kt_holds(t, &t->dst[j], 0, sizes[i], t->src.seed, 0);
		kt_batch_free(b);
	}

	kt_client_destroy(t, kc);
}

/* Many copies at once; disks answer in random order, in each of their ways. */
static void case_copy_many(struct kt *t)
{
	static const enum test_disk_how hows[] = {
		TEST_DISK_SYNC, TEST_DISK_TASK, TEST_DISK_IRQ,
	};
	const unsigned int nr = 400;
	const sector_t area = 40;
	unsigned int how, i;
	void *kc;

	kc = kt_vols_client(t, 2, nr * area);
	if (!kc)
		return;

	for (how = 0; how < ARRAY_SIZE(hows) && !t->hung; how++) {
		struct kt_batch *b = kt_batch_create(t, kc, nr);

		if (!b)
			break;
		kt_disks_set(t, hows[how], 0, 500);
		for (i = 0; i < nr; i++) {
			struct kt_job *job = &b->jobs[i];
			struct dm_io_region src, dests[2];

			job->count = 1 + kt_random(t, area - 1);
			job->from = i * area;
			src = kt_region(&t->src, job->from, job->count);
			dests[0] = kt_region(&t->dst[0], (nr - 1 - i) * area, job->count);
			if (t->nr_dst > 1)
				dests[1] = kt_region(&t->dst[1], job->from, job->count);
			kt_copy(job, &src, t->nr_dst, dests, 0);
		}
		if (!kt_batch_wait(b)) {
			for (i = 0; i < nr; i++) {
				struct kt_job *job = &b->jobs[i];
				sector_t mirror = (nr - 1 - i) * area;

				kt_expect(t, !job->read_err && !job->write_err, "job %u", i);
				kt_holds(t, &t->dst[0], mirror, job->count, t->src.seed, job->from);
				kt_holds_own(t, &t->dst[0], mirror + job->count,
					     area - job->count);
				if (t->nr_dst > 1)
					kt_holds(t, &t->dst[1], job->from, job->count,
						 t->src.seed, job->from);
			}
		}
		kt_batch_free(b);
		for (i = 0; i < t->nr_dst; i++)
			kt_fill(t, &t->dst[i], 0, t->dst[i].sectors);
	}

	kt_client_destroy(t, kc);
}

/* A callback submits the next copy: from one area to the next, along a device. */
static void copy_next(struct kt_job *job)
{
	struct kt *t = job->batch->t;
	struct dm_io_region src, dst;

	if (job->read_err || job->write_err)
		kt_fail(t, "%d, %#lx", job->read_err, job->write_err);
	if (!--job->user)
		return;

	src = kt_region(&t->dst[0], job->to, job->count);
	job->to += job->count;
	dst = kt_region(&t->dst[0], job->to, job->count);
	kt_copy(job, &src, 1, &dst, 0);
}

static void case_copy_chain(struct kt *t)
{
	const unsigned int nr = 4;
	const unsigned int length = 200;
	struct kt_batch *b;
	unsigned int i, j;
	void *kc;

	kc = kt_vols_client(t, 1, nr * length * 8);
	b = kc ? kt_batch_create(t, kc, nr) : NULL;
	if (!b)
		goto out;

	for (i = 0; i < nr; i++) {
		struct kt_job *job = &b->jobs[i];
		struct dm_io_region src, dst;

		job->then = copy_next;
		job->user = length;
		job->count = 8 - i;
		job->from = 100 + i;
		job->to = (sector_t)i * length * 8;
		src = kt_region(&t->src, job->from, job->count);
		dst = kt_region(&t->dst[0], job->to, job->count);
		kt_copy(job, &src, 1, &dst, 0);
	}
	if (!kt_batch_wait(b)) {
		for (i = 0; i < nr; i++) {
			sector_t count = b->jobs[i].count;

			for (j = 0; j < length; j++)
				kt_holds(t, &t->dst[0], i * length * 8 + j * count, count,
					 t->src.seed, 100 + i);
		}
	}
	kt_batch_free(b);
out:
	kt_client_destroy(t, kc);
}

/*
 * CPUs.
 */

/* A small copy's read is issued by the caller, before the call returns. */
static void case_cpu_caller(struct kt *t)
{
	static const sector_t sizes[] = { 1, 8, 64 };
	unsigned int i;
	void *kc;

	kc = kt_vols_client(t, 1, 128);
	if (!kc)
		return;

	test_disk_hold(t->src.td);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct dm_io_region src = kt_region(&t->src, 0, sizes[i]);
		struct dm_io_region dst = kt_region(&t->dst[0], 0, sizes[i]);
		struct kt_batch *b = kt_batch_create(t, kc, 1);

		if (!b || test_disk_record(t->src.td, 16))
			break;
		kt_copy(&b->jobs[0], &src, 1, &dst, 0);
		if (kt_expect_eq(t, test_disk_nr_records(t->src.td), 1, "reads in the call")) {
			struct test_disk_record *r = &t->src.td->records[0];

			kt_expect_eq(t, r->pid, current->pid, "task that reads");
			kt_expect_eq(t, r->cpu, b->jobs[0].submit_cpu, "CPU that reads");
			kt_expect_eq(t, r->count, sizes[i], "sectors read");
		}
		test_disk_release(t->src.td);
		kt_batch_wait(b);
		kt_batch_free(b);
		test_disk_hold(t->src.td);
	}
	test_disk_release(t->src.td);

	kt_client_destroy(t, kc);
}

struct per_cpu_copies {
	struct kt_batch *b;
	sector_t area;
	sector_t count;
	unsigned int each;
};

static void submit_own_copies(struct kt *t, unsigned int cpu, void *arg)
{
	struct per_cpu_copies *p = arg;
	unsigned int i;

	for (i = 0; i < p->each; i++) {
		struct kt_job *job = &p->b->jobs[cpu * p->each + i];
		struct dm_io_region src, dst;

		job->from = cpu * p->area + (i * p->count) % (p->area - p->count);
		src = kt_region(&t->src, job->from, p->count);
		dst = kt_region(&t->dst[0], job->from, p->count);
		kt_copy(job, &src, 1, &dst, 0);
	}
}

static void check_issuers(struct kt *t, struct test_disk *td, sector_t area)
{
	unsigned int wrong = 0;
	unsigned int i;

	for (i = 0; i < td->nr_records; i++) {
		struct test_disk_record *r = &td->records[i];
		unsigned int owner = (u32)r->sector / (u32)area;

		wrong += r->cpu != owner;
	}
	kt_expect_eq(t, wrong, 0, "bios of %u issued by another CPU than the job's on %s",
		     td->nr_records, td->disk->disk_name);
}

/* Reads and writes are issued by the submitting CPU, wherever the disk ends them. */
static void cpu_stays(struct kt *t, sector_t count, unsigned int each,
		      enum test_disk_how how)
{
	struct per_cpu_copies p = { .area = 4096, .count = count, .each = each };
	unsigned int nr_cpus = nr_cpu_ids;
	void *kc;

	if (!kt_vols(t, 1, nr_cpus * p.area))
		return;
	kt_disks_set(t, how, 50, 400);
	kc = kt_client(t, NULL);
	p.b = kc ? kt_batch_create(t, kc, nr_cpus * each) : NULL;
	if (!p.b || test_disk_record(t->src.td, 65536) || test_disk_record(t->dst[0].td, 65536))
		goto out;

	kt_on_each_cpu(t, submit_own_copies, &p);
	if (!kt_batch_wait(p.b)) {
		check_issuers(t, t->src.td, p.area);
		check_issuers(t, t->dst[0].td, p.area);
	}
out:
	kt_batch_free(p.b);
	kt_client_destroy(t, kc);
}

static void case_cpu_small_irq(struct kt *t)
{
	cpu_stays(t, 8, 200, TEST_DISK_IRQ);
}

static void case_cpu_small_task(struct kt *t)
{
	cpu_stays(t, 8, 200, TEST_DISK_TASK);
}

static void case_cpu_small_sync(struct kt *t)
{
	cpu_stays(t, 8, 200, TEST_DISK_SYNC);
}

static void case_cpu_large(struct kt *t)
{
	cpu_stays(t, 4000, 5, TEST_DISK_IRQ);
}

/*
 * Order of writes.
 */

/* Writes to a device came without gaps from @first on, in ascending order. */
static void check_ascending(struct kt *t, struct test_disk *td, sector_t first, sector_t count)
{
	sector_t next = first;
	unsigned int i;

	for (i = 0; i < td->nr_records; i++) {
		struct test_disk_record *r = &td->records[i];

		if (r->sector < first || r->sector >= first + count)
			continue;
		if (r->sector != next) {
			kt_fail(t, "%s: write %u is at %llu, not %llu", td->disk->disk_name, i,
				(u64)r->sector, (u64)next);
			return;
		}
		next += r->count;
	}
	kt_expect_eq(t, next, first + count, "end of the writes");
}

static void case_seq_order(struct kt *t)
{
	static const sector_t sizes[] = { 1, 8, 1024, 1025, 8192, 16391 };
	struct dm_io_region dests[3];
	struct kt_result res;
	unsigned int i, j;
	void *kc;

	if (!kt_vols(t, 3, 17000))
		return;
	kt_disks_set(t, TEST_DISK_IRQ, 0, 3000);
	kc = kt_client(t, NULL);
	if (!kc)
		return;

	for (i = 0; i < ARRAY_SIZE(sizes) && !t->hung; i++) {
		struct dm_io_region src = kt_region(&t->src, 11, sizes[i]);

		for (j = 0; j < t->nr_dst; j++) {
			if (test_disk_record(t->dst[j].td, 8192))
				goto out;
			dests[j] = kt_region(&t->dst[j], 13 * (j + 1), sizes[i]);
		}
		if (!kt_copy_wait(t, kc, &src, t->nr_dst, dests, BIT(DM_KCOPYD_WRITE_SEQ), &res))
			break;
		kt_expect(t, !res.read_err && !res.write_err, "%d, %#lx", res.read_err,
			  res.write_err);
		for (j = 0; j < t->nr_dst; j++) {
			check_ascending(t, t->dst[j].td, dests[j].sector, sizes[i]);
			kt_holds(t, &t->dst[j], dests[j].sector, sizes[i], t->src.seed, 11);
		}
	}
out:
	kt_client_destroy(t, kc);
}

/* Several ordered jobs at once, each in its own area of one device. */
static void case_seq_many(struct kt *t)
{
	const sector_t area = 6000;
	const unsigned int nr = 4;
	struct kt_batch *b;
	unsigned int i;
	void *kc;

	if (!kt_vols(t, 1, nr * area))
		return;
	kt_disks_set(t, TEST_DISK_IRQ, 0, 2000);
	kc = kt_client(t, NULL);
	b = kc ? kt_batch_create(t, kc, nr) : NULL;
	if (!b || test_disk_record(t->dst[0].td, 65536))
		goto out;

	for (i = 0; i < nr; i++) {
		struct dm_io_region src = kt_region(&t->src, i * area, area);
		struct dm_io_region dst = kt_region(&t->dst[0], i * area, area);

		kt_copy(&b->jobs[i], &src, 1, &dst, BIT(DM_KCOPYD_WRITE_SEQ));
	}
	if (!kt_batch_wait(b)) {
		for (i = 0; i < nr; i++)
			check_ascending(t, t->dst[0].td, i * area, area);
		kt_holds(t, &t->dst[0], 0, nr * area, t->src.seed, 0);
	}
out:
	kt_batch_free(b);
	kt_client_destroy(t, kc);
}

/* WRITE_SEQ is set by the engine; a zone refuses a write that is not at its pointer. */
static void case_seq_zoned(struct kt *t)
{
	struct test_disk_params params = { };
	struct kt_vol *zoned = &t->dst[0];
	struct kt_result res;
	struct dm_io_region src, dests[2];
	sector_t sectors;
	void *kc;
	int r;

	r = test_bdev_open(&zoned->real, t->p->zoned);
	if (r) {
		zoned->real.bdev = NULL;
		kt_fail(t, "cannot open %s: %d", t->p->zoned, r);
		return;
	}
	zoned->bdev = zoned->real.bdev;
	sectors = min_t(sector_t, bdev_nr_sectors(zoned->bdev), 32768);
	if (!kt_expect(t, bdev_is_zoned(zoned->bdev), "%s", t->p->zoned) ||
	    !kt_expect(t, sectors > bdev_zone_sectors(zoned->bdev), "zones are too large"))
		return;
	t->nr_dst = 1;

	r = test_zone_reset_all(zoned->bdev);
	if (!kt_expect(t, !r, "reset: %d", r))
		return;

	kc = kt_client(t, NULL);
	if (!kc)
		return;
	params.sectors = sectors;
	if (!kt_add_source(t, &params))
		goto out;
	test_disk_set(t->src.td, TEST_DISK_IRQ, 0, 3000);

	/* Zone after zone in one job, from a disk that answers in random order. */
	src = kt_region(&t->src, 0, sectors);
	dests[0] = kt_region(zoned, 0, sectors);
	if (!kt_copy_wait(t, kc, &src, 1, dests, BIT(DM_KCOPYD_IGNORE_ERROR), &res))
		goto out;
	kt_expect(t, !res.read_err && !res.write_err, "%d, %#lx", res.read_err, res.write_err);
	kt_holds(t, zoned, 0, sectors, t->src.seed, 0);

	/* Zones are full: the error must be seen. */
	if (kt_copy_wait(t, kc, &src, 1, dests, 0, &res))
		kt_expect_seq_error(t, &res);
out:
	kt_client_destroy(t, kc);
}

/*
 * Zeroes.
 */

static bool zero_and_check(struct kt *t, void *kc, sector_t count, unsigned int flags)
{
	struct dm_io_region dests[DM_KCOPYD_MAX_REGIONS];
	struct kt_result res;
	unsigned int i;
	bool ok;

	for (i = 0; i < t->nr_dst; i++)
		dests[i] = kt_region(&t->dst[i], random_place(t, &t->dst[i], count), count);
	if (!kt_zero_wait(t, kc, t->nr_dst, dests, flags, &res))
		return false;

	ok = kt_expect(t, !res.read_err && !res.write_err, "%llu sectors: %d, %#lx", (u64)count,
		       res.read_err, res.write_err);
	for (i = 0; i < t->nr_dst; i++) {
		ok &= kt_holds_own(t, &t->dst[i], dests[i].sector - MARGIN, MARGIN);
		ok &= kt_holds_zeroes(t, &t->dst[i], dests[i].sector, count);
		ok &= kt_holds_own(t, &t->dst[i], dests[i].sector + count, MARGIN);
		ok &= kt_fill(t, &t->dst[i], dests[i].sector, count);
	}

	return ok;
}

static void case_zero_sizes(struct kt *t)
{
	unsigned int i;
	void *kc;

	kc = kt_vols_client(t, 2, 20000);
	if (!kc)
		return;

	for (i = 0; i < ARRAY_SIZE(kt_sizes) && !t->hung; i++)
		zero_and_check(t, kc, kt_sizes[i], 0);
	for (i = 0; i < t->nr_dst; i++)
		kt_holds_own(t, &t->dst[i], 0, t->dst[i].sectors);

	kt_client_destroy(t, kc);
}

/* Test disks of which each has the given limit of write-zeroes. */
static bool zero_disks(struct kt *t, unsigned int nr, const unsigned int *limits)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct test_disk_params params = {
			.sectors = 20000,
			.write_zeroes = limits[i],
		};

		if (!kt_add_disk(t, &params) || test_disk_record(t->dst[i].td, 8192))
			return false;
	}

	return true;
}

static void *zero_client(struct kt *t, unsigned int nr, const unsigned int *limits)
{
	return zero_disks(t, nr, limits) ? kt_client(t, NULL) : NULL;
}

static unsigned int count_ops(struct test_disk *td, enum req_op op)
{
	unsigned int nr = 0;
	unsigned int i;

	for (i = 0; i < td->nr_records; i++)
		nr += td->records[i].op == op;

	return nr;
}

/* Disks that can write zeroes get the command. */
static void case_zero_command(struct kt *t)
{
	static const unsigned int limits[] = { UINT_MAX >> SECTOR_SHIFT, 64, 100 };
	unsigned int i;
	void *kc;

	kc = zero_client(t, ARRAY_SIZE(limits), limits);
	if (!kc)
		return;

	for (i = 0; i < ARRAY_SIZE(kt_sizes) && !t->hung; i++)
		zero_and_check(t, kc, kt_sizes[i], 0);
	for (i = 0; i < t->nr_dst; i++) {
		struct test_disk *td = t->dst[i].td;

		kt_expect_eq(t, count_ops(td, REQ_OP_WRITE), 0, "disk %u", i);
		kt_expect(t, count_ops(td, REQ_OP_WRITE_ZEROES), "disk %u", i);
	}

	kt_client_destroy(t, kc);
}

/* One disk that cannot: all get pages. */
static void case_zero_mixed(struct kt *t)
{
	static const unsigned int limits[] = { 1024, 0, 1024 };
	unsigned int i;
	void *kc;

	kc = zero_client(t, ARRAY_SIZE(limits), limits);
	if (!kc)
		return;

	for (i = 0; i < ARRAY_SIZE(kt_sizes) && !t->hung; i++)
		zero_and_check(t, kc, kt_sizes[i], 0);
	for (i = 0; i < t->nr_dst; i++)
		kt_expect_eq(t, count_ops(t->dst[i].td, REQ_OP_WRITE_ZEROES), 0, "disk %u", i);

	kt_client_destroy(t, kc);
}

/* Disks that say they can and then cannot: all of them, or one, or from some sector on. */
static void case_zero_unsupported(struct kt *t)
{
	static const unsigned int limits[] = { 1024, 1024, 1024 };
	unsigned int i;
	void *kc;

	kc = zero_client(t, ARRAY_SIZE(limits), limits);
	if (!kc)
		return;

	for (i = 0; i < t->nr_dst; i++)
		test_disk_fail(t->dst[i].td, OP_BIT(REQ_OP_WRITE_ZEROES), i < 2 ? 0 : 9000, 20000,
			       BLK_STS_NOTSUPP);
	for (i = 0; i < ARRAY_SIZE(kt_sizes) && !t->hung; i++)
		zero_and_check(t, kc, kt_sizes[i], 0);

	test_disk_heal(t->dst[0].td);
	test_disk_heal(t->dst[2].td);
	for (i = 0; i < ARRAY_SIZE(kt_sizes) && !t->hung; i++)
		zero_and_check(t, kc, kt_sizes[i],
			       i & 1 ? BIT(DM_KCOPYD_IGNORE_ERROR) : BIT(DM_KCOPYD_WRITE_SEQ));

	kt_client_destroy(t, kc);
}

static void case_zero_seq(struct kt *t)
{
	static const unsigned int limits[][2] = { { 0, 0 }, { 128, 4096 } };
	struct dm_io_region dests[2];
	struct kt_result res;
	unsigned int i, j;
	void *kc;

	kc = kt_client(t, NULL);
	if (!kc)
		return;

	for (i = 0; i < ARRAY_SIZE(limits) && !t->hung; i++) {
		if (!zero_disks(t, 2, limits[i]))
			break;
		kt_disks_set(t, TEST_DISK_IRQ, 0, 3000);
		for (j = 0; j < 2; j++)
			dests[j] = kt_region(&t->dst[j], 100 + j, 10001);
		if (!kt_zero_wait(t, kc, 2, dests, BIT(DM_KCOPYD_WRITE_SEQ), &res))
			break;
		kt_expect(t, !res.read_err && !res.write_err, "%d, %#lx", res.read_err,
			  res.write_err);
		for (j = 0; j < 2; j++) {
			check_ascending(t, t->dst[j].td, 100 + j, 10001);
			kt_holds_own(t, &t->dst[j], 0, 100 + j);
			kt_holds_zeroes(t, &t->dst[j], 100 + j, 10001);
			kt_holds_own(t, &t->dst[j], 10101 + j, 1000);
		}
		kt_put_vols(t);
	}

	kt_client_destroy(t, kc);
}

const struct kt_case kt_copy_cases[] = {
	{ "copy.sizes", case_copy_sizes, KT_REAL },
	{ "copy.dests", case_copy_dests, KT_REAL },
	{ "copy.same-device", case_copy_same_device, KT_REAL },
	{ "copy.nothing", case_copy_nothing, KT_REAL },
	{ "copy.regions", case_copy_regions, KT_REAL },
	{ "copy.many", case_copy_many, KT_REAL },
	{ "copy.chain", case_copy_chain, KT_REAL },
	{ "cpu.caller", case_cpu_caller, KT_MQ },
	{ "cpu.small-irq", case_cpu_small_irq, KT_MQ },
	{ "cpu.small-task", case_cpu_small_task, KT_MQ },
	{ "cpu.small-sync", case_cpu_small_sync, KT_MQ },
	{ "cpu.large", case_cpu_large, KT_MQ },
	{ "seq.order", case_seq_order },
	{ "seq.many", case_seq_many },
	{ "seq.zoned", case_seq_zoned, KT_ZONED },
	{ "zero.sizes", case_zero_sizes, KT_REAL },
	{ "zero.command", case_zero_command },
	{ "zero.mixed", case_zero_mixed },
	{ "zero.unsupported", case_zero_unsupported, KT_MQ },
	{ "zero.seq", case_zero_seq },
	{ }
};
