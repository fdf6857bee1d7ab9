// SPDX-License-Identifier: GPL-2.0-only
#include "targets.h"

namespace dmsc
{

std::string title_of_target(const std::string &target)
{
	if (target == "raw")
		return "null_blk";
	if (target == "linear")
		return "dm-linear";
	if (target == "stock")
		return "stock";
	return "dm-scaled";
}

} // namespace dmsc
