// SPDX-License-Identifier: GPL-2.0-only
#include "device_number.h"

#include <stdexcept>

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace dmsc
{

std::optional<DeviceNumber> number_at(const std::string &path)
{
	struct stat info {
	};

	if (::stat(path.c_str(), &info) < 0 || !S_ISBLK(info.st_mode))
		return std::nullopt;
	return DeviceNumber{major(info.st_rdev), minor(info.st_rdev)};
}

DeviceNumber number_of(const std::string &path)
{
	if (const auto number = number_at(path))
		return *number;
	throw std::runtime_error(path + ": not a block device");
}

} // namespace dmsc
