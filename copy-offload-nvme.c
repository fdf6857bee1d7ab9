// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies by NVMe's Copy command, on kernels that know nothing of it.
 *
 * The command is a request of the driver's own kind on the namespace's queue. How the driver is
 * asked to send one is exported; what is not is
 *
 * - which limits the device has: Identify is asked for by the ioctl that user space has for it;
 * - how a request ended: from 6.12 on, the status that the block layer passes on is 0 for requests
 *   that failed. The status of the device is in the driver's part of the request, where we are not
 *   supposed to look. So a device is used only after reading a block that is there and, where the
 *   block layer hides the status, one that is not has shown that the status is where it is looked
 *   for. A read that fails leaves an entry in the error log of the device, which monitors report.
 *
 * Only controllers on PCIe are asked to copy. When a fabric reconnects, the driver ends what was in
 * flight as cancelled, but the old controller may still execute it. A late write of the same data
 * is harmless; a late Copy reads its source once more, which may have been overwritten by then. On
 * PCIe the driver disables the controller first.
 */
#undef pr_fmt
#define pr_fmt(fmt) "copy-offload: " fmt

#include <linux/blk-mq.h>
#include <linux/completion.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/nvme.h>
#include <linux/nvme_ioctl.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "copy-offload.h"
#include "dm-scaled-delay.h"

/* Of the NVM Command Set specification: the command, a bit of ONCS, descriptor format 0. */
#define COPY_NVME_OPCODE	0x19
#define COPY_NVME_ONCS_COPY	BIT(8)
#define COPY_NVME_FORMAT_0	BIT(0)
#define COPY_NVME_IDENTIFY_SIZE	4096
/* Type of a status: the command did not reach the device, or its answer did not reach us. */
#define COPY_NVME_STATUS_TYPE	0x700
#define COPY_NVME_STATUS_PATH	0x300
#define COPY_NVME_STATUS_MASK	0x7ff

/**
 * struct copy_nvme_range - a source range as the device wants it
 * @reserved:  0
 * @lba:       first block
 * @blocks:    number of blocks less one
 * @reserved2: 0, and so are protection tags
 */
struct copy_nvme_range {
	__le64 reserved;
	__le64 lba;
	__le16 blocks;
	u8 reserved2[14];
};

static_assert(sizeof(struct copy_nvme_range) == 32);

/**
 * struct copy_nvme_pdu - the beginning of the driver's part of a request
 * @unused: a pointer, a result, three bytes
 * @status: what the device said, without its phase bit
 */
struct copy_nvme_pdu {
	u8 unused[20];
	u16 status;
};

static_assert(offsetof(struct copy_nvme_pdu, status) == 20);

/**
 * struct copy_nvme - what is known of a namespace
 * @nsid:  number of the namespace
 * @shift: from sectors to its blocks
 * @init_request: the driver's; held, so that the module can do without a driver
 * @submit_sync:  likewise
 */
struct copy_nvme {
	u32 nsid;
	unsigned int shift;
	dm_scaled_nvme_init_fn *init_request;
	dm_scaled_nvme_sync_fn *submit_sync;
};

static u16 copy_nvme_status(struct request *rq)
{
	const struct copy_nvme_pdu *pdu = blk_mq_rq_to_pdu(rq);

	return READ_ONCE(pdu->status) & COPY_NVME_STATUS_MASK;
}

/*
 * Starts a request. With a plug it would be held back until the plug is flushed, and then be given
 * to the I/O scheduler (6.1): BFQ dereferences the block device that its bio does not have, and
 * others sort it by its position, which is -1.
 *
 * No other function may start a request of ours. Not for its allocation, which may wait for those
 * in the plug: only waiting with the plug in place flushes it.
 */
static void copy_nvme_execute(struct request *rq)
{
	struct blk_plug *plug = current->plug;

	current->plug = NULL;
	blk_execute_rq_nowait(rq, false);
	current->plug = plug;
}

/*
 *------------------------------------------------------------
 * What the device can do
 *------------------------------------------------------------
 */

/**
 * struct copy_nvme_window - memory of the task, for an ioctl that wants some
 * @cmd:    what is asked
 * @unused: so that what follows has a page of its own
 * @data:   what is answered
 */
struct copy_nvme_window {
	struct nvme_passthru_cmd cmd;
	u8 unused[4096 - sizeof(struct nvme_passthru_cmd)];
	u8 data[COPY_NVME_IDENTIFY_SIZE];
};

static int copy_nvme_identify(struct block_device *bdev, struct copy_nvme_window __user *window,
			      u32 cns, u32 nsid, u8 *data)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = nvme_admin_identify,
		.nsid = nsid,
		.addr = (__force unsigned long)window->data,
		.data_len = COPY_NVME_IDENTIFY_SIZE,
		.cdw10 = cns,
	};
	int r;

	if (copy_to_user(&window->cmd, &cmd, sizeof(cmd)))
		return -EFAULT;
	r = dm_scaled_bdev_ioctl(bdev, NVME_IOCTL_ADMIN_CMD, (__force unsigned long)&window->cmd);
	if (r)
		return r < 0 ? r : -EIO;
	return copy_from_user(data, window->data, COPY_NVME_IDENTIFY_SIZE) ? -EFAULT : 0;
}

/* Takes the limits out of what the controller and the namespace say; the reason if it cannot be. */
static const char *copy_nvme_parse(const u8 *ctrl, const u8 *ns, unsigned int block_shift,
				   struct copy_offload_limits *limits)
{
	u32 mssrl = get_unaligned_le16(ns + 74), mcl = get_unaligned_le32(ns + 76);
	unsigned int shift = block_shift - SECTOR_SHIFT;
	unsigned int format = (ns[26] & 0xf) | ((ns[26] >> 1) & 0x30);
	const u8 *lbaf = ns + 128 + 4 * format;

	if (!(get_unaligned_le16(ctrl + 520) & COPY_NVME_ONCS_COPY))
		return "has no Copy command";
	if (!(get_unaligned_le16(ctrl + 534) & COPY_NVME_FORMAT_0))
		return "has no range descriptors of format 0";
	if (!mssrl || !mcl)
		return "says that it copies nothing";
	if (get_unaligned_le16(lbaf) || ns[29])
		return "has blocks with metadata";
	if (lbaf[2] != block_shift)
		return "has another block size than Linux thinks";

	limits->align = 1U << shift;
	limits->range = mssrl << shift;
	limits->command = min_t(u32, mcl, UINT_MAX >> shift) << shift;
	limits->ranges = ns[80] + 1;
	return NULL;
}

static int copy_nvme_limits(struct copy_offload *co, const struct copy_nvme *cn)
{
	struct block_device *bdev = co->disk->part0;
	struct copy_nvme_window __user *window;
	unsigned long addr;
	const char *why;
	u8 *data;
	int r;

	if (!current->mm)
		return -EOPNOTSUPP;
	data = kmalloc(2 * COPY_NVME_IDENTIFY_SIZE, GFP_KERNEL);
	if (!data)
		return -ENOMEM;
	addr = vm_mmap(NULL, 0, sizeof(*window), PROT_READ | PROT_WRITE,
		       MAP_ANONYMOUS | MAP_PRIVATE, 0);
	if (IS_ERR_VALUE(addr)) {
		r = addr;
		goto out;
	}
	window = (struct copy_nvme_window __user *)addr;

	r = copy_nvme_identify(bdev, window, NVME_ID_CNS_CTRL, 0, data);
	if (!r)
		r = copy_nvme_identify(bdev, window, NVME_ID_CNS_NS, cn->nsid,
				       data + COPY_NVME_IDENTIFY_SIZE);
	vm_munmap(addr, sizeof(*window));
	if (r) {
		pr_info("%s: cannot be asked whether it copies: error %d\n", co->disk->disk_name,
			r);
		goto out;
	}

	why = copy_nvme_parse(data, data + COPY_NVME_IDENTIFY_SIZE,
			      SECTOR_SHIFT + cn->shift, &co->limits);
	if (why) {
		pr_info("%s: %s\n", co->disk->disk_name, why);
		r = -EOPNOTSUPP;
	}
out:
	kfree(data);
	return r;
}

/*
 *------------------------------------------------------------
 * Whether its status is seen
 *------------------------------------------------------------
 */

/**
 * struct copy_nvme_read - a read whose end is watched
 * @ended:  completed at its end
 * @seen:   status that was seen in the request
 * @status: of the block layer
 */
struct copy_nvme_read {
	struct completion ended;
	u16 seen;
	blk_status_t status;
};

static enum rq_end_io_ret copy_nvme_read_end(DM_SCALED_END_IO_ARGS)
{
	struct copy_nvme_read *read = rq->end_io_data;

	read->seen = copy_nvme_status(rq);
	read->status = status;
	complete(&read->ended);
	return RQ_END_IO_FREE;
}

static void copy_nvme_fill_read(struct nvme_command *cmd, u32 nsid, u64 lba)
{
	memset(cmd, 0, sizeof(*cmd));
	cmd->rw.opcode = nvme_cmd_read;
	cmd->rw.nsid = cpu_to_le32(nsid);
	cmd->rw.slba = cpu_to_le64(lba);
}

static int copy_nvme_read(const struct copy_nvme *cn, struct request_queue *q,
			  struct nvme_command *cmd, void *buf, unsigned int size,
			  struct copy_nvme_read *read)
{
	struct request *rq;
	int r;

	rq = blk_mq_alloc_request(q, REQ_OP_DRV_IN, 0);
	if (IS_ERR(rq))
		return PTR_ERR(rq);
	cn->init_request(rq, cmd);
	r = dm_scaled_rq_map_kern(rq, buf, size, GFP_KERNEL);
	if (r) {
		blk_mq_free_request(rq);
		return r;
	}
	init_completion(&read->ended);
	rq->end_io = copy_nvme_read_end;
	rq->end_io_data = read;
	copy_nvme_execute(rq);
	wait_for_completion(&read->ended);
	return 0;
}

/* Reads a block in both ways: does the status of the asynchronous one say what the other says? */
static int copy_nvme_compare(const struct copy_nvme *cn, struct request_queue *q, u64 lba,
			     void *buf, unsigned int size, bool good)
{
	struct copy_nvme_read read = { };
	struct nvme_command cmd;
	int said, r;

	copy_nvme_fill_read(&cmd, cn->nsid, lba);
	said = cn->submit_sync(q, &cmd, buf, size);
	if (said < 0)
		return said;
	r = copy_nvme_read(cn, q, &cmd, buf, size, &read);
	if (r)
		return r;
	if ((said & COPY_NVME_STATUS_MASK) != read.seen || good != !said ||
	    (good && read.status))
		return -EOPNOTSUPP;
	return 0;
}

static int copy_nvme_prove(const struct copy_offload *co, const struct copy_nvme *cn)
{
	unsigned int size = SECTOR_SIZE << cn->shift;
	struct request_queue *q = co->disk->queue;
	void *buf;
	int r = 0;

	buf = kmalloc(size, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	if (DM_SCALED_END_IO_HIDES_STATUS)
		r = copy_nvme_compare(cn, q, get_capacity(co->disk) >> cn->shift, buf, size, false);
	if (!r)
		r = copy_nvme_compare(cn, q, 0, buf, size, true);
	if (r)
		pr_info("%s: does not show how its commands end: error %d\n",
			co->disk->disk_name, r);
	kfree(buf);
	return r;
}

/*
 *------------------------------------------------------------
 * The provider
 *------------------------------------------------------------
 */

/* Whether the disk is one of the driver's whose requests we know: not the head of several paths. */
static bool copy_nvme_is_ours(const struct gendisk *disk)
{
	const struct module *owner = disk->fops->owner;

	return queue_is_mq(disk->queue) && owner && !strcmp(owner->name, "nvme_core") &&
	       disk->fops->ioctl;
}

/* The parent of a namespace is the controller, and the controller's is what it is attached by. */
static bool copy_nvme_is_on_pcie(struct gendisk *disk)
{
	const struct device *ctrl = disk_to_dev(disk)->parent;

	return ctrl && ctrl->parent && dev_is_pci(ctrl->parent);
}

static void copy_nvme_put_driver(struct copy_nvme *cn)
{
	if (cn->init_request)
		symbol_put(nvme_init_request);
	if (cn->submit_sync)
		symbol_put(nvme_submit_sync_cmd);
}

static bool copy_nvme_get_driver(struct copy_nvme *cn)
{
	cn->init_request = symbol_get(nvme_init_request);
	cn->submit_sync = symbol_get(nvme_submit_sync_cmd);
	return cn->init_request && cn->submit_sync;
}

static int copy_nvme_open(struct copy_offload *co)
{
	struct copy_nvme *cn;
	int r;

	if (!copy_nvme_is_ours(co->disk))
		return -EOPNOTSUPP;
	if (!copy_nvme_is_on_pcie(co->disk)) {
		pr_info("%s: is not on PCIe, and so not asked to copy\n", co->disk->disk_name);
		return -EOPNOTSUPP;
	}

	cn = kzalloc(sizeof(*cn), GFP_KERNEL);
	if (!cn)
		return -ENOMEM;
	r = -EOPNOTSUPP;
	if (!copy_nvme_get_driver(cn))
		goto bad;
	r = dm_scaled_bdev_ioctl(co->disk->part0, NVME_IOCTL_ID, 0);
	if (r <= 0) {
		r = -EOPNOTSUPP;
		goto bad;
	}
	cn->nsid = r;
	cn->shift = ilog2(queue_logical_block_size(co->disk->queue)) - SECTOR_SHIFT;
	r = copy_nvme_limits(co, cn);
	if (!r)
		r = copy_nvme_prove(co, cn);
	if (r)
		goto bad;
	co->private = cn;
	return 0;

bad:
	copy_nvme_put_driver(cn);
	kfree(cn);
	return r;
}

static void copy_nvme_close(struct copy_offload *co)
{
	copy_nvme_put_driver(co->private);
	kfree(co->private);
}

static void copy_nvme_set_range(struct copy_offload_request *req, unsigned int i, sector_t sector,
				unsigned int count)
{
	const struct copy_nvme *cn = req->co->private;
	struct copy_nvme_range *range = (struct copy_nvme_range *)req->ranges + i;

	memset(range, 0, sizeof(*range));
	range->lba = cpu_to_le64(sector >> cn->shift);
	range->blocks = cpu_to_le16((count >> cn->shift) - 1);
}

static void copy_nvme_fill_copy(const struct copy_offload_request *req, struct nvme_command *cmd)
{
	const struct copy_nvme *cn = req->co->private;
	u64 lba = (get_start_sect(req->to) + req->sector) >> cn->shift;

	memset(cmd, 0, sizeof(*cmd));
	cmd->common.opcode = COPY_NVME_OPCODE;
	cmd->common.nsid = cpu_to_le32(cn->nsid);
	cmd->common.cdw10 = cpu_to_le32(lower_32_bits(lba));
	cmd->common.cdw11 = cpu_to_le32(upper_32_bits(lba));
	cmd->common.cdw12 = cpu_to_le32(req->nr - 1);
}

/* Whether a status says that something came in between: the same command might well succeed. */
static bool copy_nvme_was_interrupted(u16 seen)
{
	if ((seen & COPY_NVME_STATUS_TYPE) == COPY_NVME_STATUS_PATH)
		return true;
	switch (seen) {
	case NVME_SC_POWER_LOSS:
	case NVME_SC_ABORT_REQ:
	case NVME_SC_ABORT_QUEUE:
	case NVME_SC_CMD_INTERRUPTED:
	case NVME_SC_TRANSIENT_TR_ERR:
	case NVME_SC_NS_NOT_READY:
		return true;
	default:
		return false;
	}
}

/* What two statuses mean, of which either may say nothing; @why only if it did not copy. */
static enum copy_offload_result copy_nvme_result(blk_status_t status, u16 seen,
						 enum copy_offload_why *why)
{
	if (likely(!status && !seen))
		return COPY_OFFLOAD_COPIED;
	if (copy_nvme_was_interrupted(seen) || status == BLK_STS_TRANSPORT ||
	    status == BLK_STS_OFFLINE)
		*why = COPY_OFFLOAD_INTERRUPTED;
	else
		*why = COPY_OFFLOAD_FAILED;
	return COPY_OFFLOAD_BROKEN;
}

/*
 * Whether a request ends only after its time limit. However it ends then: the driver has sent an
 * abort, which the device may have obeyed or not, and perhaps reset the controller.
 */
static bool copy_nvme_is_late(const struct copy_offload_request *req, const struct request *rq)
{
	return rq->timeout && time_after_eq(jiffies, req->issued_at + rq->timeout);
}

static enum rq_end_io_ret copy_nvme_end_io(DM_SCALED_END_IO_ARGS)
{
	enum copy_offload_why why = COPY_OFFLOAD_WHYS;
	enum copy_offload_result result = copy_nvme_result(status, copy_nvme_status(rq), &why);
	struct copy_offload_request *req = rq->end_io_data;

	if (unlikely(copy_nvme_is_late(req, rq)))
		why = COPY_OFFLOAD_TIMED_OUT;
	copy_offload_end(req, result, why);
	return RQ_END_IO_FREE;
}

static void copy_nvme_issue(struct copy_offload_request *req)
{
	const struct copy_nvme *cn = req->co->private;
	struct nvme_command cmd;
	struct request *rq;

	/* Waits as a bio would: for a tag, or while the queue is frozen. */
	rq = blk_mq_alloc_request(req->co->disk->queue, REQ_OP_DRV_OUT, 0);
	if (IS_ERR(rq)) {
		copy_offload_end(req, COPY_OFFLOAD_REFUSED, COPY_OFFLOAD_INTERRUPTED);
		return;
	}
	dm_scaled_delay("copy-offload-nvme:look-again");
	/* With the request the queue cannot be frozen, so what is true now stays true. */
	if (!copy_offload_may_issue(req)) {
		blk_mq_free_request(rq);
		return;
	}
	copy_nvme_fill_copy(req, &cmd);
	cn->init_request(rq, &cmd);
	if (dm_scaled_rq_map_kern(rq, req->ranges, req->nr * sizeof(struct copy_nvme_range),
				  GFP_NOWAIT | __GFP_NOWARN)) {
		blk_mq_free_request(rq);
		copy_offload_end(req, COPY_OFFLOAD_REFUSED, COPY_OFFLOAD_NO_MEMORY);
		return;
	}
	rq->end_io = copy_nvme_end_io;
	rq->end_io_data = req;
	req->issued_at = jiffies;
	dm_scaled_delay("copy-offload-nvme:execute");
	copy_nvme_execute(rq);
}

const struct copy_offload_ops copy_offload_nvme = {
	.name = "nvme",
	.open = copy_nvme_open,
	.close = copy_nvme_close,
	.set_range = copy_nvme_set_range,
	.issue = copy_nvme_issue,
	.range_bytes = sizeof(struct copy_nvme_range),
};
