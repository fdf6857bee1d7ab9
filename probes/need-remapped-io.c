// SPDX-License-Identifier: GPL-2.0-only
/* dm_submit_bio_remap() and targets that account remapped I/O (Linux 5.18) */
#include <linux/device-mapper.h>

static_assert(DM_MAPIO_SUBMITTED == 0);

static void __maybe_unused probe(struct dm_target *ti, struct bio *bio)
{
	ti->accounts_remapped_io = true;
	dm_submit_bio_remap(bio, bio);
}
