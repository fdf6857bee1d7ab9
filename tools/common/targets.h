// SPDX-License-Identifier: GPL-2.0-only
// What the benchmarks measure.
#ifndef DMSC_COMMON_TARGETS_H
#define DMSC_COMMON_TARGETS_H

#include <array>
#include <string>

namespace dmsc
{

// In the order in which they are shown.
inline constexpr std::array kTargets{"raw", "linear", "stock", "ours"};
inline constexpr std::array kSnapshots{"stock", "ours"};

// Of a target, or of a copy engine: stock, mq.
std::string title_of_target(const std::string &target);

} // namespace dmsc

#endif // DMSC_COMMON_TARGETS_H
