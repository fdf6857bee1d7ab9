// SPDX-License-Identifier: GPL-2.0-only
// A block device, or a plain file in its place, opened for direct I/O.
#ifndef DMSC_DEVICE_H
#define DMSC_DEVICE_H

#include "range_lock.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace dmsc
{

class FileDescriptor
{
public:
	explicit FileDescriptor(int fd) : fd_(fd) {}
	~FileDescriptor();
	FileDescriptor(FileDescriptor &&other) noexcept;
	FileDescriptor(const FileDescriptor &) = delete;
	FileDescriptor &operator=(const FileDescriptor &) = delete;
	FileDescriptor &operator=(FileDescriptor &&) = delete;

	[[nodiscard]] int get() const { return fd_; }

private:
	int fd_;
};

// Every operation returns 0 or an errno value; a short transfer is EIO. Buffers are aligned to
// 4096.
class Device
{
public:
	explicit Device(const std::string &path);

	[[nodiscard]] const std::string &path() const { return path_; }
	[[nodiscard]] std::uint64_t sectors() const { return sectors_; }
	// Positions and sizes of I/O are multiples of this many sectors.
	[[nodiscard]] std::uint64_t block_sectors() const { return block_sectors_; }

	[[nodiscard]] int read(std::uint64_t sector, std::span<std::byte> out) const;
	[[nodiscard]] int write(std::uint64_t sector, std::span<const std::byte> data,
				bool durable) const;
	[[nodiscard]] int flush() const;
	[[nodiscard]] int discard(const Range &range) const;
	[[nodiscard]] int zero(const Range &range) const;

private:
	std::string path_;
	FileDescriptor fd_;
	bool is_block_ = false;
	std::uint64_t sectors_ = 0;
	std::uint64_t block_sectors_ = 1;
};

} // namespace dmsc

#endif // DMSC_DEVICE_H
