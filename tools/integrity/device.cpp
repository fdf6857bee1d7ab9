// SPDX-License-Identifier: GPL-2.0-only
#include "device.h"

#include "../common/file.h"
#include "../common/pattern.h"

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

[[noreturn]] void fail(const std::string &path)
{
	throw std::system_error(errno, std::generic_category(), path);
}

// tmpfs has no direct I/O; only plain files may do without.
int open_direct(const std::string &path)
{
	try {
		return open_unused(path, O_RDWR | O_DIRECT);
	} catch (const std::system_error &error) {
		if (error.code().value() != EINVAL)
			throw;
	}
	return open_unused(path, O_RDWR);
}

int transfer_result(ssize_t done, std::size_t wanted)
{
	if (done < 0)
		return errno;
	return static_cast<std::size_t>(done) == wanted ? 0 : EIO;
}

off_t byte_position(std::uint64_t sector)
{
	return static_cast<off_t>(sector << kSectorShift);
}

} // namespace

FileDescriptor::~FileDescriptor()
{
	if (fd_ >= 0)
		::close(fd_);
}

FileDescriptor::FileDescriptor(FileDescriptor &&other) noexcept : fd_(std::exchange(other.fd_, -1))
{
}

Device::Device(const std::string &path) : path_(path), fd_(open_direct(path))
{
	struct stat info {
	};

	if (::fstat(fd_.get(), &info) < 0)
		fail(path);
	is_block_ = S_ISBLK(info.st_mode);
	if (!is_block_) {
		sectors_ = static_cast<std::uint64_t>(info.st_size) >> kSectorShift;
		return;
	}

	std::uint64_t bytes = 0;
	int block_bytes = 0;

	if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) < 0 ||
	    ::ioctl(fd_.get(), BLKSSZGET, &block_bytes) < 0)
		fail(path);
	sectors_ = bytes >> kSectorShift;
	block_sectors_ = static_cast<std::uint64_t>(block_bytes) >> kSectorShift;
}

int Device::read(std::uint64_t sector, std::span<std::byte> out) const
{
	const iovec vector{out.data(), out.size()};

	return transfer_result(::preadv2(fd_.get(), &vector, 1, byte_position(sector), 0),
			       out.size());
}

int Device::write(std::uint64_t sector, std::span<const std::byte> data, bool durable) const
{
	// iovec has no const; pwritev2 does not write to the buffer.
	const iovec vector{const_cast<std::byte *>(data.data()), data.size()};

	return transfer_result(
		::pwritev2(fd_.get(), &vector, 1, byte_position(sector), durable ? RWF_DSYNC : 0),
		data.size());
}

int Device::flush() const
{
	return ::fdatasync(fd_.get()) < 0 ? errno : 0;
}

int Device::discard(const Range &range) const
{
	std::array<std::uint64_t, 2> bytes{range.first << kSectorShift,
					   range.count << kSectorShift};
	const int result =
		is_block_ ? ::ioctl(fd_.get(), BLKDISCARD, bytes.data())
			  : ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					byte_position(range.first), byte_position(range.count));

	return result < 0 ? errno : 0;
}

int Device::zero(const Range &range) const
{
	std::array<std::uint64_t, 2> bytes{range.first << kSectorShift,
					   range.count << kSectorShift};
	// ZERO_RANGE is not everywhere; a hole of a file reads as zeroes as well.
	const int result =
		is_block_ ? ::ioctl(fd_.get(), BLKZEROOUT, bytes.data())
			  : ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					byte_position(range.first), byte_position(range.count));

	return result < 0 ? errno : 0;
}

} // namespace dmsc
