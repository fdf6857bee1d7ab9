// SPDX-License-Identifier: GPL-2.0-only
#include "kernel_log.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace dmsc
{

KernelLog::KernelLog(const std::string &trouble_file)
	: fd_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC))
{
	std::ifstream file(trouble_file);
	std::string line;

	if (fd_ < 0 || ::lseek(fd_, 0, SEEK_END) < 0)
		throw std::system_error(errno, std::generic_category(), "/dev/kmsg");
	while (std::getline(file, line))
		trouble_.emplace_back(line, std::regex::extended);
	if (trouble_.empty())
		throw std::runtime_error("no patterns in " + trouble_file);
}

KernelLog::~KernelLog()
{
	::close(fd_);
}

std::vector<std::string> KernelLog::read_new()
{
	std::vector<std::string> lines;
	std::array<char, 8192> record{};

	for (;;) {
		const ssize_t size = ::read(fd_, record.data(), record.size());

		if (size < 0 && errno == EAGAIN)
			return lines;
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			throw std::system_error(errno, std::generic_category(),
						"the kernel log was overwritten");

		std::string line(record.data(), static_cast<std::size_t>(size));

		// Prefix; text; key-value pairs.
		line.erase(0, line.find(';') + 1);
		line.erase(std::min(line.find('\n'), line.size()));
		// Device-mapper's own, which are many, need no search.
		if (!line.starts_with("device-mapper: ") &&
		    std::ranges::any_of(trouble_, [&](const std::regex &pattern) {
			    return std::regex_search(line, pattern);
		    }))
			throw std::runtime_error("kernel log: " + line);
		lines.push_back(std::move(line));
	}
}

// "device-mapper: table: MAJOR:MINOR: TYPE: TEXT (-ERROR)"
std::optional<Refusal> parse_refusal(std::string_view line, const DeviceNumber &number)
{
	const std::string prefix = "device-mapper: table: " + to_string(number) + ": ";
	const std::size_t bracket = line.rfind(" (-");

	if (!line.starts_with(prefix) || bracket == std::string_view::npos ||
	    bracket < prefix.size())
		return std::nullopt;

	const std::string_view middle = line.substr(prefix.size(), bracket - prefix.size());
	const std::size_t colon = middle.find(": ");

	if (colon == std::string_view::npos)
		return std::nullopt;
	return Refusal{std::string(middle.substr(0, colon)), std::string(middle.substr(colon + 2)),
		       std::string(line.substr(bracket + 3, line.size() - bracket - 4))};
}

} // namespace dmsc
