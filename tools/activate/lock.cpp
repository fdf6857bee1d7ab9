// SPDX-License-Identifier: GPL-2.0-only
#include "lock.h"

#include <cerrno>
#include <iostream>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

constexpr const char *kFolder = "/run/dmsc-tab";
constexpr const char *kHold = "hold";

int open_file(const std::string &name, int flags = O_CLOEXEC)
{
	const auto path = std::string(kFolder) + "/" + name;

	::mkdir(kFolder, S_IRWXU);

	const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | flags, S_IRUSR | S_IWUSR);

	if (fd < 0)
		throw std::system_error(errno, std::generic_category(), path);
	return fd;
}

void lock(int fd, int how)
{
	if (::flock(fd, how) < 0) {
		const int error = errno;

		::close(fd);
		throw std::system_error(error, std::generic_category(), kFolder);
	}
}

} // namespace

Lock::Lock(const DeviceNumber &device) : fd_(open_file(to_string(device)))
{
	lock(fd_, LOCK_EX);
}

Lock::Lock(const std::string &name, const std::string &waits_for) : fd_(open_file(name))
{
	if (::flock(fd_, LOCK_EX | LOCK_NB) == 0)
		return;
	std::cerr << "waits for " << waits_for << std::endl;
	lock(fd_, LOCK_EX);
}

Lock::~Lock()
{
	::close(fd_);
}

void begin_hold()
{
	lock(open_file(kHold, 0), LOCK_SH);
}

NoHold::NoHold() : Lock(kHold, "the end of 'dmsc-tab hold'") {}

std::deque<Lock> lock_all(const std::set<DeviceNumber> &devices)
{
	std::deque<Lock> locks;

	for (const auto &device : devices)
		locks.emplace_back(device);
	return locks;
}

} // namespace dmsc
