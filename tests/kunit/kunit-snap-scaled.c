// SPDX-License-Identifier: GPL-2.0-only
/*
 * The snapshot target: table lines, limits, which target has the snapshot, status, and where bios
 * go. Its targets are in no table: what would look at one looks at struct ku_snap instead.
 */
#include "kunit-lib.h"
#include "dm-kcopyd-mq-job.h"
#include "dm-snap-bucket.h"

static atomic_t events;

#define dm_table_event(table)		atomic_inc(&events)
#define dm_table_device_name(table)	"kunit"
#define dm_table_get_md(table)		NULL
#define dm_per_bio_data(b, size)	(&container_of(b, struct ku_bio, bio)->sb)
#define dm_bio_get_target_bio_nr(b)	(container_of(b, struct ku_bio, bio)->number)

#include "dm-snap-life.c"
#include "dm-snap-scaled.c"

/*
 * For all suites.
 */

unsigned int ku_events(void)
{
	return atomic_read(&events);
}

static struct ku_snap *target_create(struct kunit *test, struct block_device *origin,
				     struct block_device *cow, unsigned int chunk_size)
{
	struct ku_snap *ks = kunit_kzalloc(test, sizeof(*ks), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ks);
	ks->origin_dev.bdev = origin;
	strscpy(ks->origin_dev.name, "1:2", sizeof(ks->origin_dev.name));
	ks->cow_dev.bdev = cow;
	strscpy(ks->cow_dev.name, "3:4", sizeof(ks->cow_dev.name));
	ks->ti.len = bdev_nr_sectors(origin);
	ks->ti.private = &ks->t;
	ks->ti.type = &snap_target_type;
	ks->t.ti = &ks->ti;
	ks->t.origin_dev = &ks->origin_dev;
	ks->t.cow_dev = &ks->cow_dev;
	ks->t.chunk_size = chunk_size;
	return ks;
}

/* Enters a target in the registry, as its constructor would. */
static int target_register(struct kunit *test, struct ku_snap *ks)
{
	struct ku *ku = ku_of(test);
	int r;

	KUNIT_ASSERT_LT(test, ku->nr_snaps, KU_MAX_SNAPS);
	r = snap_target_register(&ks->t);
	if (!r)
		ku->snaps[ku->nr_snaps++] = ks;
	return r;
}

struct ku_snap *ku_snap(struct kunit *test, struct block_device *origin, struct block_device *cow,
			unsigned int chunk_size)
{
	struct ku_snap *ks = target_create(test, origin, cow, chunk_size);

	KUNIT_ASSERT_EQ(test, target_register(test, ks), 0);
	return ks;
}

struct ku_snap *ku_snap_attached(struct kunit *test, struct test_disk *origin,
				 struct test_disk *cow, unsigned int chunk_size)
{
	struct ku_snap *ks = ku_snap(test, origin->bdev, cow->bdev, chunk_size);

	snap_resume(&ks->ti);
	return ks;
}

struct ku_snap *ku_snap_persistent(struct kunit *test, struct test_disk *origin,
				   struct test_disk *cow, unsigned int chunk_size)
{
	struct ku_snap *ks = target_create(test, origin->bdev, cow->bdev, chunk_size);

	ks->t.persistent = true;
	KUNIT_ASSERT_EQ(test, target_register(test, ks), 0);
	snap_resume(&ks->ti);
	return ks;
}

void ku_snap_destroy(struct ku_snap *ks)
{
	snap_target_unregister(&ks->t);
	if (ks->t.new_merge)
		snap_merge_destroy(ks->t.new_merge);
}

/* @error begins with what was expected. */
static void expect_error(struct kunit *test, const char *error, const char *expected)
{
	KUNIT_ASSERT_NOT_NULL(test, error);
	KUNIT_EXPECT_TRUE_MSG(test, str_has_prefix(error, expected), "%s", error);
}

/*
 * Table lines.
 */

#define MAX_ARGS	5

struct features {
	unsigned int argc;
	char *argv[MAX_ARGS];
	bool zeroes, passdown;
	const char *error;	/* NULL if the line is right */
	bool commits_writes;
};

#define ZEROES		"discard_zeroes_cow"
#define PASSDOWN	"discard_passdown_origin"

static const struct features feature_lines[] = {
	{ 0, { NULL }, false, false, NULL },
	{ 1, { "0" }, false, false, NULL },
	{ 2, { "1", ZEROES }, true, false, NULL },
	{ 3, { "2", ZEROES, PASSDOWN }, true, true, NULL },
	{ 3, { "2", PASSDOWN, ZEROES }, true, true, NULL },
	{ 2, { "1", "Discard_Zeroes_COW" }, true, false, NULL },
	{ 3, { "2", ZEROES, ZEROES }, true, false, NULL },
	{ 2, { "1", PASSDOWN }, false, false, "Feature discard_passdown_origin needs" },
	{ 2, { "1", "discard" }, false, false, "Unknown feature" },
	{ 2, { "1", "" }, false, false, "Unknown feature" },
	{ 1, { "1" }, false, false, "Wrong number of features" },
	{ 2, { "2", ZEROES }, false, false, "Wrong number of features" },
	{ 4, { "3", ZEROES, PASSDOWN, ZEROES }, false, false, "Wrong number of features" },
	{ 5, { "4", ZEROES, PASSDOWN, ZEROES, "commit=write" }, false, false,
	  "Wrong number of features" },
	{ 2, { "1", "commit=flush" }, false, false, NULL },
	{ 2, { "1", "Commit=Write" }, false, false, NULL, true },
	{ 4, { "3", ZEROES, "commit=write", PASSDOWN }, true, true, NULL, true },
	{ 3, { "2", "commit=write", "commit=flush" }, false, false,
	  "Feature commit= is there twice" },
	{ 2, { "1", "commit=" }, false, false, "Unknown feature" },
	{ 2, { "1", "commit" }, false, false, "Unknown feature" },
	{ 1, { "-1" }, false, false, "Wrong number of features" },
	{ 2, { ZEROES, "1" }, false, false, "Wrong number of features" },
	{ 2, { "0", ZEROES }, false, false, "Arguments left over" },
	{ 3, { "1", ZEROES, PASSDOWN }, false, false, "Arguments left over" },
};

static void features_desc(const struct features *f, char *desc)
{
	unsigned int i, len = 0;

	desc[0] = '\0';
	for (i = 0; i < f->argc; i++)
		len += scnprintf(desc + len, KUNIT_PARAM_DESC_SIZE - len, "%s[%s]", i ? " " : "",
				 f->argv[i]);
	if (!len)
		strscpy(desc, "nothing", KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(features, feature_lines, features_desc);

/* As many features as are announced, and nothing behind them. */
static void parses_features(struct kunit *test)
{
	const struct features *f = test->param_value;
	struct dm_arg_set as;
	struct dm_target ti = { .error = NULL };
	struct snap_target t = { .ti = &ti, .persistent = true };
	char *argv[MAX_ARGS];

	memcpy(argv, f->argv, sizeof(argv));
	as.argc = f->argc;
	as.argv = argv;
	if (f->error) {
		KUNIT_EXPECT_EQ(test, snap_parse_features(&t, &as), -EINVAL);
		expect_error(test, ti.error, f->error);
		return;
	}
	KUNIT_EXPECT_EQ(test, snap_parse_features(&t, &as), 0);
	KUNIT_EXPECT_NULL(test, ti.error);
	KUNIT_EXPECT_EQ(test, t.discard_zeroes_cow, f->zeroes);
	KUNIT_EXPECT_EQ(test, t.discard_passdown_origin, f->passdown);
	KUNIT_EXPECT_EQ(test, t.commits_writes, f->commits_writes);
}

/* What a transient snapshot has is never durable. */
static void refuses_commit_of_a_transient_snapshot(struct kunit *test)
{
	char none[] = "no such device", n[] = "N";
	char size[] = "8", one[] = "1", flush[] = "commit=flush";
	char *argv[6] = { none, none, n, size, one, flush };
	struct dm_target ti = { .error = NULL };

	KUNIT_EXPECT_EQ(test, snap_ctr(&ti, ARRAY_SIZE(argv), argv), -EINVAL);
	expect_error(test, ti.error, "Feature commit= needs exception store P");
}

struct arg {
	const char *arg;
	unsigned int value;
	const char *error;
};

#define STORE_P		1
#define STORE_O		2

static const struct arg stores[] = {
	{ "N", 0, NULL },
	{ "n", 0, NULL },
	{ "NO", 0, "Exception store N takes no options" },
	{ "N ", 0, "Exception store N takes no options" },
	{ "P", STORE_P, NULL },
	{ "p", STORE_P, NULL },
	{ "PO", STORE_P | STORE_O, NULL },
	{ "po", STORE_P | STORE_O, NULL },
	{ "PX", 0, "Unknown option of exception store P" },
	{ "POO", 0, "Unknown option of exception store P" },
	{ "", 0, "Unknown type of exception store" },
	{ "X", 0, "Unknown type of exception store" },
	{ "8", 0, "Unknown type of exception store" },
};

static void arg_desc(const struct arg *arg, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "[%s]", arg->arg);
}

KUNIT_ARRAY_PARAM(store, stores, arg_desc);

static void parses_the_store(struct kunit *test)
{
	const struct arg *arg = test->param_value;
	struct dm_target ti = { .error = NULL };
	struct snap_target t = { .ti = &ti };

	KUNIT_EXPECT_EQ(test, snap_parse_store(&t, arg->arg), arg->error ? -EINVAL : 0);
	if (arg->error) {
		expect_error(test, ti.error, arg->error);
		return;
	}
	KUNIT_EXPECT_EQ(test, t.persistent, !!(arg->value & STORE_P));
	KUNIT_EXPECT_EQ(test, t.overflow, !!(arg->value & STORE_O));
}

/* Powers of two, up to what fits into 31 bits as bytes. */
static const struct arg chunk_sizes[] = {
	{ "1", 1, NULL },
	{ "8", 8, NULL },
	{ "0008", 8, NULL },
	{ "1048576", 1048576, NULL },
	{ "2097152", 2097152, NULL },
	{ "4194304", 0, "Chunk size too large" },
	{ "2147483648", 0, "Chunk size too large" },
	{ "4294967296", 0, "Invalid chunk size: must be a number" },
	{ "18446744073709551624", 0, "Invalid chunk size: must be a number" },
	{ "0", 0, "Invalid chunk size: must be a power of 2" },
	{ "3", 0, "Invalid chunk size: must be a power of 2" },
	{ "4194303", 0, "Invalid chunk size: must be a power of 2" },
	{ "-8", 0, "Invalid chunk size: must be a number" },
	{ "", 0, "Invalid chunk size: must be a number" },
	{ " 8", 0, "Invalid chunk size: must be a number" },
	{ "8k", 0, "Invalid chunk size: must be a number" },
	{ "0x8", 0, "Invalid chunk size: must be a number" },
	{ "8.0", 0, "Invalid chunk size: must be a number" },
};

KUNIT_ARRAY_PARAM(chunk_size, chunk_sizes, arg_desc);

static void parses_the_chunk_size(struct kunit *test)
{
	const struct arg *arg = test->param_value;
	struct dm_target ti = { .error = NULL };
	struct snap_target t = { .ti = &ti };

	KUNIT_EXPECT_EQ(test, snap_parse_chunk_size(&t, arg->arg), arg->error ? -EINVAL : 0);
	if (arg->error)
		expect_error(test, ti.error, arg->error);
	else
		KUNIT_EXPECT_EQ(test, t.chunk_size, arg->value);
}

struct devices {
	const char *name;
	unsigned int origin_block, cow_block;
	sector_t cow_sectors;
	unsigned int chunk_size;
	const char *error;
	bool persistent;
};

static const struct devices device_pairs[] = {
	{ "512 bytes", 512, 512, 1024, 1, NULL },
	{ "4 KiB, chunks as large", 4096, 4096, 1024, 8, NULL },
	{ "origin of 4 KiB, chunks too small", 4096, 512, 1024, 4, "Chunk size too small" },
	{ "COW device of 4 KiB, chunks too small", 512, 4096, 1024, 4, "Chunk size too small" },
	{ "COW device of 16 KiB", 512, 16384, 1024, 32, NULL },
	{ "the same, persistent", 512, 16384, 1024, 32, "Persistent: logical blocks", true },
	{ "origin of 16 KiB, persistent", 16384, 4096, 1024, 32, NULL, true },
	{ "empty", 512, 512, 0, 8, NULL },
	{ "as many chunks as can be counted", 512, 512, (1ULL << 51) - 1, 8, NULL },
	{ "one more", 512, 512, 1ULL << 51, 8, "COW device has too many chunks" },
	{ "the same with larger chunks", 512, 512, 1ULL << 51, 16, NULL },
};

static void devices_desc(const struct devices *d, char *desc)
{
	strscpy(desc, d->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(devices, device_pairs, devices_desc);

static void checks_the_devices(struct kunit *test)
{
	const struct devices *d = test->param_value;
	struct ku_snap *ks = target_create(test, ku_fake_bdev(test, 1024, d->origin_block),
					   ku_fake_bdev(test, d->cow_sectors, d->cow_block),
					   d->chunk_size);

	ks->t.persistent = d->persistent;
	KUNIT_EXPECT_EQ(test, snap_check_devices(&ks->t), d->error ? -EINVAL : 0);
	if (d->error)
		expect_error(test, ks->ti.error, d->error);
}

/* Copies go on without memory, and none is shorter than a block. */
static void copies_have_room_for_a_block(struct kunit *test)
{
	struct ku_snap *ks = ku_snap(test, ku_fake_bdev(test, 1024, 512),
				     ku_fake_bdev(test, 1024, SZ_32K), 64);

	KUNIT_EXPECT_EQ(test, ks->t.snap->kcopyd->reserve.size, SZ_32K / PAGE_SIZE);
}

static void refuses_one_device_for_both(struct kunit *test)
{
	struct block_device *bdev = ku_fake_bdev(test, 1024, 512);
	struct ku_snap *ks = target_create(test, bdev, bdev, 8);

	KUNIT_EXPECT_EQ(test, snap_check_devices(&ks->t), -EINVAL);
	expect_error(test, ks->ti.error, "COW device must not be the origin");
}

/* Arguments are looked at before any device is opened. */
static void constructor_checks_arguments_first(struct kunit *test)
{
	char none[] = "no such device", n[] = "N", p[] = "PX";
	char size[] = "8", bad[] = "7", two[] = "2";
	struct {
		unsigned int argc;
		char *argv[5];
		const char *error;
	} lines[] = {
		{ 0, { NULL }, "Too few arguments" },
		{ 3, { none, none, n }, "Too few arguments" },
		{ 4, { none, none, p, size }, "Unknown option" },
		{ 4, { none, none, n, bad }, "Invalid chunk size" },
		{ 5, { none, none, n, size, two }, "Wrong number of features" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lines); i++) {
		struct dm_target ti = { .error = NULL };

		KUNIT_EXPECT_EQ(test, snap_ctr(&ti, lines[i].argc, lines[i].argv), -EINVAL);
		expect_error(test, ti.error, lines[i].error);
	}
}

static void expect_status(struct kunit *test, struct ku_snap *ks, status_type_t type,
			  const char *expected)
{
	char *result = kunit_kzalloc(test, 256, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, result);
	snap_status(&ks->ti, type, 0, result, 256);
	KUNIT_EXPECT_STREQ(test, result, expected);
}

/*
 * Which target has the snapshot.
 */

struct registry {
	struct block_device *origin, *cow, *other_cow;
};

static struct registry registry(struct kunit *test)
{
	return (struct registry){
		.origin = ku_fake_bdev(test, 1024, 512),
		.cow = ku_fake_bdev(test, 1024, 512),
		.other_cow = ku_fake_bdev(test, 512, 512),
	};
}

/* One table for a COW device may wait, not two. */
static void one_target_waits_for_a_cow_device(struct kunit *test)
{
	struct registry r = registry(test);
	struct ku_snap *first = ku_snap(test, r.origin, r.cow, 8), *second, *other;

	KUNIT_EXPECT_NOT_NULL(test, first->t.snap);
	second = target_create(test, r.origin, r.cow, 8);
	KUNIT_EXPECT_EQ(test, target_register(test, second), -EBUSY);
	expect_error(test, second->ti.error, "Another table for this COW device is waiting");

	other = ku_snap(test, r.origin, r.other_cow, 8);
	KUNIT_EXPECT_NOT_NULL(test, other->t.snap);
	KUNIT_EXPECT_PTR_NE(test, other->t.snap, first->t.snap);

	/* The first has become active: now one may wait to take over. */
	snap_resume(&first->ti);
	KUNIT_EXPECT_EQ(test, first->t.state, SNAP_TARGET_ACTIVE);
	KUNIT_EXPECT_EQ(test, target_register(test, second), 0);
	KUNIT_EXPECT_NULL(test, second->t.snap);
	second = target_create(test, r.origin, r.cow, 8);
	KUNIT_EXPECT_EQ(test, target_register(test, second), -EBUSY);
}

/* The snapshot passes on with what it has copied; the new table only gives it another size. */
static void resume_takes_the_snapshot_over(struct kunit *test)
{
	struct registry r = registry(test);
	struct ku_snap *from = ku_snap(test, r.origin, r.cow, 8), *to, *third;
	struct dm_snapshot *snap = from->t.snap;

	KUNIT_EXPECT_EQ(test, from->t.state, SNAP_TARGET_READY);
	snap_resume(&from->ti);
	snap_postsuspend(&from->ti);
	snap_resume(&from->ti);		/* changes nothing */
	to = ku_snap(test, r.origin, r.cow, 64);
	KUNIT_EXPECT_EQ(test, to->t.state, SNAP_TARGET_WAITING);
	to->ti.len = 512;
	snap_postsuspend(&from->ti);
	snap_resume(&to->ti);

	KUNIT_EXPECT_PTR_EQ(test, to->t.snap, snap);
	KUNIT_EXPECT_NULL(test, from->t.snap);
	KUNIT_EXPECT_EQ(test, from->t.state, SNAP_TARGET_HANDED_OVER);
	KUNIT_EXPECT_EQ(test, to->t.state, SNAP_TARGET_ACTIVE);
	KUNIT_EXPECT_TRUE(test, snap->attached);
	KUNIT_EXPECT_PTR_EQ(test, snap->ti, &to->ti);
	KUNIT_EXPECT_EQ(test, snap->end, 512);
	KUNIT_EXPECT_EQ(test, snap->store.chunk_size, 8);
	KUNIT_EXPECT_EQ(test, to->t.chunk_size, 8);

	/* The first one gets nothing back, whether the other one is suspended or not. */
	KUNIT_EXPECT_EQ(test, snap_preresume(&from->ti), 0);
	snap_resume(&from->ti);
	snap_postsuspend(&to->ti);
	snap_postsuspend(&from->ti);
	snap_resume(&from->ti);
	KUNIT_EXPECT_NULL(test, from->t.snap);
	KUNIT_EXPECT_EQ(test, from->t.state, SNAP_TARGET_HANDED_OVER);
	KUNIT_EXPECT_PTR_EQ(test, to->t.snap, snap);

	/* And on: the first one is not asked any more. */
	third = ku_snap(test, r.origin, r.cow, 8);
	spin_lock(&snap_registry_lock);
	KUNIT_EXPECT_PTR_EQ(test, snap_target_source(&third->t), &to->t);
	KUNIT_EXPECT_PTR_EQ(test, snap_target_source(&from->t), &from->t);
	spin_unlock(&snap_registry_lock);
}

/* Who has the snapshot is removed, or resumed in the last moment: there is nothing to take over. */
static void source_is_gone(struct kunit *test)
{
	struct registry r = registry(test);
	struct ku_snap *from = target_create(test, r.origin, r.cow, 8), *to;

	KUNIT_ASSERT_EQ(test, snap_target_register(&from->t), 0);
	snap_resume(&from->ti);
	snap_postsuspend(&from->ti);
	to = ku_snap(test, r.origin, r.cow, 8);
	KUNIT_EXPECT_EQ(test, snap_preresume(&to->ti), 0);
	snap_target_unregister(&from->t);
	KUNIT_EXPECT_EQ(test, to->t.state, SNAP_TARGET_ORPHANED);
	snap_resume(&to->ti);
	snap_postsuspend(&to->ti);
	KUNIT_EXPECT_EQ(test, to->t.state, SNAP_TARGET_ORPHANED);
	KUNIT_EXPECT_NULL(test, to->t.snap);

	from = ku_snap(test, r.origin, r.cow, 8);
	snap_resume(&from->ti);
	to = ku_snap(test, r.origin, r.cow, 8);
	snap_resume(&to->ti);
	KUNIT_EXPECT_EQ(test, to->t.state, SNAP_TARGET_ORPHANED);
	KUNIT_EXPECT_EQ(test, from->t.state, SNAP_TARGET_ACTIVE);
	KUNIT_EXPECT_NOT_NULL(test, from->t.snap);
}

/* Each state is entered only from those from which there is a way. */
static void states_are_entered_in_order(struct kunit *test)
{
	static const struct {
		enum snap_target_state from, to;
	} ways[] = {
		{ SNAP_TARGET_LOADING, SNAP_TARGET_READY },
		{ SNAP_TARGET_READY, SNAP_TARGET_ACTIVE },
		{ SNAP_TARGET_WAITING, SNAP_TARGET_ACTIVE },
		{ SNAP_TARGET_SUSPENDED, SNAP_TARGET_ACTIVE },
		{ SNAP_TARGET_ACTIVE, SNAP_TARGET_SUSPENDED },
		{ SNAP_TARGET_SUSPENDED, SNAP_TARGET_HANDED_OVER },
		{ SNAP_TARGET_WAITING, SNAP_TARGET_ORPHANED },
	};
	struct snap_target t = { };
	unsigned int i, from, nr = 0;

	spin_lock(&snap_registry_lock);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		t.state = ways[i].from;
		KUNIT_EXPECT_TRUE(test, snap_target_enter(&t, ways[i].to));
		KUNIT_EXPECT_EQ(test, t.state, ways[i].to);
	}
	spin_unlock(&snap_registry_lock);
	for (i = 0; i < ARRAY_SIZE(snap_target_from); i++)
		for (from = 0; from < ARRAY_SIZE(snap_target_from); from++)
			nr += !!(snap_target_from[i] & BIT(from));
	KUNIT_EXPECT_EQ(test, nr, ARRAY_SIZE(ways));
}

static void set_merges(struct kunit *test, struct ku_snap *ks)
{
	ks->ti.type = &snap_merge_target_type;
	ks->t.persistent = true;
	ks->t.merges = true;
	ks->t.new_merge = snap_merge_create(ks->t.cow_dev->bdev, ks->t.origin_dev->bdev);
	KUNIT_ASSERT_NOT_NULL(test, ks->t.new_merge);
}

/* That exceptions may or may not be on disk any more is known as long as the snapshot is loaded. */
static void unsure_batch_is_remembered(struct kunit *test)
{
	struct test_disk *origin = ku_disk(test, 2048, 0), *cow = ku_disk(test, 2048, 0);
	struct ku_snap *ks = ku_snap_persistent(test, origin, cow, 8), *first, *second;
	struct dm_snapshot *snap = ks->t.snap;
	struct ku_snap *lost, *last;
	struct snap_disk_exception *block;
	struct snap_merge *merge;
	struct ku_bio *kb;

	kb = ku_bio(test, cow, REQ_OP_WRITE, 16, 8, 's');
	KUNIT_ASSERT_EQ(test, snap_pending_write(snap, 2, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	snap_pending_drain(snap);
	test_disk_fail(cow, OP_BIT(REQ_OP_WRITE), 8, 1, BLK_STS_IOERR);

	first = target_create(test, origin->bdev, cow->bdev, 8);
	set_merges(test, first);
	KUNIT_ASSERT_EQ(test, target_register(test, first), 0);
	snap_postsuspend(&ks->ti);
	snap_resume(&first->ti);
	merge = snap->merge;
	KUNIT_ASSERT_NOT_NULL(test, merge);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(snap_merge_failed(merge)));
	KUNIT_EXPECT_TRUE(test, snap_merge_unsure(merge));
	snap_merge_presuspend(&first->ti);
	snap_postsuspend(&first->ti);

	second = target_create(test, origin->bdev, cow->bdev, 8);
	set_merges(test, second);
	KUNIT_ASSERT_EQ(test, target_register(test, second), 0);
	expect_status(test, second, STATUSTYPE_INFO, "Merge failed");
	/* Before the merge goes on: its next failure would leave the batch unsure anew. */
	snap_merge_pause(merge);
	snap_resume(&second->ti);
	KUNIT_ASSERT_PTR_EQ(test, snap->merge, merge);
	KUNIT_ASSERT_TRUE(test, snap_merge_unsure(merge));
	kb = ku_bio(test, cow, REQ_OP_WRITE, 16, 8, 't');
	KUNIT_EXPECT_EQ(test, snap_merge_map(&second->ti, &kb->bio), DM_MAPIO_KILL);
	snap_merge_unpause(merge);
	KUNIT_ASSERT_TRUE(test, ku_wait_until(snap_merge_failed(merge)));
	KUNIT_EXPECT_TRUE(test, snap_merge_unsure(merge));
	KUNIT_EXPECT_EQ(test, snap_merge_map(&second->ti, &kb->bio), DM_MAPIO_KILL);
	snap_merge_presuspend(&second->ti);
	snap_postsuspend(&second->ti);

	/* A target that does not merge needs a list that is known, also if it was before. */
	lost = target_create(test, origin->bdev, cow->bdev, 8);
	lost->t.persistent = true;
	KUNIT_ASSERT_EQ(test, target_register(test, lost), 0);
	snap_resume(&lost->ti);
	KUNIT_EXPECT_NULL(test, lost->t.snap);
	KUNIT_EXPECT_EQ(test, lost->t.state, SNAP_TARGET_ORPHANED);
	KUNIT_EXPECT_PTR_EQ(test, second->t.snap, snap);
	last = target_create(test, origin->bdev, cow->bdev, 8);
	last->t.persistent = true;
	KUNIT_ASSERT_EQ(test, target_register(test, last), 0);
	KUNIT_EXPECT_EQ(test, snap_preresume(&last->ti), -EIO);
	KUNIT_EXPECT_TRUE(test, snap_merge_unsure(merge));
	/* What cleared the exception was told that it had failed, and has arrived. */
	block = (void *)(cow->store + (8 << SECTOR_SHIFT));
	memset(block, 0, sizeof(*block));
	test_disk_heal(cow);
	KUNIT_EXPECT_EQ(test, snap_preresume(&last->ti), 0);
	KUNIT_EXPECT_FALSE(test, snap_merge_unsure(merge));
	KUNIT_EXPECT_EQ(test, (u64)le64_to_cpu(block->old), 2ULL);
	snap_resume(&last->ti);
	KUNIT_EXPECT_FALSE(test, snap->overflowed);
	KUNIT_EXPECT_TRUE(test, snap->attached);
	KUNIT_EXPECT_NULL(test, last->t.origin->merging);
}

/* Who is to give the snapshot away has to be suspended, and cannot be resumed any more. */
static void resume_needs_the_other_suspended(struct kunit *test)
{
	struct registry r = registry(test);
	struct ku_snap *from = ku_snap(test, r.origin, r.cow, 8), *to;

	KUNIT_EXPECT_EQ(test, snap_preresume(&from->ti), 0);
	snap_resume(&from->ti);
	KUNIT_EXPECT_EQ(test, snap_preresume(&from->ti), 0);

	to = ku_snap(test, r.origin, r.cow, 8);
	KUNIT_EXPECT_EQ(test, snap_preresume(&to->ti), -EINVAL);
	snap_postsuspend(&from->ti);
	KUNIT_EXPECT_EQ(test, snap_preresume(&from->ti), -EINVAL);
	KUNIT_EXPECT_EQ(test, snap_preresume(&to->ti), 0);
	snap_resume(&to->ti);
	KUNIT_EXPECT_EQ(test, snap_preresume(&to->ti), 0);
}

/*
 * Status, invalidation.
 */

static void status_tells_usage(struct kunit *test)
{
	struct registry r = registry(test);
	struct ku_snap *ks = ku_snap(test, r.origin, r.other_cow, 16), *to;
	unsigned int i;
	u64 chunk;

	expect_status(test, ks, STATUSTYPE_INFO, "0/512 0");
	for (i = 0; i < 3; i++) {
		local_irq_disable();
		KUNIT_EXPECT_TRUE(test, snap_store_alloc(&ks->t.snap->store, 1, &chunk));
		local_irq_enable();
	}
	expect_status(test, ks, STATUSTYPE_INFO, "48/512 0");

	snap_resume(&ks->ti);
	to = ku_snap(test, r.origin, r.other_cow, 16);
	expect_status(test, to, STATUSTYPE_INFO, "48/512 0");
	snap_postsuspend(&ks->ti);
	expect_status(test, to, STATUSTYPE_INFO, "48/512 0");
	snap_resume(&to->ti);
	expect_status(test, ks, STATUSTYPE_INFO, "Invalid");
	expect_status(test, to, STATUSTYPE_INFO, "48/512 0");
}

static void status_gives_the_table_line(struct kunit *test)
{
	struct registry r = registry(test);
	struct ku_snap *ks = target_create(test, r.origin, r.cow, 2048);

	expect_status(test, ks, STATUSTYPE_TABLE, "1:2 3:4 N 2048");
	ks->t.discard_zeroes_cow = true;
	expect_status(test, ks, STATUSTYPE_TABLE, "1:2 3:4 N 2048 1 " ZEROES);
	ks->t.discard_passdown_origin = true;
	expect_status(test, ks, STATUSTYPE_TABLE, "1:2 3:4 N 2048 2 " ZEROES " " PASSDOWN);
}

static void status_for_measurements(struct kunit *test)
{
	struct registry r = registry(test);
	struct ku_snap *ks = ku_snap(test, r.origin, r.cow, 8);
	char *result = kunit_kzalloc(test, 256, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, result);
	snap_status(&ks->ti, STATUSTYPE_IMA, 0, result, 256);
	KUNIT_EXPECT_NOT_NULL(test, strstr(result, "target_name=snapshot-scaled"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(result, ",snap_cow_name=3:4,snap_valid=y,"));
	snap_invalidate(ks->t.snap, "of a test");
	snap_status(&ks->ti, STATUSTYPE_IMA, 0, result, 256);
	KUNIT_EXPECT_NOT_NULL(test, strstr(result, ",snap_valid=n,"));
}

/* Once, with one event, for good. */
static void invalidates_once(struct kunit *test)
{
	struct registry r = registry(test);
	struct ku_snap *ks = ku_snap(test, r.origin, r.cow, 8);
	unsigned int before = ku_events();

	KUNIT_EXPECT_TRUE(test, ks->t.snap->valid);
	snap_invalidate(ks->t.snap, "of a test");
	KUNIT_EXPECT_FALSE(test, ks->t.snap->valid);
	KUNIT_EXPECT_EQ(test, ku_events(), before + 1);
	snap_invalidate(ks->t.snap, "of a test");
	KUNIT_EXPECT_EQ(test, ku_events(), before + 1);
	expect_status(test, ks, STATUSTYPE_INFO, "Invalid");
}

static void tells_what_may_be_discarded(struct kunit *test)
{
	struct registry r = registry(test);
	struct ku_snap *ks = ku_snap(test, r.origin, r.cow, 16), *to;
	struct queue_limits *limits = kunit_kzalloc(test, sizeof(*limits), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, limits);
	snap_io_hints(&ks->ti, limits);
	KUNIT_EXPECT_EQ(test, limits->discard_granularity, 0);

	ks->t.discard_zeroes_cow = true;
	snap_io_hints(&ks->ti, limits);
	KUNIT_EXPECT_EQ(test, limits->discard_granularity, 16 * 512);
	/* Device-mapper sends what is cut off in another bio, but not of two copies. */
	KUNIT_EXPECT_EQ(test, limits->max_hw_discard_sectors, 8388592);
	ks->t.discard_passdown_origin = true;
	snap_io_hints(&ks->ti, limits);
	KUNIT_EXPECT_EQ(test, limits->max_hw_discard_sectors, 16);

	/* Of the snapshot that is going to be taken over, not of the table. */
	snap_resume(&ks->ti);
	to = ku_snap(test, r.origin, r.cow, 64);
	to->t.discard_zeroes_cow = true;
	snap_io_hints(&to->ti, limits);
	KUNIT_EXPECT_EQ(test, limits->discard_granularity, 16 * 512);
}

/*
 * The way of a bio.
 */

struct remap {
	unsigned int chunk_size;
	sector_t sector;
	u64 chunk, new;
	sector_t expected;
};

static const struct remap remaps[] = {
	{ 8, 0, 0, 0, 0 },
	{ 8, 7, 0, 5, 47 },
	{ 8, 8, 1, 5, 40 },
	{ 8, 8 * 1000 + 3, 1000, 0, 3 },
	{ 1, 77, 77, 3, 3 },
	{ 2097152, 2097151, 0, 1, 2 * 2097152 - 1 },
	{ 8, (1ULL << 40) + 1, 1ULL << 37, (1ULL << 48) - 1, (1ULL << 51) - 7 },
};

static void remap_desc(const struct remap *r, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "sector %llu of chunks of %u to chunk %llu",
		 (unsigned long long)r->sector, r->chunk_size, r->new);
}

KUNIT_ARRAY_PARAM(remap, remaps, remap_desc);

static void remaps_inside_the_chunk(struct kunit *test)
{
	const struct remap *r = test->param_value;
	struct dm_snapshot *snap = kunit_kzalloc(test, sizeof(*snap), GFP_KERNEL);
	struct bio bio = { .bi_iter.bi_sector = r->sector };

	KUNIT_ASSERT_NOT_NULL(test, snap);
	snap->store.chunk_size = r->chunk_size;
	snap->store.chunk_shift = __ffs(r->chunk_size);
	KUNIT_EXPECT_EQ(test, snap_chunk(snap, r->sector), r->chunk);
	snap_remap_sector(snap, &bio, r->new);
	KUNIT_EXPECT_EQ(test, bio.bi_iter.bi_sector, r->expected);
}

/* An origin full of 'o', whose chunk 2 is in chunk 0 of the COW device, full of 'c'. */
struct mapped {
	struct test_disk *origin, *cow;
	struct ku_snap *ks;
};

static struct mapped mapped(struct kunit *test)
{
	struct mapped m = { ku_disk(test, 256, 0), ku_disk(test, 64, 0) };
	struct ku_bio *kb;

	ku_disk_fill(m.origin, 0, 256, 'o');
	m.ks = ku_snap_attached(test, m.origin, m.cow, 8);
	kb = ku_bio(test, m.origin, REQ_OP_WRITE, 16, 8, 'c');
	KUNIT_EXPECT_EQ(test, snap_map(&m.ks->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_ASSERT_TRUE(test, ku_disk_holds(m.cow, 0, 8, 'c'));
	return m;
}

/* It is remapped to @td, at @sector. */
static void expect_remapped(struct kunit *test, struct mapped *m, struct ku_bio *kb,
			    struct test_disk *td, sector_t sector)
{
	KUNIT_EXPECT_EQ(test, snap_map(&m->ks->ti, &kb->bio), DM_MAPIO_REMAPPED);
	KUNIT_EXPECT_PTR_EQ(test, kb->bio.bi_bdev, td->bdev);
	KUNIT_EXPECT_EQ(test, kb->bio.bi_iter.bi_sector, sector);
}

static void maps_what_was_copied(struct kunit *test)
{
	struct mapped m = mapped(test);
	struct ku_bio *kb = ku_bio(test, m.origin, REQ_OP_READ, 19, 2, 0);
	blk_status_t error = BLK_STS_OK;

	expect_remapped(test, &m, kb, m.cow, 3);
	KUNIT_EXPECT_EQ(test, kb->sb.nr, 0);
	KUNIT_EXPECT_EQ(test, snap_end_io(&m.ks->ti, &kb->bio, &error), DM_ENDIO_DONE);

	expect_remapped(test, &m, ku_bio(test, m.origin, REQ_OP_WRITE, 20, 4, 'x'), m.cow, 4);
}

/*
 * Of an origin that nobody writes they are counted; not where something is pending, and not from
 * then on when somebody may write.
 */
static void counts_reads_of_an_unwritten_origin(struct kunit *test)
{
	struct mapped m = mapped(test);
	struct ku_bio *kb = ku_bio(test, m.origin, REQ_OP_READ, 24, 8, 0);
	struct snap_origin *origin = m.ks->t.origin;
	struct snap_bucket *bucket = snap_bucket_of(m.ks->t.snap, 3);
	blk_status_t error = BLK_STS_OK;
	struct rb_node node;

	expect_remapped(test, &m, kb, m.origin, 24);
	KUNIT_EXPECT_EQ(test, kb->sb.nr, 0);
	KUNIT_EXPECT_TRUE(test, kb->sb.is_counted);
	KUNIT_EXPECT_TRUE(test, hlist_empty(&bucket->reads));
	dm_scaled_refs_stop(&origin->reads);
	KUNIT_EXPECT_FALSE(test, completion_done(&origin->reads.drained));
	KUNIT_EXPECT_EQ(test, snap_end_io(&m.ks->ti, &kb->bio, &error), DM_ENDIO_DONE);
	KUNIT_EXPECT_EQ(test, (int)error, (int)BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, completion_done(&origin->reads.drained));
	dm_scaled_refs_reinit(&origin->reads);

	/* What was copied is not read from the origin. */
	kb = ku_bio(test, m.origin, REQ_OP_READ, 16, 8, 0);
	kb->sb.is_counted = true;
	expect_remapped(test, &m, kb, m.cow, 0);
	KUNIT_EXPECT_FALSE(test, kb->sb.is_counted);

	kb = ku_bio(test, m.origin, REQ_OP_READ, 24, 8, 0);
	bucket->pending.rb_node = &node;
	KUNIT_EXPECT_FALSE(test, snap_read_is_simple(&m.ks->t, &kb->bio, 3, 1));
	bucket->pending.rb_node = NULL;
	KUNIT_EXPECT_TRUE(test, snap_read_is_simple(&m.ks->t, &kb->bio, 3, 1));

	KUNIT_EXPECT_EQ(test, snap_origin_track_reads(origin), 0);
	KUNIT_EXPECT_FALSE(test, snap_read_is_simple(&m.ks->t, &kb->bio, 3, 1));
}

static void maps_reads_of_the_origin(struct kunit *test)
{
	struct mapped m = mapped(test);
	struct ku_bio *kb = ku_bio(test, m.origin, REQ_OP_READ, 24, 8, 0);
	blk_status_t error = BLK_STS_OK;

	KUNIT_EXPECT_EQ(test, snap_origin_track_reads(m.ks->t.origin), 0);
	expect_remapped(test, &m, kb, m.origin, 24);
	KUNIT_EXPECT_EQ(test, kb->sb.nr, 1);
	KUNIT_EXPECT_EQ(test, snap_end_io(&m.ks->ti, &kb->bio, &error), DM_ENDIO_DONE);
	KUNIT_EXPECT_EQ(test, (int)error, (int)BLK_STS_OK);
}

static void late_reads_fail(struct kunit *test, bool tracked)
{
	struct mapped m = mapped(test);
	struct ku_bio *kb = ku_bio(test, m.origin, REQ_OP_READ, 24, 8, 0), *bad;
	blk_status_t error = BLK_STS_OK;

	bad = ku_bio(test, m.origin, REQ_OP_READ, 32, 8, 0);
	if (tracked)
		KUNIT_EXPECT_EQ(test, snap_origin_track_reads(m.ks->t.origin), 0);
	expect_remapped(test, &m, kb, m.origin, 24);
	expect_remapped(test, &m, bad, m.origin, 32);
	KUNIT_EXPECT_EQ(test, kb->sb.is_counted, !tracked);
	snap_invalidate(m.ks->t.snap, "of a test");
	KUNIT_EXPECT_EQ(test, snap_end_io(&m.ks->ti, &kb->bio, &error), DM_ENDIO_DONE);
	KUNIT_EXPECT_EQ(test, (int)error, (int)BLK_STS_IOERR);

	/* An error of its own stays. */
	error = BLK_STS_MEDIUM;
	KUNIT_EXPECT_EQ(test, snap_end_io(&m.ks->ti, &bad->bio, &error), DM_ENDIO_DONE);
	KUNIT_EXPECT_EQ(test, (int)error, (int)BLK_STS_MEDIUM);
}

/* The origin may have been written without a copy: an invalid snapshot never gives new data. */
static void late_reads_of_an_invalid_snapshot_fail(struct kunit *test)
{
	late_reads_fail(test, true);
}

/*
 * A write that ended, but was not flushed, may have been forgotten when the snapshot became
 * invalid: nor does it ever give older data.
 */
static void late_counted_reads_of_an_invalid_snapshot_fail(struct kunit *test)
{
	late_reads_fail(test, false);
}

static void refuses_bios_of_an_invalid_snapshot(struct kunit *test)
{
	struct mapped m = mapped(test);
	struct ku_bio *kb;
	static const blk_opf_t ops[] = { REQ_OP_READ, REQ_OP_WRITE, REQ_OP_DISCARD };
	unsigned int i;

	snap_invalidate(m.ks->t.snap, "of a test");
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		kb = ku_bio(test, m.origin, ops[i], 16, 8, 'x');
		KUNIT_EXPECT_EQ(test, snap_map(&m.ks->ti, &kb->bio), DM_MAPIO_KILL);
	}
	/* What was written before may still be flushed. */
	kb = ku_bio(test, m.origin, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, 0);
	expect_remapped(test, &m, kb, m.cow, 0);
}

/* Of what was not copied nothing is discarded; of what was, a part, or all by zeroes. */
static void maps_discards(struct kunit *test)
{
	struct mapped m = mapped(test);
	struct ku_bio *kb;

	kb = ku_bio(test, m.origin, REQ_OP_DISCARD, 24, 8, 0);
	KUNIT_EXPECT_EQ(test, snap_map(&m.ks->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(m.origin, 24, 8, 'o'));

	kb = ku_bio(test, m.origin, REQ_OP_DISCARD, 17, 3, 0);
	expect_remapped(test, &m, kb, m.cow, 1);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(m.cow, 0, 8, 'c'));

	kb = ku_bio(test, m.origin, REQ_OP_DISCARD, 16, 8, 0);
	KUNIT_EXPECT_EQ(test, snap_map(&m.ks->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(m.cow, 0, 8, 0));
	KUNIT_EXPECT_TRUE(test, ku_disk_holds(m.origin, 0, 256, 'o'));

	/* The second of two discards is the origin's. */
	kb = ku_bio(test, m.origin, REQ_OP_DISCARD, 16, 8, 0);
	kb->number = 1;
	expect_remapped(test, &m, kb, m.origin, 16);
}

static void failed_discard_is_an_error(struct kunit *test)
{
	struct mapped m = mapped(test);
	struct ku_bio *kb = ku_bio(test, m.origin, REQ_OP_DISCARD, 16, 8, 0);

	test_disk_fail(m.cow, OP_BIT(REQ_OP_WRITE), 0, 8, BLK_STS_MEDIUM);
	KUNIT_EXPECT_EQ(test, snap_map(&m.ks->ti, &kb->bio), DM_MAPIO_SUBMITTED);
	KUNIT_ASSERT_TRUE(test, ku_bio_wait(kb));
	KUNIT_EXPECT_EQ(test, (int)kb->status, (int)BLK_STS_IOERR);
}

static struct kunit_case scaled_cases[] = {
	KUNIT_CASE_PARAM(parses_features, features_gen_params),
	KUNIT_CASE(refuses_commit_of_a_transient_snapshot),
	KUNIT_CASE_PARAM(parses_the_store, store_gen_params),
	KUNIT_CASE_PARAM(parses_the_chunk_size, chunk_size_gen_params),
	KUNIT_CASE_PARAM(checks_the_devices, devices_gen_params),
	KUNIT_CASE(copies_have_room_for_a_block),
	KUNIT_CASE(refuses_one_device_for_both),
	KUNIT_CASE(constructor_checks_arguments_first),
	KUNIT_CASE(one_target_waits_for_a_cow_device),
	KUNIT_CASE(resume_takes_the_snapshot_over),
	KUNIT_CASE(resume_needs_the_other_suspended),
	KUNIT_CASE(source_is_gone),
	KUNIT_CASE(states_are_entered_in_order),
	KUNIT_CASE(unsure_batch_is_remembered),
	KUNIT_CASE(status_tells_usage),
	KUNIT_CASE(status_gives_the_table_line),
	KUNIT_CASE(status_for_measurements),
	KUNIT_CASE(invalidates_once),
	KUNIT_CASE(tells_what_may_be_discarded),
	KUNIT_CASE_PARAM(remaps_inside_the_chunk, remap_gen_params),
	KUNIT_CASE(maps_what_was_copied),
	KUNIT_CASE(counts_reads_of_an_unwritten_origin),
	KUNIT_CASE(maps_reads_of_the_origin),
	KUNIT_CASE(late_reads_of_an_invalid_snapshot_fail),
	KUNIT_CASE(late_counted_reads_of_an_invalid_snapshot_fail),
	KUNIT_CASE(refuses_bios_of_an_invalid_snapshot),
	KUNIT_CASE(maps_discards),
	KUNIT_CASE(failed_discard_is_an_error),
	{}
};

static struct kunit_suite scaled_suite = {
	.name = "dm-snap-scaled",
	.suite_init = ku_suite_init,
	.suite_exit = ku_suite_exit,
	.init = ku_init,
	.exit = ku_exit,
	.test_cases = scaled_cases,
};

kunit_test_suite(scaled_suite);
