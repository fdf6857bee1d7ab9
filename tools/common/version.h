// SPDX-License-Identifier: GPL-2.0-only
// The version, as the tools print it.
#ifndef DMSC_COMMON_VERSION_H
#define DMSC_COMMON_VERSION_H

#include <string>

namespace dmsc
{

// What a tool prints for --version: its name and the version of dm-scaled.
std::string version(const char *tool);

} // namespace dmsc

#endif
