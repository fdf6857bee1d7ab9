// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module: brings up the engine, then the targets that stand on it.
 */
#define DM_MSG_PREFIX "scaled"

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/string.h>

#include "compat.h"
#include "copy-offload.h"
#include "dm-clone-scaled.h"
#include "dm-kcopyd-mq.h"
#include "dm-scaled-delay.h"
#include "dm-snap-scaled.h"

static struct dentry *dm_scaled_debugfs;

static char *takeover = "";
module_param(takeover, charp, 0444);
MODULE_PARM_DESC(takeover, "Stock targets whose names are taken over, too: snapshot, clone, both with a comma, or nothing; shows those that are");

/**
 * struct dm_scaled_takeover - whose names are taken over, too
 * @snapshot: those of dm-snapshot
 * @clone:    that of dm-clone
 */
struct dm_scaled_takeover {
	bool snapshot;
	bool clone;
};

static int __init dm_scaled_parse_takeover(struct dm_scaled_takeover *whose)
{
	const char *word = takeover;
	size_t len;

	for (;; word += len + 1) {
		len = strcspn(word, ",");
		if (len == strlen("snapshot") && !strncmp(word, "snapshot", len))
			whose->snapshot = true;
		else if (len == strlen("clone") && !strncmp(word, "clone", len))
			whose->clone = true;
		else if (*takeover)
			break;
		if (!word[len])
			return 0;
	}
	DMERR("takeover=%s: must be snapshot, clone, snapshot,clone, or nothing", takeover);
	return -EINVAL;
}

/*
 * A name that another module has is no reason to be without our own targets: whoever boots with
 * dm-snapshot in an initramfs that was made before would have none of them, and modprobe says
 * nothing. Whose names have been taken is what the parameter then tells; programs read it.
 */
static void __init dm_scaled_take_over(struct dm_scaled_takeover *whose)
{
	struct dm_scaled_takeover asked = *whose;
	const char *kept = "";

	if (asked.snapshot)
		whose->snapshot = !dm_snap_scaled_take_over();
	if (asked.clone)
		whose->clone = !dm_clone_scaled_take_over();
	if (whose->snapshot == asked.snapshot && whose->clone == asked.clone)
		return;

	if (whose->snapshot)
		kept = "snapshot";
	else if (whose->clone)
		kept = "clone";
	/* In place: what was asked for is longer, and the kernel frees it by its address. */
	kernel_param_lock(THIS_MODULE);
	strscpy(takeover, kept, strlen(takeover) + 1);
	kernel_param_unlock(THIS_MODULE);
}

static int __init dm_scaled_init(void)
{
	struct dm_scaled_takeover whose = { };
	int r;

	r = dm_scaled_parse_takeover(&whose);
	if (r)
		return r;

	r = dm_kcopyd_mq_init();
	if (r) {
		DMERR("Cannot set up the copy engine: error %d", r);
		return r;
	}

	dm_scaled_debugfs = debugfs_create_dir("dm-scaled", NULL);
	dm_scaled_delay_init(dm_scaled_debugfs);
	copy_offload_init(dm_scaled_debugfs);
	r = dm_snap_scaled_init();
	if (r)
		goto bad_snap;
	r = dm_clone_scaled_init();
	if (r)
		goto bad_clone;

	/* Last: a module that fails to load is freed, even if somebody has found a target of it. */
	r = dm_snap_scaled_register();
	if (!r)
		r = dm_clone_scaled_register();
	if (r)
		goto bad_register;
	dm_scaled_take_over(&whose);
	return 0;

bad_register:
	dm_clone_scaled_exit();
bad_clone:
	dm_snap_scaled_exit();
bad_snap:
	debugfs_remove_recursive(dm_scaled_debugfs);
	dm_scaled_delay_exit();
	dm_kcopyd_mq_exit();
	return r;
}

static void __exit dm_scaled_exit(void)
{
	dm_clone_scaled_exit();
	dm_snap_scaled_exit();
	debugfs_remove_recursive(dm_scaled_debugfs);
	dm_scaled_delay_exit();
	dm_kcopyd_mq_exit();
}

module_init(dm_scaled_init);
module_exit(dm_scaled_exit);

MODULE_DESCRIPTION("Snapshots and clones that scale with the CPUs, on a per-CPU copy engine");
MODULE_LICENSE("GPL");
MODULE_VERSION(DM_SCALED_VERSION);
MODULE_ALIAS("dm-snapshot-scaled");
MODULE_ALIAS("dm-origin-scaled");
MODULE_ALIAS("dm-merge-scaled");
MODULE_ALIAS("dm-clone-scaled");
