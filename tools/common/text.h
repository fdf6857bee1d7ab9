// SPDX-License-Identifier: GPL-2.0-only
// Numbers as people read them.
#ifndef DMSC_COMMON_TEXT_H
#define DMSC_COMMON_TEXT_H

#include <string>

namespace dmsc
{

// 1234567.8 with 0 digits: "1234568".
std::string format_fixed(double value, int digits);
// The same: "1,234,568".
std::string format_number(double value, int digits);

} // namespace dmsc

#endif // DMSC_COMMON_TEXT_H
