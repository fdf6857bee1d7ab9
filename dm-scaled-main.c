// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module: brings up the engine, then the targets that stand on it.
 */
#define DM_MSG_PREFIX "scaled"

#include <linux/module.h>
#include <linux/string.h>

#include "compat.h"
#include "copy-offload.h"
#include "dm-kcopyd-mq.h"
#include "dm-snap-scaled.h"

static char *takeover = "";
module_param(takeover, charp, 0444);
MODULE_PARM_DESC(takeover, "Stock targets whose names are taken over, too: snapshot, or nothing");

static int __init dm_scaled_init(void)
{
	bool snapshot = !strcmp(takeover, "snapshot");
	int r;

	if (*takeover && !snapshot) {
		DMERR("takeover=%s: must be snapshot, or nothing", takeover);
		return -EINVAL;
	}

	r = dm_kcopyd_mq_init();
	if (r) {
		DMERR("Cannot set up the copy engine: error %d", r);
		return r;
	}

	copy_offload_init();
	r = dm_snap_scaled_init(snapshot);
	if (r) {
		copy_offload_exit();
		dm_kcopyd_mq_exit();
	}
	return r;
}

static void __exit dm_scaled_exit(void)
{
	dm_snap_scaled_exit();
	copy_offload_exit();
	dm_kcopyd_mq_exit();
}

module_init(dm_scaled_init);
module_exit(dm_scaled_exit);

MODULE_DESCRIPTION("Snapshots that scale with the CPUs, on a per-CPU copy engine");
MODULE_LICENSE("GPL");
MODULE_ALIAS("dm-snapshot-scaled");
MODULE_ALIAS("dm-origin-scaled");
MODULE_ALIAS("dm-merge-scaled");
