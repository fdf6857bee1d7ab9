// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_COMMON_ERROR_NAME_H
#define DMSC_COMMON_ERROR_NAME_H

#include <cstring>
#include <string>

namespace dmsc
{

// Of an errno value, as in the manual: "EIO"; "0" if there is no error.
inline std::string error_name(int error)
{
	const char *name = ::strerrorname_np(error);

	return name == nullptr ? std::to_string(error) : name;
}

} // namespace dmsc

#endif // DMSC_COMMON_ERROR_NAME_H
