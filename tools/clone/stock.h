// SPDX-License-Identifier: GPL-2.0-only
// The metadata device of a clone of dm-clone's: read, never written.
#ifndef DMSC_CLONE_STOCK_H
#define DMSC_CLONE_STOCK_H

#include "../common/clone_layout.h"
#include "../common/file.h"

namespace dmsc
{

struct StockClone {
	CloneGeometry geometry;
	RegionBits bits;
};

// Throws if anything is not as it should be.
StockClone read_stock_clone(const File &device);

} // namespace dmsc

#endif // DMSC_CLONE_STOCK_H
