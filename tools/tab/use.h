// SPDX-License-Identifier: GPL-2.0-only
// What a table does with a device below it, and which of these uses go together.
//
// Writes to an origin must go through its origin or merge target: its snapshots miss all others. A
// COW or metadata device has one user. Tab holds the lines of the file against each other by this
// rule, activate() a line against all that is active, by device numbers.
#ifndef DMSC_TAB_USE_H
#define DMSC_TAB_USE_H

#include "tab.h"

namespace dmsc
{

enum class Use {
	origin,      // of an origin, snapshot or merge target
	source,      // of a clone: is read only
	own,         // COW or metadata device
	destination, // of a clone; what is behind the clone's end is free
	part,        // of a linear target
	other,       // of a target that we do not know
};

struct DeviceUse {
	std::string device;
	Use use;
};

// Devices are paths in /dev, or numbers as the kernel shows them.
std::vector<DeviceUse> uses_of(const TabRow &row);
bool is_device_number(std::string_view word);
// Whether the path is the kernel's, in the order in which it finds disks.
bool is_unstable(std::string_view path);

// Whether the device is its user's alone.
bool is_owned(Use use);
// Whether two tables must not use a device so.
bool clash(Use one, Use another);
// Why not. "who" is the other one that has it, and how.
std::string describe_clash(const DeviceUse &wanted, const std::string &who, Use has);

} // namespace dmsc

#endif // DMSC_TAB_USE_H
