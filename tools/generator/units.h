// SPDX-License-Identifier: GPL-2.0-only
// The units of the devices in /etc/dm-scaledtab.
#ifndef DMSC_GENERATOR_UNITS_H
#define DMSC_GENERATOR_UNITS_H

#include "../tab/tab.h"

#include <filesystem>
#include <string>
#include <vector>

namespace dmsc
{

// Has LVM's unit leave snapshots alone when the machine is shut down. Throws std::runtime_error.
void keep_snapshots(const std::filesystem::path &folder);
// Writes them. In the initramfs only those of devices that are to be activated there. Returns what
// could not be written of single lines.
std::vector<std::string> write_units(const Tab &tab, const std::string &source,
				     const std::filesystem::path &folder, bool in_initrd);

} // namespace dmsc

#endif // DMSC_GENERATOR_UNITS_H
