// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_ACTIVATE_USERS_H
#define DMSC_ACTIVATE_USERS_H

#include "../common/device_number.h"

#include <string>

namespace dmsc
{

// What uses a device: "'NAME' stands on it, it is mounted on PATH". Empty if nothing does.
std::string users_of(const std::string &path);
// Only where it is mounted.
std::string mounts_of(const std::string &path);

// What device-mapper calls it; empty if it is none of its devices.
std::string mapped_name(const DeviceNumber &number);

} // namespace dmsc

#endif // DMSC_ACTIVATE_USERS_H
