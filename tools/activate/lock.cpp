// SPDX-License-Identifier: GPL-2.0-only
#include "lock.h"

#include <cerrno>
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

int open_file(const std::string &path)
{
	::mkdir(kFolder, S_IRWXU);

	const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);

	if (fd < 0)
		throw std::system_error(errno, std::generic_category(), path);
	return fd;
}

} // namespace

Lock::Lock(const DeviceNumber &device)
	: fd_(open_file(std::string(kFolder) + "/" + to_string(device)))
{
	if (::flock(fd_, LOCK_EX) < 0) {
		const int error = errno;

		::close(fd_);
		throw std::system_error(error, std::generic_category(), kFolder);
	}
}

Lock::~Lock()
{
	::close(fd_);
}

std::deque<Lock> lock_all(const std::set<DeviceNumber> &devices)
{
	std::deque<Lock> locks;

	for (const auto &device : devices)
		locks.emplace_back(device);
	return locks;
}

} // namespace dmsc
