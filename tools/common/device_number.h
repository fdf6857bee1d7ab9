// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_COMMON_DEVICE_NUMBER_H
#define DMSC_COMMON_DEVICE_NUMBER_H

#include <optional>
#include <string>
#include <tuple>

namespace dmsc
{

struct DeviceNumber {
	unsigned int major = 0;
	unsigned int minor = 0;

	friend bool operator==(const DeviceNumber &, const DeviceNumber &) = default;
	friend bool operator<(const DeviceNumber &one, const DeviceNumber &other)
	{
		return std::tie(one.major, one.minor) < std::tie(other.major, other.minor);
	}
};

inline std::string to_string(const DeviceNumber &number)
{
	return std::to_string(number.major) + ":" + std::to_string(number.minor);
}

// Of a block device; nothing if there is none at the path.
std::optional<DeviceNumber> number_at(const std::string &path);
// Throws std::runtime_error if there is none.
DeviceNumber number_of(const std::string &path);

} // namespace dmsc

#endif // DMSC_COMMON_DEVICE_NUMBER_H
