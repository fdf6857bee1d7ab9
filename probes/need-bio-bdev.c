// SPDX-License-Identifier: GPL-2.0-only
/* bio_init() and bio_alloc_bioset() that are told the device and the operation (Linux 5.18) */
#include <linux/bio.h>

static void __maybe_unused probe(struct bio *bio, struct bio_set *bs)
{
	bio_init(bio, NULL, NULL, 0, REQ_OP_READ);
	bio_alloc_bioset(NULL, 0, REQ_OP_READ, GFP_NOWAIT, bs);
}
