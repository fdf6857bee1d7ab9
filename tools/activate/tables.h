// SPDX-License-Identifier: GPL-2.0-only
// Tables of active devices, and those that lines of the file stand for. In both, devices below are
// numbers.
#ifndef DMSC_ACTIVATE_TABLES_H
#define DMSC_ACTIVATE_TABLES_H

#include "../common/device_number.h"
#include "../tab/tab.h"
#include "dmsetup.h"

#include <set>

namespace dmsc
{

using Numbers = std::set<DeviceNumber>;
using Tables = std::map<std::string, Targets>; // by the names of devices

// Throws std::runtime_error if a device is not there.
Table table_of(const TabLine &line);
TabRow row_of(const Target &target);
std::string text_of(const Targets &targets);

bool is_snapshot(const Target &target);
// Whether it will still be there after the next start.
bool is_persistent(const Target &target);
// The first devices of targets with such roles.
Numbers origins_of(const Targets &targets);
Numbers snapshots_of(const Targets &targets);
Numbers persistent_snapshots_of(const Targets &targets);

// Whether the line's device is active, as the line says. Not if its devices are not there.
bool is_active(const Tables &tables, const TabLine &line);
// How the active device of that name is another one; empty if it is not.
std::string difference(const Tables &tables, const std::string &name, const Table &wanted);

} // namespace dmsc

#endif // DMSC_ACTIVATE_TABLES_H
