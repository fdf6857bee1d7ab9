// SPDX-License-Identifier: GPL-2.0-only
// When the power may fail in a log of dm-log-writes, and what is left then of what was not durable.
#ifndef DMSC_COMMON_POWER_CUT_H
#define DMSC_COMMON_POWER_CUT_H

#include "log.h"

#include <cstddef>
#include <random>
#include <span>
#include <vector>

namespace dmsc
{

// Of an entry these sectors have arrived.
struct Arrived {
	std::size_t entry = 0;
	std::vector<bool> sectors;
};

// Numbers of entries behind a barrier, or all entries: what is before is durable then. At most so
// many, chosen at random, the last one among them; 0: all. None is smaller than the first.
std::vector<std::size_t> cut_moments(std::span<const Entry> entries, std::size_t first,
				     std::size_t points, std::mt19937_64 &random);

// What follows up to the next barrier was under way, and so were, if the log is one of several
// devices, these entries before the moment. None of it has arrived, or some of its sectors, or some
// of its writes; or all of it, and some sectors of the write with the barrier.
std::vector<Arrived> arrived(std::span<const Entry> entries, std::span<const std::size_t> before,
			     std::size_t moment, std::mt19937_64 &random);

} // namespace dmsc

#endif // DMSC_COMMON_POWER_CUT_H
