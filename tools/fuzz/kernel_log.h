// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_KERNEL_LOG_H
#define DMSC_KERNEL_LOG_H

#include "devices.h"

#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace dmsc
{

// What the kernel logs from now on.
class KernelLog
{
public:
	// The file has a pattern in each line, as for grep -E.
	explicit KernelLog(const std::string &trouble_file);
	~KernelLog();
	KernelLog(const KernelLog &) = delete;
	KernelLog &operator=(const KernelLog &) = delete;

	// The lines since the last call. Throws if one means trouble, or if some were lost.
	std::vector<std::string> read_new();

private:
	int fd_;
	std::vector<std::regex> trouble_;
};

// What the log says of a refused target.
struct Refusal {
	std::string type;
	std::string text;
	std::string error;
};

// If the line is about a target of a table for that device.
std::optional<Refusal> parse_refusal(std::string_view line, const DeviceNumber &number);

} // namespace dmsc

#endif // DMSC_KERNEL_LOG_H
