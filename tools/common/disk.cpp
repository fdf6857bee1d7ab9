// SPDX-License-Identifier: GPL-2.0-only
#include "disk.h"

#include "clone_layout.h"
#include "little_endian.h"
#include "sector.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <new>
#include <system_error>
#include <unistd.h>

#include <linux/fs.h>
#include <sys/ioctl.h>

namespace dmsc
{

namespace
{

constexpr std::size_t kAlignment = 4096;

struct Free {
	void operator()(std::byte *memory) const { std::free(memory); }
};
using Aligned = std::unique_ptr<std::byte, Free>;

Aligned aligned(std::size_t size)
{
	const std::size_t whole = (size + kAlignment - 1) / kAlignment * kAlignment;
	Aligned memory(static_cast<std::byte *>(std::aligned_alloc(kAlignment, whole)));

	if (!memory)
		throw std::bad_alloc();
	return memory;
}

off_t position(std::uint64_t sector)
{
	return static_cast<off_t>(sector * kSector);
}

} // namespace

Disk::Disk(const std::string &path)
	: path_(path), fd_(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC))
{
	if (fd_ < 0)
		fail();
}

Disk::~Disk()
{
	::close(fd_);
}

Image Disk::read(std::uint64_t sector, std::uint64_t count) const
{
	const std::size_t size = count * kSector;
	const auto buffer = aligned(size);

	check(::pread(fd_, buffer.get(), size, position(sector)), size);
	return {buffer.get(), buffer.get() + size};
}

void Disk::write(std::uint64_t sector, std::span<const std::byte> data) const
{
	const auto buffer = aligned(data.size());

	std::ranges::copy(data, buffer.get());
	check(::pwrite(fd_, buffer.get(), data.size(), position(sector)), data.size());
}

void Disk::flush() const
{
	if (::fsync(fd_) < 0)
		fail();
}

void Disk::discard(std::uint64_t sector, std::uint64_t count) const
{
	std::array<std::uint64_t, 2> range{sector * kSector, count * kSector};

	if (::ioctl(fd_, BLKDISCARD, range.data()) < 0)
		fail();
}

void Disk::check(ssize_t done, std::size_t size) const
{
	if (done != static_cast<ssize_t>(size))
		fail();
}

void Disk::fail() const
{
	throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), path_);
}

Image stamped(std::uint64_t first, std::uint64_t sectors, std::uint64_t device)
{
	Image image(sectors * kSector);

	for (std::uint64_t i = 0; i < sectors; i++)
		for (std::size_t word = 0; word < kSector; word += 8)
			store_little_endian(image, i * kSector + word, 8,
					    device << 32 | (first + i));
	return image;
}

void clear_clone_metadata(const std::string &path)
{
	Disk(path).write(0, Image(kCloneSupers * kCloneBlock));
}

} // namespace dmsc
