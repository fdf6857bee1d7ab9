// SPDX-License-Identifier: GPL-2.0-only
// What time it is in the guest.
//
// From the start it is what the scheduler has simulated; while pacing is off,
// it goes as fast as the host's. It never goes back. The guest's TSC counts
// nanoseconds: so what the guest measures of its frequency is right.
#ifndef PACER_CLOCK_H
#define PACER_CLOCK_H

#include <atomic>
#include <cstdint>
#include <list>

namespace pacer
{

// The unit of simulated time: in one cycle, each CPU that has work executes one instruction.
using Cycles = std::int64_t;

std::int64_t host_ns();

class GuestClock
{
public:
	explicit GuestClock(double mips);

	// By the vCPUs' thread, while others read.
	void follow_simulation(Cycles now);
	void follow_host(Cycles now);

	[[nodiscard]] bool is_simulated() const { return current()->simulated; }
	[[nodiscard]] std::int64_t ns(Cycles now) const
	{
		return current()->ns(now, ns_per_cycle_);
	}
	[[nodiscard]] Cycles to_cycles(std::int64_t ns) const;
	[[nodiscard]] double to_us(Cycles cycles) const;

private:
	// From a moment that all clocks know on.
	struct Epoch {
		bool simulated;
		Cycles cycles;
		std::int64_t host_ns;
		std::int64_t guest_ns;

		[[nodiscard]] std::int64_t ns(Cycles now, double ns_per_cycle) const;
	};

	[[nodiscard]] const Epoch *current() const
	{
		return current_.load(std::memory_order_acquire);
	}
	void begin(bool simulated, Cycles now);

	double ns_per_cycle_;
	std::list<Epoch> epochs_; // all are kept: someone may still be reading one that has ended
	std::atomic<const Epoch *> current_;
};

} // namespace pacer

#endif // PACER_CLOCK_H
