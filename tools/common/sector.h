// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_COMMON_SECTOR_H
#define DMSC_COMMON_SECTOR_H

#include <cstdint>

namespace dmsc
{

// Bytes.
constexpr std::uint64_t kSector = 512;

} // namespace dmsc

#endif // DMSC_COMMON_SECTOR_H
