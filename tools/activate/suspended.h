// SPDX-License-Identifier: GPL-2.0-only
// While the root file system stands still nothing may be read from it, this program included.
#ifndef DMSC_ACTIVATE_SUSPENDED_H
#define DMSC_ACTIVATE_SUSPENDED_H

#include "../common/control.h"

#include <string>

namespace dmsc
{

// As long as it lives, what the program has in memory stays there.
class LockedMemory
{
public:
	LockedMemory();
	~LockedMemory();
	LockedMemory(const LockedMemory &) = delete;
	LockedMemory(LockedMemory &&) = delete;
	LockedMemory &operator=(const LockedMemory &) = delete;
	LockedMemory &operator=(LockedMemory &&) = delete;
};

// A device that is suspended as long as it lives.
class Suspended
{
public:
	explicit Suspended(std::string name);
	~Suspended();
	Suspended(const Suspended &) = delete;
	Suspended(Suspended &&) = delete;
	Suspended &operator=(const Suspended &) = delete;
	Suspended &operator=(Suspended &&) = delete;

private:
	std::string name_;
	Control control_;
};

} // namespace dmsc

#endif // DMSC_ACTIVATE_SUSPENDED_H
