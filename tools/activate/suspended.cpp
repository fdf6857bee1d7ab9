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

BlockedSignals::BlockedSignals()
{
	sigset_t all{};

	::sigfillset(&all);
	if (const int error = ::pthread_sigmask(SIG_BLOCK, &all, &before_))
		throw std::system_error(error, std::generic_category(), "pthread_sigmask");
}

BlockedSignals::~BlockedSignals()
{
	::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
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
