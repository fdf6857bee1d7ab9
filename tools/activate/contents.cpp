// SPDX-License-Identifier: GPL-2.0-only
#include "contents.h"

#include "../common/cow_layout.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

struct alignas(4096) Begin {
	std::array<std::byte, kBlank> bytes{};
	std::size_t size = 0; // that the device has of them

	[[nodiscard]] std::span<const std::byte> get() const
	{
		return std::span(bytes).first(size);
	}
};

// Past the page cache, which does not know what the kernel's targets have written.
std::unique_ptr<Begin> read_begin(const std::string &path)
{
	auto begin = std::make_unique<Begin>();
	const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
	const auto size = fd < 0 ? -1 : ::pread(fd, begin->bytes.data(), begin->bytes.size(), 0);
	const int error = errno;

	if (fd >= 0)
		::close(fd);
	if (size < 0)
		throw std::system_error(error, std::generic_category(), path);
	begin->size = static_cast<std::size_t>(size);
	return begin;
}

bool is_zero(std::span<const std::byte> bytes)
{
	return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

} // namespace

bool has_snapshot(const std::string &cow)
{
	const auto begin = read_begin(cow);

	return begin->size >= 4 && load_little_endian(begin->get(), 0, 4) == kCowMagic;
}

void check_blank(const std::string &path, std::size_t begin)
{
	const auto all = read_begin(path);

	if (is_zero(all->get()) || !is_zero(all->get().first(std::min(begin, all->size))))
		return;
	throw std::runtime_error(
		path +
		": would be overwritten as a new one, as it begins with zeroes, but "
		"something follows: must have " +
		std::to_string(kBlank / 1024) +
		" KiB of zeroes. If nothing on it is needed: " + blank_command(path));
}

std::string blank_command(const std::string &path)
{
	return "dd if=/dev/zero of=" + path + " bs=" + std::to_string(kBlank / 1024) +
	       "k count=1 oflag=direct";
}

} // namespace dmsc
