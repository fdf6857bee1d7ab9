// SPDX-License-Identifier: GPL-2.0-only
/* functions of the drivers, and a flag, that are as compat.h declares them (Linux 6.1 to 7.3) */
#include <linux/blk-mq.h>
#include <linux/device-mapper.h>

#include "compat-declared.h"

/*
 * Only a whole source tree has these headers. Without it, as with the headers that distributions
 * package, nothing is checked here; modpost still checks that the functions are exported.
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
