// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_ACTIVATE_LOCK_H
#define DMSC_ACTIVATE_LOCK_H

#include "../common/device_number.h"

#include <deque>
#include <set>
#include <string>

namespace dmsc
{

// While one lives, nobody else that has one activates or removes origins or snapshots of the
// device.
class Lock
{
public:
	explicit Lock(const DeviceNumber &device);
	~Lock();
	Lock(const Lock &) = delete;
	Lock(Lock &&) = delete;
	Lock &operator=(const Lock &) = delete;
	Lock &operator=(Lock &&) = delete;

protected:
	// Of something else that has a name; says so if it has to wait.
	Lock(const std::string &name, const std::string &waits_for);

private:
	int fd_;
};

// Of several devices, in the order of their numbers, so that two who want them do not wait for each
// other.
std::deque<Lock> lock_all(const std::set<DeviceNumber> &devices);

// Until this process has ended, and all that it starts. Waits for who has a NoHold.
void begin_hold();

// Waits until there is no hold. While it lives none begins.
class NoHold : public Lock
{
public:
	NoHold();
};

} // namespace dmsc

#endif // DMSC_ACTIVATE_LOCK_H
