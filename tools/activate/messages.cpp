// SPDX-License-Identifier: GPL-2.0-only
#include "messages.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace dmsc
{

Messages::Messages() : fd_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC))
{
	if (fd_ >= 0)
		::lseek(fd_, 0, SEEK_END);
}

Messages::~Messages()
{
	if (fd_ >= 0)
		::close(fd_);
}

// A record is "priority,number,time,flags;text", and may have further lines.
std::string Messages::read()
{
	constexpr std::string_view prefix = "device-mapper: ";
	std::array<char, 8192> record{};
	std::string lines;

	while (fd_ >= 0) {
		const auto size = ::read(fd_, record.data(), record.size());

		if (size < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (size <= 0)
			break;

		std::string_view text(record.data(), static_cast<std::size_t>(size));

		text.remove_prefix(std::min(text.find(';') + 1, text.size()));
		text = text.substr(0, text.find('\n'));
		// "ioctl" only repeats that it failed.
		if (text.starts_with(prefix) && !text.starts_with("device-mapper: ioctl: "))
			lines.append(lines.empty() ? "" : "; ").append(text.substr(prefix.size()));
	}
	return lines;
}

} // namespace dmsc
