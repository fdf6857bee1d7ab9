// SPDX-License-Identifier: GPL-2.0-only
#include "watchdog.h"

#include <cstdlib>
#include <fstream>
#include <iostream>

namespace dmsc
{

namespace
{

constexpr auto kPatience = std::chrono::seconds(180);
constexpr auto kTick = std::chrono::seconds(1);
constexpr int kHangs = 3;

} // namespace

Watchdog::Watchdog()
	: begun_(std::chrono::steady_clock::now()),
	  thread_([this](const std::stop_token &stop) { watch(stop); })
{
}

void Watchdog::begin(const std::string &name)
{
	const std::lock_guard lock(mutex_);

	name_ = name;
	begun_ = std::chrono::steady_clock::now();
}

void Watchdog::watch(const std::stop_token &stop)
{
	std::unique_lock lock(mutex_);

	while (!stop.stop_requested()) {
		changed_.wait_for(lock, stop, kTick, [] { return false; });
		if (stop.stop_requested() || std::chrono::steady_clock::now() - begun_ < kPatience)
			continue;
		std::cout << "FAILED: " << name_ << ": hangs" << std::endl;
		std::ofstream("/proc/sysrq-trigger") << "w";
		std::_Exit(kHangs);
	}
}

} // namespace dmsc
