// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_COMMON_TABLE_H
#define DMSC_COMMON_TABLE_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dmsc
{

// One line of a table, as the ioctl gets it.
struct Target {
	std::uint64_t start = 0;
	std::uint64_t length = 0;
	std::string type;
	std::string params;

	friend bool operator==(const Target &, const Target &) = default;
};

struct Table {
	std::vector<Target> targets;
	bool read_only = false;

	friend bool operator==(const Table &, const Table &) = default;
};

constexpr std::string_view kSnapshot = "snapshot-scaled";
constexpr std::string_view kOrigin = "origin-scaled";
constexpr std::string_view kClone = "clone-scaled";
// Device-mapper's own, accepts anything: a neighbour for the others.
constexpr std::string_view kNeighbour = "error";

// What the kernel takes for white space; the last is Latin-1's no-break space.
constexpr std::string_view kSpaces = " \t\n\v\f\r\xa0";

// The arguments that device-mapper makes of parameters or a message: a backslash takes the meaning
// from the character behind it.
std::vector<std::string> split_arguments(std::string_view text);

} // namespace dmsc

#endif // DMSC_COMMON_TABLE_H
