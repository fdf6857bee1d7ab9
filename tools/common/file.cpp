// SPDX-License-Identifier: GPL-2.0-only
#include "file.h"

#include <cerrno>
#include <fcntl.h>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace dmsc
{

namespace
{

[[noreturn]] void fail(const std::string &path, int error)
{
	throw std::system_error(error, std::generic_category(), path);
}

struct stat stat_of(const std::string &path)
{
	struct stat found = {};

	if (::stat(path.c_str(), &found) != 0)
		fail(path, errno);
	return found;
}

bool is_same(const struct stat &a, const struct stat &b)
{
	if (S_ISBLK(a.st_mode) && S_ISBLK(b.st_mode))
		return a.st_rdev == b.st_rdev;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Calls io for what is left, until nothing is.
template <typename Byte, typename Io>
void transfer(const std::string &path, std::uint64_t position, std::span<Byte> left, Io io)
{
	while (!left.empty()) {
		const ssize_t done = io(left.data(), left.size(), static_cast<off_t>(position));

		if (done <= 0)
			fail(path, done < 0 ? errno : EIO);
		left = left.subspan(static_cast<std::size_t>(done));
		position += static_cast<std::uint64_t>(done);
	}
}

} // namespace

int open_unused(const std::string &path, int flags)
{
	const int fd = ::open(path.c_str(), flags | O_EXCL | O_CLOEXEC);

	if (fd < 0 && errno == EBUSY)
		throw std::runtime_error(path + ": is in use: mounted, in a device-mapper table, " +
					 "or opened by another program");
	if (fd < 0)
		fail(path, errno);
	return fd;
}

File::File(const std::string &path, Mode mode)
	: path_(path), fd_(open_unused(path, mode == Mode::read ? O_RDONLY : O_RDWR))
{
}

File::~File()
{
	::close(fd_);
}

void File::read(std::uint64_t position, std::span<std::byte> out) const
{
	transfer(path_, position, out, [this](std::byte *to, std::size_t size, off_t from) {
		return ::pread(fd_, to, size, from);
	});
}

void File::write(std::uint64_t position, std::span<const std::byte> data) const
{
	transfer(path_, position, data, [this](const std::byte *from, std::size_t size, off_t to) {
		return ::pwrite(fd_, from, size, to);
	});
}

void File::sync() const
{
	if (::fsync(fd_) != 0)
		fail(path_, errno);
}

void refuse_same(const std::string &a, const std::string &b)
{
	if (is_same(stat_of(a), stat_of(b)))
		throw std::runtime_error(a + " and " + b + " are the same: must be two devices");
}

} // namespace dmsc
