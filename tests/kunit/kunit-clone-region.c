// SPDX-License-Identifier: GPL-2.0-only
/*
 * The regions of a clone: who fills them, and who waits for that.
 */
#include <linux/kthread.h>
#include <linux/random.h>
#include <linux/sched/task.h>

#include "dm-kcopyd-mq-job.h"
#include "kunit-region.h"

/*
 * Claims.
 */

static void one_has_it(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct clone *c = &f->clone;

	KUNIT_EXPECT_TRUE(test, clone_region_claim(c, 5));
	KUNIT_EXPECT_TRUE(test, kr_is_busy(f, 5));
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, clone_region_claim(c, 5));
	KUNIT_EXPECT_TRUE(test, clone_region_claim(c, 6));
	clone_region_release(c, 6, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_busy(f, 5));

	clone_region_release(c, 5, BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 5));
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, clone_region_claim(c, 5));
	clone_region_release(c, 5, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));
}

static void filled_is_hydrated(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct clone *c = &f->clone;

	kr_claim(test, f, 5);
	KUNIT_EXPECT_EQ(test, kr_counters(f).filled, 1L);
	KUNIT_EXPECT_EQ(test, clone_region_filled(c, 5, BLK_STS_OK), BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 5));
	/* It is nobody's any more, and stays so. */
	KUNIT_EXPECT_FALSE(test, clone_region_claim(c, 5));
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 5));

	kr_claim(test, f, 6);
	KUNIT_EXPECT_EQ(test, clone_region_filled(c, 6, BLK_STS_MEDIUM), BLK_STS_MEDIUM);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 6));
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 6));

	/* What can no longer be recorded has failed. */
	kr_claim(test, f, 6);
	c->mode = CLONE_READ_ONLY;
	KUNIT_EXPECT_EQ(test, clone_region_filled(c, 6, BLK_STS_OK), BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 6));
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 6));
}

/*
 * Writers that wait.
 */

static void writer_waits_until_filled(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	kr_claim(test, f, 5);
	rb = kr_write(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, kr_has_ended(rb));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 0U);
	KUNIT_EXPECT_EQ(test, kr_counters(f).bios.begun, 1UL);
	KUNIT_EXPECT_EQ(test, kr_counters(f).bios.ended, 0UL);

	clone_region_filled(&f->clone, 5, BLK_STS_OK);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 2, 3, 'w'));
	/* Nothing but the write, as all the rest is there. */
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 1U);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 0U);
}

static void writer_fails_with_whoever_fills(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb;

	kr_claim(test, f, 5);
	rb = kr_write(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	clone_region_filled(&f->clone, 5, BLK_STS_MEDIUM);
	kr_expect_ended(test, rb, BLK_STS_MEDIUM);
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->dest), 0U);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 5));

	/* The next one tries again. */
	rb = kr_write(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
}

/* If it is nobody's and not filled either a waiter fills it, or fails if it may not. */
static void writer_fills_itself(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb, *whole;

	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 5));
	rb = kr_write(test, f, 5 * REGION + 2, 3, DM_MAPIO_SUBMITTED);
	clone_region_release(&f->clone, 5, BLK_STS_OK);
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 2, 's'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 2, 3, 'w'));

	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 6));
	whole = kr_write(test, f, 6 * REGION, REGION, DM_MAPIO_SUBMITTED);
	clone_region_release(&f->clone, 6, BLK_STS_OK);
	kr_expect_ended(test, whole, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 6));
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 1U);

	KUNIT_ASSERT_TRUE(test, clone_region_claim(&f->clone, 7));
	rb = kr_write(test, f, 7 * REGION, 1, DM_MAPIO_SUBMITTED);
	f->clone.mode = CLONE_READ_ONLY;
	clone_region_release(&f->clone, 7, BLK_STS_OK);
	kr_expect_ended(test, rb, BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 7));
}

/* Until the region is released a flush may not know that it is hydrated. */
static void writer_waits_for_the_release(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *one, *several, *read;

	kr_claim(test, f, 5);
	kr_hydrate(f, 4);
	kr_hydrate(f, 5);
	read = kr_mapped(test, f, REQ_OP_READ, 5 * REGION, 1, 0, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, read, BLK_STS_OK);
	one = kr_write(test, f, 5 * REGION, 1, DM_MAPIO_SUBMITTED);
	/* A bio that begins before the region ends before it. */
	several = kr_write(test, f, 4 * REGION, 2 * REGION, DM_MAPIO_REMAPPED);
	kr_expect_ended(test, several, BLK_STS_OK);
	ku_pause();
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 4 * REGION, REGION, 'w'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, REGION, 'd'));
	KUNIT_EXPECT_FALSE(test, kr_has_ended(one));
	clone_region_filled(&f->clone, 5, BLK_STS_OK);
	kr_expect_ended(test, one, BLK_STS_OK);
}

/* A region that was copied together with others has no error of its own: the waiters find out. */
static void writer_tries_after_abandoned(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *rb[3];
	unsigned int i;

	kr_claim(test, f, 5);
	for (i = 0; i < ARRAY_SIZE(rb); i++)
		rb[i] = kr_write(test, f, 5 * REGION + i, 1, DM_MAPIO_SUBMITTED);
	clone_region_abandon(&f->clone, 5);
	for (i = 0; i < ARRAY_SIZE(rb); i++)
		kr_expect_ended(test, rb[i], BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION, 3, 'w'));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, 5 * REGION + 3, REGION - 3, 's'));
	/* One copy is enough for all of them. */
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), 1U);
	KUNIT_EXPECT_EQ(test, kr_counters(f).filled, 0L);

	/* And if it is this region that cannot be read, that is their error. */
	test_disk_fail(f->source, READS, 6 * REGION, 1, BLK_STS_MEDIUM);
	kr_claim(test, f, 6);
	for (i = 0; i < ARRAY_SIZE(rb); i++)
		rb[i] = kr_write(test, f, 6 * REGION + i, 1, DM_MAPIO_SUBMITTED);
	clone_region_abandon(&f->clone, 6);
	for (i = 0; i < ARRAY_SIZE(rb); i++)
		kr_expect_ended(test, rb[i], BLK_STS_IOERR);
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, 6));
	KUNIT_EXPECT_FALSE(test, kr_is_busy(f, 6));
}

/* A write of the whole region fails: that is nobody else's error. */
static void writer_tries_after_failed_replacement(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct kr_bio *whole, *part;

	test_disk_hold(f->dest);
	test_disk_fail(f->dest, WRITES, 5 * REGION + 7, 1, BLK_STS_MEDIUM);
	whole = kr_write(test, f, 5 * REGION, REGION, DM_MAPIO_REMAPPED);
	part = kr_write(test, f, 5 * REGION, 1, DM_MAPIO_SUBMITTED);
	test_disk_end_oldest(f->dest, 1);
	kr_expect_ended(test, whole, BLK_STS_MEDIUM);
	/* It has read the source by now, and writes it. */
	KUNIT_EXPECT_TRUE(test, kr_soon(test_disk_nr_records(f->source) == 1));
	test_disk_heal(f->dest);
	test_disk_release(f->dest);
	kr_expect_ended(test, part, BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, 5));
}

/* Whoever may be waiting for the background makes it urgent, for as long as he waits. */
static void writer_makes_background_urgent(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	struct clone *c = &f->clone;
	struct kr_bio *rb[2];
	atomic_t *urgent;

	c->background = dm_kcopyd_mq_client_create_background(NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(c->background));
	urgent = &c->background->urgent;

	kr_claim(test, f, 5);
	rb[0] = kr_write(test, f, 5 * REGION, 1, DM_MAPIO_SUBMITTED);
	/* It copies nothing. */
	KUNIT_EXPECT_EQ(test, atomic_read(urgent), 0);
	c->hydrator.copying = 1;
	rb[1] = kr_write(test, f, 5 * REGION + 1, 1, DM_MAPIO_SUBMITTED);
	KUNIT_EXPECT_EQ(test, atomic_read(urgent), 1);
	c->hydrator.copying = 0;
	clone_region_filled(c, 5, BLK_STS_OK);
	kr_expect_ended(test, rb[0], BLK_STS_OK);
	kr_expect_ended(test, rb[1], BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, atomic_read(urgent), 0);
	dm_kcopyd_mq_client_destroy(c->background);
}

static long fill_5(void *context)
{
	clone_region_filled(context, 5, BLK_STS_OK);
	return 0;
}

static void writer_stays_on_its_cpu(struct kunit *test)
{
	struct kr_bio *rb;
	struct kr_fixture *f;

	if (num_online_cpus() < 2)
		kunit_skip(test, "there is one CPU");
	f = kr_setup(test);
	kr_claim(test, f, 5);
	rb = kr_write(test, f, 5 * REGION, 1, DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_run_elsewhere(fill_5, &f->clone));
	kr_expect_ended(test, rb, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, rb->cpu, raw_smp_processor_id());
}

/* Those that wait for one region go on in the order in which they came; others stay. */
static void waiters_share_a_bucket(struct kunit *test)
{
	struct kr_fixture *f = kr_setup_near(test);
	struct kr_bio *waiters[NEAR][3];
	unsigned int i, j, k, order[] = { 1, 0, 2 };

	for (i = 0; i < NEAR; i++)
		kr_claim(test, f, f->near[i]);
	for (j = 0; j < 3; j++)
		for (i = 0; i < NEAR; i++)
			waiters[i][j] = kr_write(test, f, (f->near[i] << NEAR_SHIFT) + j % 2, 1,
						 DM_MAPIO_SUBMITTED);

	for (k = 0; k < NEAR; k++) {
		i = order[k];
		KUNIT_ASSERT_EQ(test, test_disk_record(f->dest, 8), 0);
		clone_region_filled(&f->clone, f->near[i], BLK_STS_OK);
		for (j = 0; j < 3; j++)
			kr_expect_ended(test, waiters[i][j], BLK_STS_OK);
		ku_pause();
		KUNIT_ASSERT_EQ(test, test_disk_nr_records(f->dest), 3U);
		for (j = 0; j < 3; j++)
			KUNIT_EXPECT_EQ(test, f->dest->records[j].sector,
					(f->near[i] << NEAR_SHIFT) + j % 2);
	}
}

static void neighbours_fail_alone(struct kunit *test)
{
	struct kr_fixture *f = kr_setup_near(test);
	struct kr_bio *fails, *waits;

	kr_claim(test, f, f->near[0]);
	kr_claim(test, f, f->near[1]);
	waits = kr_write(test, f, f->near[1] << NEAR_SHIFT, 1, DM_MAPIO_SUBMITTED);
	fails = kr_write(test, f, f->near[0] << NEAR_SHIFT, 1, DM_MAPIO_SUBMITTED);
	clone_region_filled(&f->clone, f->near[0], BLK_STS_IOERR);
	kr_expect_ended(test, fails, BLK_STS_IOERR);
	ku_pause();
	KUNIT_EXPECT_FALSE(test, kr_has_ended(waits));
	clone_region_filled(&f->clone, f->near[1], BLK_STS_OK);
	kr_expect_ended(test, waits, BLK_STS_OK);
}

/*
 * Another CPU that comes in between.
 *
 * What a case does is done again and again, and each time the other CPU comes at the next one of
 * the steps. It has done its part, or waits for the lock, before the first one goes on.
 */

static struct peer {
	struct task_struct *owner;
	void (*fn)(struct kr_fixture *f);
	spinlock_t *lock;	/* for which it may have to wait */
	unsigned int at;	/* the step at which it comes */
	unsigned int step;	/* so many have been */
	bool go;
	bool done;
} peer;

static int peer_thread(void *context)
{
	/* What the other CPU has done can be seen. */
	while (!smp_load_acquire(&peer.go))
		usleep_range(20, 50);
	peer.fn(context);
	/* What it has done can be seen. */
	smp_store_release(&peer.done, true);
	return 0;
}

static void peer_comes(void)
{
	ktime_t end;

	if (current != peer.owner || peer.step++ != peer.at)
		return;
	/* What has been done until now can be seen. */
	smp_store_release(&peer.go, true);
	end = ktime_add_ms(ktime_get(), 1000);
	do {
		/* So can what the peer has done. */
		if (smp_load_acquire(&peer.done))
			break;
		cpu_relax();
	} while (!spin_is_contended(peer.lock) && ktime_before(ktime_get(), end));
}

/**
 * struct meeting - what two CPUs do at the same time
 * @name:   of the case
 * @before: makes what there is to meet at
 * @fn:     what this CPU does
 * @peer:   what the other one does
 * @after:  must hold when both have done it
 */
struct meeting {
	const char *name;
	void (*before)(struct kunit *test, struct kr_fixture *f);
	void (*fn)(struct kr_fixture *f);
	void (*peer)(struct kr_fixture *f);
	void (*after)(struct kunit *test, struct kr_fixture *f);
};

static struct kr_bio *meeting_bios[NEAR];

static struct kr_bio *near_write(struct kunit *test, struct kr_fixture *f, unsigned int i)
{
	return kr_bio(test, f, REQ_OP_WRITE, f->near[i] << NEAR_SHIFT, 1, 'w');
}

static void map_bio(struct kr_fixture *f, unsigned int i)
{
	atomic_set(&meeting_bios[i]->ends, 0);
	kr_map(f, meeting_bios[i]);
}

static void map_first(struct kr_fixture *f)
{
	map_bio(f, 0);
}

static void map_second(struct kr_fixture *f)
{
	map_bio(f, 1);
}

static void fill_first(struct kr_fixture *f)
{
	clone_region_filled(&f->clone, f->near[0], BLK_STS_OK);
}

static void fill_second(struct kr_fixture *f)
{
	clone_region_filled(&f->clone, f->near[1], BLK_STS_OK);
}

static void fail_first(struct kr_fixture *f)
{
	clone_region_filled(&f->clone, f->near[0], BLK_STS_MEDIUM);
}

/* A bio for each region, of which the first two are being filled. */
static void two_are_filled(struct kunit *test, struct kr_fixture *f)
{
	unsigned int i;

	kr_claim(test, f, f->near[0]);
	kr_claim(test, f, f->near[1]);
	for (i = 0; i < 2; i++)
		meeting_bios[i] = near_write(test, f, i);
	meeting_bios[2] = NULL;
}

static void first_has_a_waiter(struct kunit *test, struct kr_fixture *f)
{
	two_are_filled(test, f);
	map_first(f);
}

static void both_have_waiters(struct kunit *test, struct kr_fixture *f)
{
	two_are_filled(test, f);
	meeting_bios[2] = near_write(test, f, 0);
	map_bio(f, 2);
	map_second(f);
	map_first(f);
}

static void all_go_on(struct kunit *test, struct kr_fixture *f)
{
	unsigned int i;

	for (i = 0; i < NEAR; i++) {
		if (!meeting_bios[i])
			continue;
		kr_expect_ended(test, meeting_bios[i], BLK_STS_OK);
		KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, f->near[i % 2]));
	}
}

/* What the second one waits for ends now. */
static void first_goes_on(struct kunit *test, struct kr_fixture *f)
{
	kr_expect_ended(test, meeting_bios[0], BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, kr_has_ended(meeting_bios[1]));
	fill_second(f);
	kr_expect_ended(test, meeting_bios[1], BLK_STS_OK);
}

/* A writer waits, or does not any more. */
static void only_first_goes_on(struct kunit *test, struct kr_fixture *f)
{
	kr_expect_ended(test, meeting_bios[0], BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, f->near[0]));
	fill_second(f);
}

/* It fails with whoever filled the region, or fills it itself. */
static void first_ends(struct kunit *test, struct kr_fixture *f)
{
	blk_status_t status;

	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&meeting_bios[0]->kb->ended, SOON));
	status = meeting_bios[0]->kb->status;
	KUNIT_EXPECT_EQ(test, kr_is_hydrated(f, f->near[0]), !status);
	if (status)
		KUNIT_EXPECT_EQ(test, status, BLK_STS_MEDIUM);
	fill_second(f);
}

static const struct meeting meetings[] = {
	{ "filled while a writer comes", two_are_filled, map_first, fill_first,
	  only_first_goes_on },
	{ "failed while a writer comes", two_are_filled, map_first, fail_first, first_ends },
	{ "a writer comes while filled", two_are_filled, fill_first, map_first,
	  only_first_goes_on },
	{ "a writer comes while failing", two_are_filled, fail_first, map_first, first_ends },
	{ "neighbour filled while a writer comes", first_has_a_waiter, map_second, fill_first,
	  first_goes_on },
	{ "a writer comes while a neighbour is filled", first_has_a_waiter, fill_first, map_second,
	  first_goes_on },
	{ "two are filled", both_have_waiters, fill_first, fill_second, all_go_on },
};

static void meeting_desc(const struct meeting *m, char *desc)
{
	strscpy(desc, m->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(meeting, meetings, meeting_desc);

static unsigned int other_cpu(void)
{
	return cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
}

/* Returns whether the other CPU came in between, and not after it all. */
static bool meet(struct kunit *test, struct kr_fixture *f, const struct meeting *m, unsigned int at)
{
	struct task_struct *task;
	bool came;

	m->before(test, f);
	peer = (struct peer) {
		.owner = current,
		.fn = m->peer,
		.lock = kr_waiters_lock(f, f->near[0]),
		.at = at,
	};
	task = kthread_create_on_cpu(peer_thread, f, other_cpu(), "kunit/%u");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	get_task_struct(task);
	wake_up_process(task);

	WRITE_ONCE(kr_between, peer_comes);
	m->fn(f);
	WRITE_ONCE(kr_between, NULL);
	came = peer.go;
	/* If it has not come yet it does so now. */
	smp_store_release(&peer.go, true);
	/* A thread that is stopped before it has begun would do nothing; acquires what it did. */
	KUNIT_EXPECT_TRUE(test, kr_soon(smp_load_acquire(&peer.done)));
	kthread_stop(task);
	put_task_struct(task);

	m->after(test, f);
	kr_forget(f, f->near[0]);
	kr_forget(f, f->near[1]);
	return came;
}

static void nobody_is_missed(struct kunit *test)
{
	const struct meeting *m = test->param_value;
	unsigned int at = 0;
	struct kr_fixture *f;

	if (num_online_cpus() < 2)
		kunit_skip(test, "there is one CPU");
	f = kr_setup_near(test);
	while (meet(test, f, m, at))
		at++;
	KUNIT_EXPECT_GE(test, at, 2U);
	KUNIT_EXPECT_LT(test, at, 100U);
}

/*
 * All CPUs.
 */

#define CLAIM_ROUNDS	200

struct claims {
	struct kr_fixture *f;
	atomic_t owners[REGIONS];
	atomic_t wrong;
	atomic_t filled;
};

static void claim_all(unsigned int cpu, void *arg)
{
	struct claims *claims = arg;
	struct clone *c = &claims->f->clone;
	unsigned long region;
	unsigned int round;

	for (round = 0; round < CLAIM_ROUNDS; round++) {
		for (region = 0; region < REGIONS; region++) {
			if (!clone_region_claim(c, region))
				continue;
			this_cpu_inc(c->cpus->filled);
			if (atomic_inc_return(&claims->owners[region]) != 1)
				atomic_inc(&claims->wrong);
			atomic_dec(&claims->owners[region]);
			/* In the end all of them are filled. */
			if (round < CLAIM_ROUNDS - 1) {
				clone_region_filled(c, region, BLK_STS_IOERR);
			} else {
				atomic_inc(&claims->filled);
				clone_region_filled(c, region, BLK_STS_OK);
			}
		}
	}
}

static void all_cpus_claim(struct kunit *test)
{
	struct claims *claims = kunit_kzalloc(test, sizeof(*claims), GFP_KERNEL);
	struct kr_fixture *f = kr_setup(test);

	KUNIT_ASSERT_NOT_NULL(test, claims);
	claims->f = f;
	ku_run_on_cpus(test, claim_all, claims);
	KUNIT_EXPECT_EQ(test, atomic_read(&claims->wrong), 0);
	/* A region that the others had at every CPU's last look was left to them. */
	KUNIT_EXPECT_EQ(test, atomic_read(&claims->filled),
			(int)percpu_counter_sum(&f->clone.bitmap->count));
	KUNIT_EXPECT_LE(test, atomic_read(&claims->filled), (int)REGIONS);
	KUNIT_EXPECT_GT(test, atomic_read(&claims->filled), 0);
}

#define WRITE_CPUS	REGION

struct writes {
	struct kr_fixture *f;
	struct kr_bio **bios;	/* so many for each CPU */
	unsigned int nr;
};

/* For one CPU after the other. */
static void writes_create(struct kunit *test, struct kr_fixture *f, struct writes *w,
			  unsigned int nr)
{
	w->f = f;
	w->nr = nr;
	w->bios = kunit_kcalloc(test, nr_cpu_ids * nr, sizeof(*w->bios), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, w->bios);
}

static void map_all(unsigned int cpu, void *arg)
{
	struct writes *w = arg;
	unsigned int i;

	for (i = 0; i < w->nr; i++) {
		struct kr_bio *rb = w->bios[cpu * w->nr + i];

		if (!rb)
			continue;
		atomic_set(&rb->ends, 0);
		kr_map(w->f, rb);
	}
}

static unsigned int not_ended(struct writes *w)
{
	unsigned int i, left = 0;

	for (i = 0; i < nr_cpu_ids * w->nr; i++)
		left += w->bios[i] && !kr_has_ended(w->bios[i]);
	return left;
}

/* Each CPU writes a sector of each region, beginning elsewhere. */
static void all_cpus_write(struct kunit *test)
{
	struct kr_fixture *f = kr_setup(test);
	unsigned long i, region;
	unsigned int cpu;
	struct writes w;
	u8 byte;

	writes_create(test, f, &w, REGIONS - 1);
	for_each_online_cpu(cpu) {
		for (i = 0; cpu < WRITE_CPUS && i < REGIONS - 1; i++) {
			region = (i + cpu / 2) % (REGIONS - 1);
			w.bios[cpu * w.nr + i] = kr_bio(test, f, REQ_OP_WRITE,
							region * REGION + cpu, 1, 'A' + cpu);
		}
	}
	test_disk_set(f->source, TEST_DISK_IRQ, 0, 100);
	test_disk_set(f->dest, TEST_DISK_IRQ, 0, 100);
	WRITE_ONCE(kr_between, kr_dawdle);
	ku_run_on_cpus(test, map_all, &w);
	KUNIT_EXPECT_TRUE(test, kr_soon(!not_ended(&w)));
	WRITE_ONCE(kr_between, NULL);

	/* Each region was copied once. */
	KUNIT_EXPECT_EQ(test, test_disk_nr_records(f->source), (unsigned int)REGIONS - 1);
	for (region = 0; region < REGIONS - 1; region++) {
		KUNIT_EXPECT_TRUE(test, kr_is_hydrated(f, region));
		for (i = 0; i < REGION; i++) {
			byte = i < nr_cpu_ids && cpu_online(i) ? 'A' + i : 's';
			KUNIT_EXPECT_TRUE(test, ku_disk_holds(f->dest, region * REGION + i, 1,
							      byte));
		}
	}
	KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, REGIONS - 1));
}

#define STORM_WRITES	150

/* No copy succeeds, so that there is always something to wait for, in one bucket. */
static void all_cpus_wait(struct kunit *test)
{
	struct kr_fixture *f = kr_setup_near(test);
	struct kr_bio *rb;
	struct writes w;
	unsigned int cpu, i;

	test_disk_fail(f->source, READS, 0, NEAR_SIZE, BLK_STS_MEDIUM);
	writes_create(test, f, &w, STORM_WRITES);
	for_each_online_cpu(cpu)
		for (i = 0; i < STORM_WRITES; i++)
			w.bios[cpu * w.nr + i] = near_write(test, f, (i + cpu) % NEAR);
	WRITE_ONCE(kr_between, kr_dawdle);
	ku_run_on_cpus(test, map_all, &w);
	KUNIT_EXPECT_TRUE(test, kr_soon(!not_ended(&w)));
	WRITE_ONCE(kr_between, NULL);
	KUNIT_EXPECT_EQ(test, not_ended(&w), 0U);
	for (rb = f->bios; rb; rb = rb->next)
		if (kr_has_ended(rb))
			KUNIT_EXPECT_EQ(test, rb->kb->status, BLK_STS_IOERR);
	for (i = 0; i < NEAR; i++)
		KUNIT_EXPECT_FALSE(test, kr_is_hydrated(f, f->near[i]));
}

static struct kunit_case region_cases[] = {
	KUNIT_CASE(one_has_it),
	KUNIT_CASE(filled_is_hydrated),
	KUNIT_CASE(writer_waits_until_filled),
	KUNIT_CASE(writer_fails_with_whoever_fills),
	KUNIT_CASE(writer_fills_itself),
	KUNIT_CASE(writer_waits_for_the_release),
	KUNIT_CASE(writer_tries_after_abandoned),
	KUNIT_CASE(writer_tries_after_failed_replacement),
	KUNIT_CASE(writer_makes_background_urgent),
	KUNIT_CASE(writer_stays_on_its_cpu),
	KUNIT_CASE(waiters_share_a_bucket),
	KUNIT_CASE(neighbours_fail_alone),
	KUNIT_CASE_PARAM(nobody_is_missed, meeting_gen_params),
	KUNIT_CASE(all_cpus_claim),
	KUNIT_CASE(all_cpus_write),
	KUNIT_CASE(all_cpus_wait),
	{}
};

static struct kunit_suite region_suite = {
	.name = "dm-clone-region",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = kr_exit,
	.test_cases = region_cases,
};

kunit_test_suite(region_suite);
