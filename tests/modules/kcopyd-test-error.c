// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cases about devices that fail: which errors are reported, what is still copied, what is left
 * alone.
 */
#include <linux/bitops.h>
#include <linux/log2.h>

#include "kcopyd-test.h"

#define READS	OP_BIT(REQ_OP_READ)
#define WRITES	(OP_BIT(REQ_OP_WRITE) | OP_BIT(REQ_OP_WRITE_ZEROES))

/* Long enough that an engine cannot have all of it in flight. */
#define LONG_JOB	49152

static void expect_result(struct kt *t, const struct kt_result *res, int read_err,
			  unsigned long write_err, const char *what)
{
	if (res->read_err != read_err || res->write_err != write_err)
		kt_fail(t, "%s: read_err %d, write_err %#lx; not %d, %#lx", what, res->read_err,
			res->write_err, read_err, write_err);
}

static void case_error_read(struct kt *t)
{
	static const blk_status_t statuses[] = {
		BLK_STS_IOERR, BLK_STS_MEDIUM, BLK_STS_NOTSUPP, BLK_STS_RESOURCE, BLK_STS_AGAIN,
		BLK_STS_TARGET, BLK_STS_TIMEOUT,
	};
	struct dm_io_region src, dests[2];
	struct kt_result res;
	unsigned int i;
	void *kc;

	kc = kt_vols_client(t, 2, 2048);
	if (!kc)
		return;

	/* No more than the smallest sub-job: nothing is to be written. */
	src = kt_region(&t->src, 100, 8);
	dests[0] = kt_region(&t->dst[0], 100, 8);
	dests[1] = kt_region(&t->dst[1], 100, 8);
	for (i = 0; i < ARRAY_SIZE(statuses) && !t->hung; i++) {
		test_disk_heal(t->src.td);
		test_disk_fail(t->src.td, READS, 107, 1, statuses[i]);
		if (!kt_copy_wait(t, kc, &src, 2, dests, 0, &res))
			break;
		expect_result(t, &res, 1, 0, "read error");
	}
	kt_holds_own(t, &t->dst[0], 0, 2048);
	kt_holds_own(t, &t->dst[1], 0, 2048);

	/* Just beside the bad sector. */
	src = kt_region(&t->src, 99, 8);
	if (kt_copy_wait(t, kc, &src, 2, dests, 0, &res)) {
		expect_result(t, &res, 0, 0, "below the bad sector");
		kt_holds(t, &t->dst[1], 100, 8, t->src.seed, 99);
	}
	src = kt_region(&t->src, 108, 8);
	if (kt_copy_wait(t, kc, &src, 2, dests, 0, &res)) {
		expect_result(t, &res, 0, 0, "above the bad sector");
		kt_holds(t, &t->dst[1], 100, 8, t->src.seed, 108);
	}

	kt_client_destroy(t, kc);
}

/* Each destination fails alone, in jobs of 1 to 8: exactly its bit, the others are whole. */
static void write_errors(struct kt *t, bool zero)
{
	static const sector_t sizes[] = { 1, 24, 3000 };
	struct dm_io_region dests[DM_KCOPYD_MAX_REGIONS];
	unsigned int nr, bad, i;
	void *kc;

	kc = kt_vols_client(t, DM_KCOPYD_MAX_REGIONS, 4096);
	if (!kc)
		return;

	for (nr = 1; nr <= t->nr_dst; nr++) {
		for (bad = 0; bad < nr && !t->hung; bad++) {
			sector_t count = sizes[(nr + bad) % ARRAY_SIZE(sizes)];
			struct dm_io_region src = kt_region(&t->src, 5, count);
			unsigned int flags = BIT(DM_KCOPYD_IGNORE_ERROR);
			struct kt_result res;
			bool ok;

			for (i = 0; i < nr; i++)
				dests[i] = kt_region(&t->dst[i], 40 + i, count);
			test_disk_fail(t->dst[bad].td, WRITES, 40 + bad + count / 2, 1,
				       BLK_STS_IOERR);
			ok = zero ? kt_zero_wait(t, kc, nr, dests, flags, &res) :
				    kt_copy_wait(t, kc, &src, nr, dests, flags, &res);
			if (!ok)
				break;
			expect_result(t, &res, 0, BIT(bad), "one destination");
			test_disk_heal(t->dst[bad].td);
			for (i = 0; i < nr; i++) {
				if (i != bad && zero)
					kt_holds_zeroes(t, &t->dst[i], 40 + i, count);
				else if (i != bad)
					kt_holds(t, &t->dst[i], 40 + i, count, t->src.seed, 5);
				kt_fill(t, &t->dst[i], 40 + i, count);
			}
		}
	}
	for (i = 0; i < t->nr_dst; i++)
		kt_holds_own(t, &t->dst[i], 0, 4096);

	kt_client_destroy(t, kc);
}

static void case_error_write_one(struct kt *t)
{
	write_errors(t, false);
}

static void case_error_zero_one(struct kt *t)
{
	write_errors(t, true);
}

static void case_error_write_all(struct kt *t)
{
	static const unsigned long masks[] = { 0xff, 0x81, 0x55, 0x7e, 0x01, 0x80 };
	struct dm_io_region dests[DM_KCOPYD_MAX_REGIONS];
	struct dm_io_region src;
	struct kt_result res;
	unsigned int m, i;
	void *kc;

	kc = kt_vols_client(t, DM_KCOPYD_MAX_REGIONS, 256);
	if (!kc)
		return;

	src = kt_region(&t->src, 0, 64);
	for (i = 0; i < t->nr_dst; i++)
		dests[i] = kt_region(&t->dst[i], 64, 64);
	for (m = 0; m < ARRAY_SIZE(masks) && !t->hung; m++) {
		for (i = 0; i < t->nr_dst; i++) {
			test_disk_heal(t->dst[i].td);
			if (masks[m] & BIT(i))
				test_disk_fail(t->dst[i].td, WRITES, 127, 1, BLK_STS_IOERR);
		}
		if (!kt_copy_wait(t, kc, &src, t->nr_dst, dests, 0, &res))
			break;
		expect_result(t, &res, 0, masks[m], "several destinations");
	}

	kt_client_destroy(t, kc);
}

/* Sectors of a job, outside of what a failure at @bad may spoil, hold the source's data. */
static void check_around(struct kt *t, struct kt_vol *vol, sector_t to, sector_t from,
			 sector_t count, sector_t bad)
{
	sector_t low = bad > KT_SUBJOB ? bad - KT_SUBJOB : 0;
	sector_t high = min_t(sector_t, bad + KT_SUBJOB, count);

	kt_holds(t, vol, to, low, t->src.seed, from);
	kt_holds(t, vol, to + high, count - high, t->src.seed, from + high);
}

/* With IGNORE_ERROR a long job goes on behind bad sectors. */
static void case_error_ignore(struct kt *t)
{
	const sector_t bad = LONG_JOB / 2 + 7;
	struct dm_io_region src, dests[2];
	struct kt_result res;
	void *kc;

	kc = kt_vols_client(t, 2, LONG_JOB + 128);
	if (!kc)
		return;

	src = kt_region(&t->src, 9, LONG_JOB);
	dests[0] = kt_region(&t->dst[0], 17, LONG_JOB);
	dests[1] = kt_region(&t->dst[1], 33, LONG_JOB);

	test_disk_fail(t->src.td, READS, 9 + bad, 1, BLK_STS_MEDIUM);
	if (!kt_copy_wait(t, kc, &src, 2, dests, BIT(DM_KCOPYD_IGNORE_ERROR), &res))
		goto out;
	expect_result(t, &res, 1, 0, "read error, ignored");
	check_around(t, &t->dst[0], 17, 9, LONG_JOB, bad);
	check_around(t, &t->dst[1], 33, 9, LONG_JOB, bad);
	test_disk_heal(t->src.td);
	kt_fill(t, &t->dst[0], 0, LONG_JOB + 128);
	kt_fill(t, &t->dst[1], 0, LONG_JOB + 128);

	test_disk_fail(t->dst[1].td, WRITES, 33 + bad, 1, BLK_STS_MEDIUM);
	if (!kt_copy_wait(t, kc, &src, 2, dests, BIT(DM_KCOPYD_IGNORE_ERROR), &res))
		goto out;
	expect_result(t, &res, 0, BIT(1), "write error, ignored");
	kt_holds(t, &t->dst[0], 17, LONG_JOB, t->src.seed, 9);
	check_around(t, &t->dst[1], 33, 9, LONG_JOB, bad);
out:
	kt_client_destroy(t, kc);
}

static void reset_counts(struct kt *t)
{
	unsigned int i;

	t->src.td->sectors_read = 0;
	for (i = 0; i < t->nr_dst; i++)
		t->dst[i].td->sectors_written = 0;
}

/*
 * The disk that fails, and in the second case the other one, too, answer at once: the failure is
 * known while most is still to be done. Else bios end in random order, the one that counts perhaps
 * last.
 */
static void early_end(struct kt *t, unsigned int flags)
{
	struct dm_io_region src, dests[2];
	struct kt_result res;
	void *kc;

	if (!kt_vols(t, 2, LONG_JOB))
		return;
	kt_disks_set(t, TEST_DISK_IRQ, 100, 1000);
	kc = kt_client(t, NULL);
	if (!kc)
		return;

	src = kt_region(&t->src, 0, LONG_JOB);
	dests[0] = kt_region(&t->dst[0], 0, LONG_JOB);
	dests[1] = kt_region(&t->dst[1], 0, LONG_JOB);

	reset_counts(t);
	test_disk_set(t->src.td, TEST_DISK_SYNC, 0, 0);
	test_disk_fail(t->src.td, READS, 0, 1, BLK_STS_IOERR);
	if (!kt_copy_wait(t, kc, &src, 2, dests, flags, &res))
		goto out;
	expect_result(t, &res, 1, 0, "read error");
	kt_expect(t, t->src.td->sectors_read < LONG_JOB / 2,
		  "%llu sectors read after the error", t->src.td->sectors_read);
	test_disk_heal(t->src.td);

	reset_counts(t);
	test_disk_set(t->dst[0].td, TEST_DISK_SYNC, 0, 0);
	test_disk_set(t->dst[1].td, TEST_DISK_SYNC, 0, 0);
	test_disk_fail(t->dst[1].td, WRITES, 0, 1, BLK_STS_IOERR);
	if (!kt_copy_wait(t, kc, &src, 2, dests, flags, &res))
		goto out;
	expect_result(t, &res, 0, BIT(1), "write error");
	kt_expect(t, t->dst[0].td->sectors_written < LONG_JOB / 2,
		  "%llu sectors written after the error", t->dst[0].td->sectors_written);
out:
	kt_client_destroy(t, kc);
}

/* Without IGNORE_ERROR a long job ends early. */
static void case_error_early_end(struct kt *t)
{
	early_end(t, 0);
}

/* So does one that writes in order, whether errors are to be ignored or not. Stock hangs. */
static void case_error_seq_early_end(struct kt *t)
{
	early_end(t, BIT(DM_KCOPYD_WRITE_SEQ));
	kt_put_vols(t);
	early_end(t, BIT(DM_KCOPYD_WRITE_SEQ) | BIT(DM_KCOPYD_IGNORE_ERROR));
}

/* In order: of what is behind a failed write, no more is written than was in flight already. */
static void case_error_seq_stops(struct kt *t)
{
	const sector_t bad = 3 * KT_SUBJOB;
	struct dm_io_region src, dst;
	struct kt_result res;
	sector_t end = 0;
	unsigned int i;
	void *kc;

	kc = kt_vols_client(t, 1, LONG_JOB);
	if (!kc || test_disk_record(t->dst[0].td, 4096))
		goto out;

	src = kt_region(&t->src, 0, LONG_JOB);
	dst = kt_region(&t->dst[0], 0, LONG_JOB);
	test_disk_set(t->dst[0].td, TEST_DISK_SYNC, 0, 0);
	test_disk_fail(t->dst[0].td, WRITES, bad, 1, BLK_STS_IOERR);
	if (!kt_copy_wait(t, kc, &src, 1, &dst, BIT(DM_KCOPYD_WRITE_SEQ), &res))
		goto out;
	kt_expect_seq_error(t, &res);
	for (i = 0; i < t->dst[0].td->nr_records; i++) {
		struct test_disk_record *r = &t->dst[0].td->records[i];

		end = max_t(sector_t, end, r->sector + r->count);
	}
	kt_expect(t, end <= bad + KT_IN_FLIGHT * KT_SUBJOB, "wrote up to %llu, error at %llu",
		  (u64)end, (u64)bad);
	kt_holds(t, &t->dst[0], 0, bad - KT_SUBJOB, t->src.seed, 0);
out:
	kt_client_destroy(t, kc);
}

static void case_error_beyond_end(struct kt *t)
{
	struct dm_io_region src, dests[2];
	struct kt_result res;
	void *kc;

	kc = kt_vols_client(t, 2, 1024);
	if (!kc)
		return;

	src = kt_region(&t->src, 1020, 8);
	dests[0] = kt_region(&t->dst[0], 0, 8);
	dests[1] = kt_region(&t->dst[1], 0, 8);
	if (!kt_copy_wait(t, kc, &src, 2, dests, 0, &res))
		goto out;
	expect_result(t, &res, 1, 0, "source beyond the end");

	src = kt_region(&t->src, 0, 8);
	dests[1] = kt_region(&t->dst[1], 1017, 8);
	if (!kt_copy_wait(t, kc, &src, 2, dests, 0, &res))
		goto out;
	expect_result(t, &res, 0, BIT(1), "destination beyond the end");
	kt_holds(t, &t->dst[0], 0, 8, t->src.seed, 0);

	dests[0] = kt_region(&t->dst[0], 4096, 4096);
	if (kt_zero_wait(t, kc, 1, dests, 0, &res))
		expect_result(t, &res, 0, BIT(0), "zeroes beyond the end");
out:
	kt_client_destroy(t, kc);
}

/* A sector that cannot be zeroed, by the command or by writing, is an error. */
static void case_error_zero_command(struct kt *t)
{
	const struct test_disk_params params = { .sectors = 8192, .write_zeroes = 256 };
	struct dm_io_region dests[2];
	struct kt_result res;
	void *kc;

	if (!kt_add_disk(t, &params) || !kt_add_disk(t, &params))
		return;
	kc = kt_client(t, NULL);
	if (!kc)
		return;

	dests[0] = kt_region(&t->dst[0], 0, 8192);
	dests[1] = kt_region(&t->dst[1], 0, 8192);
	test_disk_fail(t->dst[1].td, WRITES, 5000, 1, BLK_STS_IOERR);
	if (kt_zero_wait(t, kc, 2, dests, BIT(DM_KCOPYD_IGNORE_ERROR), &res)) {
		expect_result(t, &res, 0, BIT(1), "write zeroes");
		kt_holds_zeroes(t, &t->dst[0], 0, 8192);
	}

	kt_client_destroy(t, kc);
}

/*
 * Bad sectors here and there, many jobs at once: a job that touches one reports it in the right
 * place, any other is whole.
 */

#define RANDOM_JOBS	300
#define RANDOM_AREA	64

static void submit_random(struct kt *t, struct kt_job *job, unsigned int i)
{
	struct dm_io_region dests[3];
	struct dm_io_region src;
	unsigned int d;

	job->count = 1 + kt_random(t, RANDOM_AREA - 1);
	job->from = i * RANDOM_AREA;
	job->user = i & 1;	/* ignores errors */
	src = kt_region(&t->src, job->from, job->count);
	for (d = 0; d < t->nr_dst; d++)
		dests[d] = kt_region(&t->dst[d], job->from, job->count);
	kt_copy(job, &src, t->nr_dst, dests, job->user ? BIT(DM_KCOPYD_IGNORE_ERROR) : 0);
}

static bool is_bad(struct kt_vol *vol, const struct kt_job *job)
{
	unsigned int i;

	for (i = 0; i < vol->td->nr_failures; i++) {
		struct test_disk_failure *f = &vol->td->failures[i];

		if (job->from <= f->last && f->first < job->from + job->count)
			return true;
	}

	return false;
}

/* A job that does not ignore errors may end before it has met all of them. */
static void check_random(struct kt *t, struct kt_job *job)
{
	bool read_bad = is_bad(&t->src, job);
	unsigned long write_bad = 0;
	unsigned int d;

	for (d = 0; d < t->nr_dst; d++) {
		if (is_bad(&t->dst[d], job))
			write_bad |= BIT(d);
	}

	if (job->user || !read_bad || !write_bad)
		kt_expect_eq(t, job->read_err, read_bad, "job at %llu+%llu", (u64)job->from,
			     (u64)job->count);
	if (job->user || (!read_bad && is_power_of_2(write_bad)))
		kt_expect_eq(t, job->write_err, write_bad, "job at %llu+%llu", (u64)job->from,
			     (u64)job->count);
	kt_expect(t, !(job->write_err & ~write_bad), "job at %llu+%llu: %#lx, not %#lx",
		  (u64)job->from, (u64)job->count, job->write_err, write_bad);
	kt_expect(t, job->read_err || job->write_err || (!read_bad && !write_bad),
		  "job at %llu+%llu reports no error", (u64)job->from, (u64)job->count);

	for (d = 0; d < t->nr_dst; d++) {
		if (!read_bad && !(write_bad & BIT(d)) && (job->user || !write_bad))
			kt_holds(t, &t->dst[d], job->from, job->count, t->src.seed, job->from);
	}
}

static void case_error_random(struct kt *t)
{
	struct kt_batch *b = NULL;
	unsigned int round, i, d;
	void *kc;

	kc = kt_vols_client(t, 3, RANDOM_JOBS * RANDOM_AREA);
	if (!kc)
		return;

	for (round = 0; round < 5 && !t->hung; round++) {
		kt_disks_set(t, round % 3, 0, 500);
		for (d = 0; d < t->nr_dst; d++)
			kt_fill(t, &t->dst[d], 0, t->dst[d].sectors);
		test_disk_heal(t->src.td);
		for (d = 0; d < t->nr_dst; d++)
			test_disk_heal(t->dst[d].td);
		for (i = 0; i < TEST_DISK_MAX_FAILURES; i++) {
			u32 place = kt_random(t, RANDOM_JOBS * RANDOM_AREA - 256);

			test_disk_fail(t->src.td, READS, place, 1 + kt_random(t, 256),
				       BLK_STS_MEDIUM);
			for (d = 0; d < t->nr_dst; d++) {
				place = kt_random(t, RANDOM_JOBS * RANDOM_AREA - 256);
				test_disk_fail(t->dst[d].td, WRITES, place,
					       1 + kt_random(t, 256), BLK_STS_IOERR);
			}
		}

		b = kt_batch_create(t, kc, RANDOM_JOBS);
		if (!b)
			break;
		for (i = 0; i < RANDOM_JOBS; i++)
			submit_random(t, &b->jobs[i], i);
		if (!kt_batch_wait(b)) {
			for (i = 0; i < RANDOM_JOBS; i++)
				check_random(t, &b->jobs[i]);
		}
		kt_batch_free(b);
	}

	kt_client_destroy(t, kc);
}

const struct kt_case kt_error_cases[] = {
	{ "error.read", case_error_read },
	{ "error.write-one", case_error_write_one },
	{ "error.write-all", case_error_write_all },
	{ "error.zero-one", case_error_zero_one },
	{ "error.zero-command", case_error_zero_command },
	{ "error.ignore", case_error_ignore },
	{ "error.early-end", case_error_early_end },
	{ "error.seq-early-end", case_error_seq_early_end, KT_MQ },
	{ "error.seq-stops", case_error_seq_stops },
	{ "error.beyond-end", case_error_beyond_end },
	{ "error.random", case_error_random },
	{ }
};
