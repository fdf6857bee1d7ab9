// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_COMMON_DISK_H
#define DMSC_COMMON_DISK_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <sys/types.h>
#include <vector>

namespace dmsc
{

// The contents of a device, or of a part of it.
using Image = std::vector<std::byte>;

// A device past the page cache. All functions throw std::system_error.
class Disk
{
public:
	explicit Disk(const std::string &path);
	~Disk();
	Disk(const Disk &) = delete;
	Disk &operator=(const Disk &) = delete;

	[[nodiscard]] Image read(std::uint64_t sector, std::uint64_t count) const;
	void write(std::uint64_t sector, std::span<const std::byte> data) const;
	// With FUA, and without a flush.
	void write_durably(std::uint64_t sector, std::span<const std::byte> data) const;
	void flush() const;
	void zero(std::uint64_t sector, std::uint64_t count) const;
	void discard(std::uint64_t sector, std::uint64_t count) const;

private:
	[[noreturn]] void fail() const;
	void check(ssize_t done, std::size_t size) const;

	std::string path_;
	int fd_;
};

// Each sector holds its number and that of the device.
Image stamped(std::uint64_t first, std::uint64_t sectors, std::uint64_t device);

// The first two blocks: a clone on the device will be a new one.
void clear_clone_metadata(const std::string &path);

} // namespace dmsc

#endif // DMSC_COMMON_DISK_H
