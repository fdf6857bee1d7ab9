// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_SEQUENCE_WATCHDOG_H
#define DMSC_SEQUENCE_WATCHDOG_H

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace dmsc
{

// Ends the program, with a list of the tasks that wait in the kernel, if a sequence takes far too
// long: an ioctl that hangs does not return.
class Watchdog
{
public:
	Watchdog();
	void begin(const std::string &name);

private:
	void watch(const std::stop_token &stop);

	std::mutex mutex_;
	std::condition_variable_any changed_;
	std::string name_;
	std::chrono::steady_clock::time_point begun_;
	std::jthread thread_;
};

} // namespace dmsc

#endif // DMSC_SEQUENCE_WATCHDOG_H
