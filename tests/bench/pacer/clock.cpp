// SPDX-License-Identifier: GPL-2.0-only
#include "clock.h"

#include <chrono>

#include <x86intrin.h>

namespace pacer
{

namespace
{

constexpr double kNsPerUs = 1000;

std::int64_t host_ticks()
{
	return static_cast<std::int64_t>(__rdtsc());
}

} // namespace

std::int64_t host_ns()
{
	const auto now = std::chrono::steady_clock::now().time_since_epoch();

	return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

GuestClock::GuestClock(double mips)
	: ns_per_cycle_(kNsPerUs / mips), epochs_{{false, 0, pacer::host_ns(), host_ticks(), 0, 0,
						   1}},
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

std::int64_t GuestClock::Epoch::ticks(Cycles now, double ns_per_cycle) const
{
	if (!simulated)
		return guest_ticks + pacer::host_ticks() - host_ticks;
	return guest_ticks + static_cast<std::int64_t>(static_cast<double>(now - cycles) *
						       ns_per_cycle * ticks_per_ns);
}

std::int64_t GuestClock::ticks(Cycles now) const
{
	return current()->ticks(now, ns_per_cycle_);
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
	const Epoch &before = *current();
	Epoch next{simulated,
		   now,
		   pacer::host_ns(),
		   host_ticks(),
		   before.ns(now, ns_per_cycle_),
		   before.ticks(now, ns_per_cycle_),
		   before.ticks_per_ns};

	// The guest has measured its TSC by the host's clock: keep that speed.
	if (!before.simulated)
		next.ticks_per_ns = static_cast<double>(next.host_ticks - before.host_ticks) /
				    static_cast<double>(next.host_ns - before.host_ns);
	epochs_.push_back(next);
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
