// SPDX-License-Identifier: GPL-2.0-only
// The middle of several values.
#ifndef DMSC_COMMON_MEDIAN_H
#define DMSC_COMMON_MEDIAN_H

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <vector>

namespace dmsc
{

// Throws std::invalid_argument if there is no value.
inline double median_of(std::vector<double> values)
{
	if (values.empty())
		throw std::invalid_argument("no median of nothing");
	std::ranges::sort(values);

	const std::size_t middle = values.size() / 2;

	return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

} // namespace dmsc

#endif // DMSC_COMMON_MEDIAN_H
