// SPDX-License-Identifier: GPL-2.0-only
#include "version.h"

// The Makefile gives it to the compiler, but not to programs that check the source.
#ifndef DM_SCALED_VERSION
#define DM_SCALED_VERSION "unknown"
#endif

namespace dmsc
{

std::string version(const char *tool)
{
	return std::string(tool) + " (dm-scaled) " DM_SCALED_VERSION;
}

} // namespace dmsc
