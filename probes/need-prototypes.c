// SPDX-License-Identifier: GPL-2.0-only
/* functions of the drivers, and a flag, that are as compat.h declares them (Linux 6.1 to 7.3) */
#include <linux/blk-mq.h>
#include <linux/device-mapper.h>

#include "compat-declared.h"

/*
 * Nothing is checked without these headers, which most distributions do not package.
 * Device-mapper's functions are looked for when the module is linked, the NVMe driver's when it
 * asks for them; neither checks what they take.
 */
#if __has_include("../drivers/nvme/host/nvme.h")
#include "../drivers/nvme/host/nvme.h"
#endif
#if __has_include("../drivers/md/dm-core.h")
#include "../drivers/md/dm-core.h"
#endif
#if __has_include("../drivers/md/dm.h")
#include "../drivers/md/dm.h"
static_assert(DM_SCALED_STATUS_NOFLUSH == DM_STATUS_NOFLUSH_FLAG);
#endif
