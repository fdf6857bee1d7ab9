// SPDX-License-Identifier: GPL-2.0-only
// How systemd names units: "String Escaping for Inclusion in Unit Names" in systemd.unit(5).
#ifndef DMSC_TAB_UNIT_NAME_H
#define DMSC_TAB_UNIT_NAME_H

#include <string>
#include <string_view>

namespace dmsc
{

// As systemd-escape does, and as systemd-escape --path.
std::string escape_name(std::string_view name);
std::string escape_path(std::string_view path);

} // namespace dmsc

#endif // DMSC_TAB_UNIT_NAME_H
