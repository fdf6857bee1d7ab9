// SPDX-License-Identifier: GPL-2.0-only
#include "clock.h"

#include <chrono>

namespace pacer
{

namespace
{

constexpr double kNsPerUs = 1000;

} // namespace

std::int64_t host_ns()
{
	const auto now = std::chrono::steady_clock::now().time_since_epoch();

	return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

GuestClock::GuestClock(double mips)
	: ns_per_cycle_(kNsPerUs / mips), epochs_{{true, 0, pacer::host_ns(), 0}},
	  current_(&epochs_.back())
{
}

std::int64_t GuestClock::Epoch::ns(Cycles now, double ns_per_cycle) const
{
	if (!simulated)
		return guest_ns + pacer::host_ns() - host_ns;
	return guest_ns +
	       static_cast<std::int64_t>(static_cast<double>(now - cycles) * ns_per_cycle);
}

Cycles GuestClock::to_cycles(std::int64_t ns) const
{
	return static_cast<Cycles>(static_cast<double>(ns) / ns_per_cycle_);
}

double GuestClock::to_us(Cycles cycles) const
{
	return static_cast<double>(cycles) * ns_per_cycle_ / kNsPerUs;
}

void GuestClock::begin(bool simulated, Cycles now)
{
	epochs_.push_back({simulated, now, pacer::host_ns(), current()->ns(now, ns_per_cycle_)});
	current_.store(&epochs_.back(), std::memory_order_release);
}

void GuestClock::follow_simulation(Cycles now)
{
	begin(true, now);
}

void GuestClock::follow_host(Cycles now)
{
	begin(false, now);
}

} // namespace pacer
