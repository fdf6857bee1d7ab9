// SPDX-License-Identifier: GPL-2.0-only
// What the kernel logs.
#ifndef DMSC_KERNEL_LOG_H
#define DMSC_KERNEL_LOG_H

#include <optional>
#include <string>

namespace dmsc
{

class KernelLog
{
public:
	KernelLog();
	~KernelLog();
	KernelLog(const KernelLog &) = delete;
	KernelLog &operator=(const KernelLog &) = delete;

	// Forgets what has been logged.
	void skip();
	// What device-mapper has logged since, without the numbers of devices.
	std::string device_mapper_lines();

private:
	std::optional<std::string> next();

	int fd_;
};

} // namespace dmsc

#endif // DMSC_KERNEL_LOG_H
