// SPDX-License-Identifier: GPL-2.0-only
// A file or block device that is read and written at positions.
#ifndef DMSC_COMMON_FILE_H
#define DMSC_COMMON_FILE_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace dmsc
{

// All functions throw std::system_error.
class File
{
public:
	enum class Mode { read, write };

	File(const std::string &path, Mode mode);
	~File();
	File(const File &) = delete;
	File(File &&) = delete;
	File &operator=(const File &) = delete;
	File &operator=(File &&) = delete;

	void read(std::uint64_t position, std::span<std::byte> out) const;
	void write(std::uint64_t position, std::span<const std::byte> data) const;
	void sync() const;

private:
	std::string path_;
	int fd_;
};

} // namespace dmsc

#endif // DMSC_COMMON_FILE_H
