// SPDX-License-Identifier: GPL-2.0-only
/*
 * copy-offload-fault: NVMe Copy commands that the device refuses, or that have little time.
 *
 * The driver is asked to set up each command; of those that are Copy, each nth gets a descriptor
 * format that does not exist, which devices answer with an error. "nth" is a parameter, 0 for none;
 * "seen" and "spoilt" count.
 *
 * With "time_limit", in seconds, Copy has a time limit of its own, 0 for none. Up to 6.12 at least,
 * the driver sets that of its parameter io_timeout for such commands, in 7.3 the queue's, which is
 * that of the driver's own reads and writes as well.
 */
#include <linux/blk-mq.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/nvme.h>
#include <linux/ptrace.h>
#include <linux/spinlock.h>

#define FAULT_COPY		0x19
#define FAULT_NO_FORMAT		cpu_to_le32(0xf00)

static unsigned int nth;
module_param(nth, uint, 0644);
MODULE_PARM_DESC(nth, "each so manieth Copy command fails; 0: none");

static unsigned int time_limit;
module_param(time_limit, uint, 0644);
MODULE_PARM_DESC(time_limit, "time limit of Copy commands in seconds; 0: none of their own");

static unsigned int seen;
module_param(seen, uint, 0444);
MODULE_PARM_DESC(seen, "Copy commands");

static unsigned int spoilt;
module_param(spoilt, uint, 0444);
MODULE_PARM_DESC(spoilt, "Copy commands that were made to fail");

static DEFINE_SPINLOCK(fault_lock);	/* protects the counters */

/* void nvme_init_request(struct request *, struct nvme_command *) */
static int fault_setup(struct kprobe *probe, struct pt_regs *regs)
{
	struct request *rq = (struct request *)regs_get_kernel_argument(regs, 0);
	struct nvme_command *cmd = (struct nvme_command *)regs_get_kernel_argument(regs, 1);
	unsigned long flags;

	if (cmd->common.opcode != FAULT_COPY)
		return 0;
	if (time_limit)
		rq->timeout = time_limit * HZ;
	spin_lock_irqsave(&fault_lock, flags);
	if (nth && ++seen % nth == 0) {
		cmd->common.cdw12 |= FAULT_NO_FORMAT;
		spoilt++;
	}
	spin_unlock_irqrestore(&fault_lock, flags);
	return 0;
}

static struct kprobe fault_probe = {
	.symbol_name = "nvme_init_request",
	.pre_handler = fault_setup,
};

static int __init fault_init(void)
{
	return register_kprobe(&fault_probe);
}

static void __exit fault_exit(void)
{
	unregister_kprobe(&fault_probe);
}

module_init(fault_init);
module_exit(fault_exit);

MODULE_DESCRIPTION("Makes NVMe Copy commands fail");
MODULE_LICENSE("GPL");
