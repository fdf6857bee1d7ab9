// SPDX-License-Identifier: GPL-2.0-only
#include "pressure.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <stop_token>

namespace dmsc
{

namespace
{

constexpr const char *kKeptFree = "/proc/sys/vm/min_free_kbytes";
constexpr const char *kDropCaches = "/proc/sys/vm/drop_caches";
// Until then allocations succeed; in KiB.
constexpr std::uint64_t kLeft = 8192;
constexpr auto kTick = std::chrono::milliseconds(10);
// Each so many ticks all that modules keep is taken back, as who reclaims soon gives up where there
// is nothing else.
constexpr unsigned int kShrink = 5;

// In KiB.
std::uint64_t free_memory()
{
	std::ifstream in("/proc/meminfo");
	std::uint64_t value = 0;

	for (std::string name; in >> name;)
		if (name == "MemFree:" && in >> value)
			return value;
	return 0;
}

template <typename Value> void write(const char *file, const Value &value)
{
	std::ofstream(file) << value << std::flush;
}

void follow(const std::stop_token &stop, std::uint64_t least)
{
	for (unsigned int tick = 0; !stop.stop_requested(); tick++) {
		const std::uint64_t free = free_memory();

		write(kKeptFree, std::max(least, free - std::min(free, kLeft)));
		if (tick % kShrink == 0)
			write(kDropCaches, 2);
		std::this_thread::sleep_for(kTick);
	}
}

} // namespace

void Pressure::begin()
{
	if (follower_.joinable())
		return;
	std::ifstream(kKeptFree) >> before_;
	if (!before_.empty())
		follower_ = std::jthread(follow, std::stoull(before_));
}

void Pressure::end()
{
	if (!follower_.joinable())
		return;
	follower_ = {};
	write(kKeptFree, before_);
}

} // namespace dmsc
