/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the cases of the copy engine's test share.
 */
#ifndef DM_SCALED_KCOPYD_TEST_H
#define DM_SCALED_KCOPYD_TEST_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/prandom.h>
#include <linux/seq_buf.h>
#include <linux/wait.h>

#include "copy-engine.h"
#include "test-compat.h"
#include "test-disk.h"

#define KT_TIMEOUT	(60 * HZ)

/* Longest sub-job that an engine may choose; a failure may spoil so much around a bad sector. */
#define KT_SUBJOB	2048	/* sectors */

/* Sub-jobs of a copy that an engine may have in flight. */
#define KT_IN_FLIGHT	8

struct kt;

/* A device to copy from or to: a test disk, or a real one. */
struct kt_vol {
	struct block_device *bdev;
	struct test_disk *td;	/* NULL for a real one */
	struct test_bdev real;
	sector_t sectors;
	u8 seed;		/* its pattern after kt_fill() */
};

/* Flags of cases. */
#define KT_MQ		BIT(0)	/* about what only ours promises */
#define KT_REAL		BIT(1)	/* can also run on real devices */
#define KT_ZONED	BIT(2)	/* needs a host-managed zoned device */

struct kt_case {
	const char *name;
	void (*fn)(struct kt *t);
	unsigned int flags;
};

/* One run: a line of the run file. */
struct kt_params {
	const struct copy_engine *engine;
	const char *cases;		/* pattern */
	bool real;			/* on @src and @dst instead of test disks */
	const char *src;
	const char *dst[DM_KCOPYD_MAX_REGIONS];
	unsigned int nr_dst;
	const char *zoned;
	unsigned int seconds;		/* length of each stress case */
	u64 seed;
};

/* One case being run. */
struct kt {
	const struct kt_params *p;
	const struct copy_engine *eng;
	const struct kt_case *c;
	struct rnd_state rnd;
	bool hung;			/* callbacks are missing: memory must be leaked */
	bool hotplug;			/* callbacks may run on other CPUs */
	const char *skip;		/* why the case could not run */

	struct kt_vol src;
	struct kt_vol dst[DM_KCOPYD_MAX_REGIONS];
	unsigned int nr_dst;

	spinlock_t lock;		/* protects the fields below */
	unsigned int failures;
	struct seq_buf *log;
};

__printf(2, 3) void kt_fail(struct kt *t, const char *fmt, ...);
__printf(2, 3) void kt_note(struct kt *t, const char *fmt, ...);

/* True if @cond holds; the case goes on either way. */
#define kt_expect(t, cond, fmt, ...)						\
({										\
	bool __ok = (cond);							\
										\
	if (!__ok)								\
		kt_fail(t, "%s:%d: " #cond ": " fmt, __func__, __LINE__, ##__VA_ARGS__);	\
	__ok;									\
})

#define kt_expect_eq(t, a, b, fmt, ...)						\
({										\
	u64 __a = (a);								\
	u64 __b = (b);								\
										\
	if (__a != __b)								\
		kt_fail(t, "%s:%d: " #a " is %#llx, not %#llx: " fmt, __func__, __LINE__,	\
			__a, __b, ##__VA_ARGS__);				\
	__a == __b;								\
})

u32 kt_random(struct kt *t, u32 limit);

/*
 * Jobs. A batch outlives its callbacks: if some are missing at the end it is leaked.
 */

struct kt_job {
	struct kt_batch *batch;
	atomic_t calls;
	int read_err;
	unsigned long write_err;
	unsigned int submit_cpu;
	unsigned int callback_cpu;
	unsigned int order;	/* among the callbacks of the batch */
	u64 ended;		/* ns */

	/*
	 * For cases that wait, resubmit or remember; @during is a part of the callback, @then ends
	 * it and may use the job again.
	 */
	void (*during)(struct kt_job *job);
	void (*then)(struct kt_job *job);
	unsigned int user;
	sector_t from;
	sector_t to;
	sector_t count;
};

struct kt_batch {
	struct kt *t;
	void *kc;
	atomic_t pending;
	atomic_t order;
	wait_queue_head_t wait;
	atomic_t *inside;		/* by submitting CPU: callbacks now running */
	unsigned int callback_ms;	/* callbacks sleep for so long */
	bool any_cpu;			/* callbacks may run anywhere */
	unsigned int nr;
	struct kt_job jobs[];
};

struct kt_batch *kt_batch_create(struct kt *t, void *kc, unsigned int nr);
int kt_batch_wait(struct kt_batch *b);
bool kt_batch_done(struct kt_batch *b);
void kt_batch_free(struct kt_batch *b);
void kt_job_done(int read_err, unsigned long write_err, void *context);

void kt_copy(struct kt_job *job, const struct dm_io_region *from, unsigned int num_dests,
	     const struct dm_io_region *dests, unsigned int flags);
void kt_zero(struct kt_job *job, unsigned int num_dests, const struct dm_io_region *dests,
	     unsigned int flags);

/* One job, waited for. False if it did not end. */
struct kt_result {
	int read_err;
	unsigned long write_err;
};

bool kt_copy_wait(struct kt *t, void *kc, const struct dm_io_region *from,
		  unsigned int num_dests, const struct dm_io_region *dests, unsigned int flags,
		  struct kt_result *result);
bool kt_zero_wait(struct kt *t, void *kc, unsigned int num_dests,
		  const struct dm_io_region *dests, unsigned int flags, struct kt_result *result);

void *kt_client(struct kt *t, union copy_throttle *throttle);
void kt_client_destroy(struct kt *t, void *kc);

/*
 * Devices and contents.
 */

bool kt_add_source(struct kt *t, const struct test_disk_params *params);
bool kt_add_disk(struct kt *t, const struct test_disk_params *params);
bool kt_vols(struct kt *t, unsigned int nr_dst, sector_t sectors);
/* The same and then a client without throttle; NULL if either failed. */
void *kt_vols_client(struct kt *t, unsigned int nr_dst, sector_t sectors);
void kt_disks_set(struct kt *t, enum test_disk_how how, unsigned int min_us,
		  unsigned int max_us);
void kt_put_vols(struct kt *t);

struct dm_io_region kt_region(struct kt_vol *vol, sector_t sector, sector_t count);
bool kt_fill(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count);
bool kt_holds(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count, u8 seed,
	      sector_t from);
bool kt_holds_own(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count);
bool kt_holds_zeroes(struct kt *t, struct kt_vol *vol, sector_t sector, sector_t count);
unsigned int kt_count_matching(struct kt *t, struct kt_vol *vol, sector_t sector,
			       sector_t count, u8 seed, sector_t from);

/*
 * CPUs and waiting.
 */

int kt_on_each_cpu(struct kt *t, void (*fn)(struct kt *t, unsigned int cpu, void *arg),
		   void *arg);
void kt_on_cpu(unsigned int cpu, void (*fn)(void *arg), void *arg);

/* Waits until @cond holds; false after KT_TIMEOUT. */
#define kt_wait_until(cond)							\
({										\
	unsigned long __end = jiffies + KT_TIMEOUT;				\
	bool __ok;								\
										\
	while (!(__ok = (cond)) && time_before(jiffies, __end))			\
		usleep_range(1000, 2000);					\
	__ok;									\
})

extern const struct kt_case kt_copy_cases[];
extern const struct kt_case kt_error_cases[];
extern const struct kt_case kt_life_cases[];
extern const struct kt_case kt_load_cases[];

/*
 * The only destination of a copy in order failed. Stock then sets all bits of write_err, and
 * read_err for segments that it gave up before they were read.
 */
static inline void kt_expect_seq_error(struct kt *t, const struct kt_result *res)
{
	if (t->eng->per_cpu)
		kt_expect(t, !res->read_err && res->write_err == 1, "%d, %#lx", res->read_err,
			  res->write_err);
	else
		kt_expect(t, res->write_err & 1, "%#lx", res->write_err);
}

#endif /* DM_SCALED_KCOPYD_TEST_H */
