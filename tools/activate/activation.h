// SPDX-License-Identifier: GPL-2.0-only
// Activates devices of /etc/dm-scaledtab, one after another.
//
// Whenever an origin is active, all its snapshots are, and all that is written to its device goes
// through it: what is written otherwise would be missing from them, and nothing on disk would show
// it. So
// - an origin is not activated before the snapshots that the file has of it. In doubt a line is one
//   of them: if its path for the origin is not there, and is not that of another line's origin; and
//   if it is wrong and does not have the devices of others only;
// - a persistent snapshot that was there before is not activated beside an origin that is active;
// - and it is not removed beside one. The origin goes first, which fails as long as it is in use;
// - nothing is activated on a device that another mapped device uses in a way that does not go
//   together with it: see use.h. Later ones, that are made by hand, are not prevented;
// - in doubt nothing is activated, and the message says what has to be done.
// A new or transient snapshot begins when it is activated: if the origin is active, it is
// suspended. A COW or metadata device that would be a new one must be blank: see contents.h.
#ifndef DMSC_ACTIVATE_ACTIVATION_H
#define DMSC_ACTIVATE_ACTIVATION_H

#include "../tab/tab.h"

#include <string>

namespace dmsc
{

// Throws std::runtime_error. Does nothing if it is active already, in the same way.
void activate(const Tab &tab, const TabLine &line);
// Of a device that may be in no file any more. Does nothing if there is none. A snapshot that is
// held, see hold.h, is removed when that has ended.
void deactivate(const std::string &name);

} // namespace dmsc

#endif // DMSC_ACTIVATE_ACTIVATION_H
