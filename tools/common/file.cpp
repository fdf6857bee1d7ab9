// SPDX-License-Identifier: GPL-2.0-only
#include "file.h"

#include <cerrno>
#include <fcntl.h>
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

} // namespace

File::File(const std::string &path, Mode mode)
	: path_(path),
	  fd_(::open(path.c_str(), (mode == Mode::read ? O_RDONLY : O_RDWR) | O_CLOEXEC))
{
	if (fd_ < 0)
		fail(path_, errno);
}

File::~File()
{
	::close(fd_);
}

void File::read(std::uint64_t position, std::span<std::byte> out) const
{
	while (!out.empty()) {
		const ssize_t got =
			::pread(fd_, out.data(), out.size(), static_cast<off_t>(position));

		if (got <= 0)
			fail(path_, got < 0 ? errno : EIO);
		out = out.subspan(static_cast<std::size_t>(got));
		position += static_cast<std::uint64_t>(got);
	}
}

void File::write(std::uint64_t position, std::span<const std::byte> data) const
{
	while (!data.empty()) {
		const ssize_t put =
			::pwrite(fd_, data.data(), data.size(), static_cast<off_t>(position));

		if (put <= 0)
			fail(path_, put < 0 ? errno : EIO);
		data = data.subspan(static_cast<std::size_t>(put));
		position += static_cast<std::uint64_t>(put);
	}
}

void File::sync() const
{
	if (::fsync(fd_) != 0)
		fail(path_, errno);
}

} // namespace dmsc
