/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel exports, but declares in headers that only the drivers' own directories see. The
 * headers that most distributions package lack those, so that the compiler finds a difference only
 * where the whole source tree is there: see probes/need-prototypes.c.
 */
#ifndef DM_SCALED_COMPAT_DECLARED_H
#define DM_SCALED_COMPAT_DECLARED_H

#include <linux/bits.h>
#include <linux/blk-mq.h>
#include <linux/device-mapper.h>

/* For target_type.status: do not write anything. */
#define DM_SCALED_STATUS_NOFLUSH	BIT(0)

/* The NVMe driver's. */
struct nvme_command;

typedef void dm_scaled_nvme_init_fn(struct request *rq, struct nvme_command *cmd);
typedef int dm_scaled_nvme_sync_fn(struct request_queue *q, struct nvme_command *cmd, void *buffer,
				   unsigned int size);
dm_scaled_nvme_init_fn nvme_init_request;
dm_scaled_nvme_sync_fn nvme_submit_sync_cmd;

/*
 * Device-mapper's. The first returns with the device's suspend lock held, the second releases it.
 */
void dm_internal_suspend_fast(struct mapped_device *md);
void dm_internal_resume_fast(struct mapped_device *md);

#endif /* DM_SCALED_COMPAT_DECLARED_H */
