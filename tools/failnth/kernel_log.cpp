// SPDX-License-Identifier: GPL-2.0-only
#include "kernel_log.h"

#include <array>
#include <cerrno>
#include <regex>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

constexpr const char *kFile = "/dev/kmsg";
constexpr std::size_t kMaxRecord = 8192;

} // namespace

KernelLog::KernelLog() : fd_(::open(kFile, O_RDONLY | O_NONBLOCK | O_CLOEXEC))
{
	if (fd_ < 0)
		throw std::system_error(errno, std::generic_category(), kFile);
}

KernelLog::~KernelLog()
{
	::close(fd_);
}

void KernelLog::skip()
{
	if (::lseek(fd_, 0, SEEK_END) < 0)
		throw std::system_error(errno, std::generic_category(), kFile);
}

// A record is "priority,number,time,flags;text", and has further lines that do not concern us.
std::optional<std::string> KernelLog::next()
{
	std::array<char, kMaxRecord> record{};
	const ssize_t length = ::read(fd_, record.data(), record.size());

	if (length < 0 && errno == EPIPE) // overwritten before it was read
		return "";
	if (length < 0)
		return std::nullopt;

	std::string text(record.data(), static_cast<std::size_t>(length));

	text = text.substr(text.find(';') + 1);
	return text.substr(0, text.find('\n'));
}

std::string KernelLog::device_mapper_lines()
{
	static const std::regex number("\\b[0-9]+:[0-9]+: ");
	std::string lines;

	while (const auto line = next())
		if (line->starts_with("device-mapper: "))
			lines += (lines.empty() ? "" : " | ") + line->substr(15);
	return std::regex_replace(lines, number, "");
}

} // namespace dmsc
