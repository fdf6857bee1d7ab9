// SPDX-License-Identifier: GPL-2.0-only
// While the root file system stands still nothing may be read from it, this program included; and
// nothing may end the program before it goes on.
#ifndef DMSC_ACTIVATE_SUSPENDED_H
#define DMSC_ACTIVATE_SUSPENDED_H

#include "../common/control.h"

#include <csignal>
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

// As long as it lives, signals wait: all but SIGKILL.
class BlockedSignals
{
public:
	BlockedSignals();
	~BlockedSignals();
	BlockedSignals(const BlockedSignals &) = delete;
	BlockedSignals(BlockedSignals &&) = delete;
	BlockedSignals &operator=(const BlockedSignals &) = delete;
	BlockedSignals &operator=(BlockedSignals &&) = delete;

private:
	sigset_t before_{};
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
