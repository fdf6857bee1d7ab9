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

} // namespace dmsc
