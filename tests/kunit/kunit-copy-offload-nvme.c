// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe's Copy: what is read from Identify, and what the device is sent.
 */
#include "kunit-lib.h"

#include "copy-offload-nvme.c"

/**
 * struct identity - what a controller and a namespace say of themselves
 * @ctrl: Identify Controller
 * @ns:   Identify Namespace
 */
struct identity {
	u8 ctrl[COPY_NVME_IDENTIFY_SIZE];
	u8 ns[COPY_NVME_IDENTIFY_SIZE];
};

/* A device that copies; @shift: of its blocks. */
static struct identity *identity(struct kunit *test, unsigned int shift)
{
	struct identity *id = kunit_kzalloc(test, sizeof(*id), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, id);
	put_unaligned_le16(COPY_NVME_ONCS_COPY | 0x5f, id->ctrl + 520);
	put_unaligned_le16(COPY_NVME_FORMAT_0, id->ctrl + 534);
	id->ns[26] = 4;
	id->ns[128 + 4 * 4 + 2] = shift;
	put_unaligned_le16(128, id->ns + 74);
	put_unaligned_le32(1000, id->ns + 76);
	id->ns[80] = 127;
	return id;
}

static void reads_the_limits(struct kunit *test)
{
	struct copy_offload_limits l;
	struct identity *id = identity(test, 9);

	KUNIT_ASSERT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
	KUNIT_EXPECT_EQ(test, l.align, 1);
	KUNIT_EXPECT_EQ(test, l.range, 128);
	KUNIT_EXPECT_EQ(test, l.command, 1000);
	KUNIT_EXPECT_EQ(test, l.ranges, 128);

	id = identity(test, 12);
	KUNIT_ASSERT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 12, &l));
	KUNIT_EXPECT_EQ(test, l.align, 8);
	KUNIT_EXPECT_EQ(test, l.range, 1024);
	KUNIT_EXPECT_EQ(test, l.command, 8000);

	/* The largest that can be said. */
	put_unaligned_le32(U32_MAX, id->ns + 76);
	put_unaligned_le16(U16_MAX, id->ns + 74);
	id->ns[80] = 255;
	KUNIT_ASSERT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 12, &l));
	KUNIT_EXPECT_EQ(test, l.range, 65535 * 8);
	KUNIT_EXPECT_EQ(test, l.command, round_down(UINT_MAX, 8));
	KUNIT_EXPECT_EQ(test, l.ranges, 256);
}

static void refuses_who_does_not_copy(struct kunit *test)
{
	struct copy_offload_limits l;
	struct identity *id;

	id = identity(test, 9);
	put_unaligned_le16(0x5f, id->ctrl + 520);
	KUNIT_EXPECT_NOT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
	id = identity(test, 9);
	put_unaligned_le16(2, id->ctrl + 534);
	KUNIT_EXPECT_NOT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
	id = identity(test, 9);
	put_unaligned_le16(0, id->ns + 74);
	KUNIT_EXPECT_NOT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
	id = identity(test, 9);
	put_unaligned_le32(0, id->ns + 76);
	KUNIT_EXPECT_NOT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
}

static void refuses_blocks_with_metadata(struct kunit *test)
{
	struct copy_offload_limits l;
	struct identity *id;

	id = identity(test, 9);
	put_unaligned_le16(8, id->ns + 128 + 4 * 4);
	KUNIT_EXPECT_NOT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
	id = identity(test, 9);
	id->ns[29] = 1;
	KUNIT_EXPECT_NOT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
	/* Another format than the one in use. */
	id = identity(test, 9);
	put_unaligned_le16(8, id->ns + 128 + 4 * 3);
	KUNIT_EXPECT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
	/* Formats beyond the 16th have two more bits elsewhere. */
	id = identity(test, 9);
	id->ns[26] = 0x24;
	KUNIT_EXPECT_NOT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
	id->ns[128 + 4 * 20 + 2] = 9;
	KUNIT_EXPECT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 9, &l));
	/* Formatted, and Linux does not know it yet. */
	KUNIT_EXPECT_NOT_NULL(test, copy_nvme_parse(id->ctrl, id->ns, 12, &l));
}

static void command_has_blocks_of_the_device(struct kunit *test)
{
	struct copy_nvme cn = { .nsid = 7, .shift = 3 };
	struct copy_offload co = { .private = &cn };
	struct block_device part = { .bd_start_sect = 80 };
	struct copy_offload_request *req;
	const struct copy_nvme_range *range;
	struct nvme_command cmd;

	req = kunit_kzalloc(test, sizeof(*req) + 2 * sizeof(*range), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, req);
	req->co = &co;
	req->to = &part;
	req->sector = 0x800000010ULL * 8;
	req->nr = 2;
	copy_nvme_set_range(req, 0, 800, 8);
	copy_nvme_set_range(req, 1, 0x900000000ULL * 8, 64);
	range = (const struct copy_nvme_range *)req->ranges;
	KUNIT_EXPECT_EQ(test, le64_to_cpu(range[0].lba), 100);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(range[0].blocks), 0);
	KUNIT_EXPECT_EQ(test, le64_to_cpu(range[1].lba), 0x900000000ULL);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(range[1].blocks), 7);

	copy_nvme_fill_copy(req, &cmd);
	KUNIT_EXPECT_EQ(test, cmd.common.opcode, 0x19);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(cmd.common.nsid), 7);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(cmd.common.cdw10), 0x1a);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(cmd.common.cdw11), 8);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(cmd.common.cdw12), 1);
}

struct end_case {
	blk_status_t status;
	u16 seen;
	enum copy_offload_result result;
	enum copy_offload_why why;
};

static const struct end_case end_cases[] = {
	{ BLK_STS_OK, 0, COPY_OFFLOAD_COPIED, COPY_OFFLOAD_WHYS },
	/* From 6.12 on the block layer says that all is well; what was not sent, only it knows. */
	{ BLK_STS_OK, 0x183, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_FAILED },
	{ BLK_STS_IOERR, 0, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_FAILED },
	{ BLK_STS_NOTSUPP, 0x001, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_FAILED },
	{ BLK_STS_TARGET, 0x080, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_FAILED },
	{ BLK_STS_OK, 0x371, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_INTERRUPTED },
	/* A reset deletes the queue in which it was. */
	{ BLK_STS_IOERR, 0x007, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_INTERRUPTED },
	{ BLK_STS_IOERR, 0x008, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_INTERRUPTED },
	{ BLK_STS_IOERR, 0x370, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_INTERRUPTED },
	{ BLK_STS_TRANSPORT, 0, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_INTERRUPTED },
	{ BLK_STS_OFFLINE, 0, COPY_OFFLOAD_BROKEN, COPY_OFFLOAD_INTERRUPTED },
};

static void tells_how_it_ended(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(end_cases); i++) {
		const struct end_case *c = &end_cases[i];
		enum copy_offload_why why = COPY_OFFLOAD_WHYS;

		KUNIT_EXPECT_EQ_MSG(test, copy_nvme_result(c->status, c->seen, &why), c->result,
				    "case %u", i);
		KUNIT_EXPECT_EQ_MSG(test, why, c->why, "case %u", i);
	}
}

static struct kunit_case nvme_cases[] = {
	KUNIT_CASE(reads_the_limits),
	KUNIT_CASE(refuses_who_does_not_copy),
	KUNIT_CASE(refuses_blocks_with_metadata),
	KUNIT_CASE(command_has_blocks_of_the_device),
	KUNIT_CASE(tells_how_it_ended),
	{}
};

static struct kunit_suite nvme_suite = {
	.name = "copy-offload-nvme",
	.test_cases = nvme_cases,
};

kunit_test_suite(nvme_suite);
