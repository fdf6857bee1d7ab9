// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_TAB_LINE_H
#define DMSC_TAB_LINE_H

#include "tab.h"

namespace dmsc
{

// What can be said of a line alone. Nothing: it is empty or a comment.
std::optional<TabLine> parse_tab_line(std::size_t number, std::string_view text);

} // namespace dmsc

#endif // DMSC_TAB_LINE_H
