// SPDX-License-Identifier: GPL-2.0-only
/* 6.12 and later: the header is the same for all architectures. */
#include <linux/unaligned.h>

static u16 __maybe_unused probe(const void *data)
{
	return get_unaligned_le16(data);
}
