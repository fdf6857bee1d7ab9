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

// All functions throw std::system_error, the constructor also std::runtime_error: it refuses block
// devices that are in use, for reading, too, as what is read then may be half of a change, and is
// read past what the kernel writes.
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

// Opens what File does, with open()'s flags, for those who do their own I/O. The caller closes it.
// For a block device O_EXCL means: not mounted, in no active table, not opened in this way by
// anybody else. For a plain file it means nothing here.
int open_unused(const std::string &path, int flags);

// Throws std::runtime_error if both are the same device or file, whatever their names.
void refuse_same(const std::string &a, const std::string &b);

} // namespace dmsc

#endif // DMSC_COMMON_FILE_H
