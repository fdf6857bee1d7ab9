// SPDX-License-Identifier: GPL-2.0-only
// Activates devices of /etc/dm-scaledtab, one after another.
//
// Whenever an origin is active, all its snapshots are: what is written to it without them would be
// missing from them, and nothing on disk would show it. So
// - an origin is not activated before the snapshots that the file has of it; what cannot be
//   understood in the file but has the origin's device counts as one;
// - a persistent snapshot that was there before is not activated beside an origin that is active;
// - and it is not removed beside one. The origin goes first, which fails as long as it is in use.
// A new or transient snapshot begins when it is activated: if the origin is active, it is
// suspended.
#ifndef DMSC_ACTIVATE_ACTIVATION_H
#define DMSC_ACTIVATE_ACTIVATION_H

#include "../tab/tab.h"

#include <string>

namespace dmsc
{

// Throws std::runtime_error. Does nothing if it is active already, in the same way.
void activate(const Tab &tab, const TabLine &line);
// Of a device that may be in no file any more. Does nothing if there is none.
void deactivate(const std::string &name);

} // namespace dmsc

#endif // DMSC_ACTIVATE_ACTIVATION_H
