// SPDX-License-Identifier: GPL-2.0-only
#include "suspended.h"

#include <cerrno>
#include <iostream>
#include <system_error>
#include <utility>

#include <sys/mman.h>

namespace dmsc
{

LockedMemory::LockedMemory()
{
	if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		throw std::system_error(errno, std::generic_category(), "mlockall");
}

LockedMemory::~LockedMemory()
{
	::munlockall();
}

Suspended::Suspended(std::string name) : name_(std::move(name))
{
	if (const int error = control_.suspend(name_))
		throw std::system_error(error, std::generic_category(), "suspending " + name_);
}

Suspended::~Suspended()
{
	if (const int error = control_.resume(name_))
		std::cerr << "dmsc-tab: '" << name_
			  << "' stays suspended: " << std::generic_category().message(error)
			  << std::endl;
}

} // namespace dmsc
