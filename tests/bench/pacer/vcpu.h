// SPDX-License-Identifier: GPL-2.0-only
// What the pacer knows of a virtual CPU. Only the thread that executes the vCPUs touches it.
#ifndef PACER_VCPU_H
#define PACER_VCPU_H

#include "clock.h"
#include "qemu.h"

#include <cstdint>
#include <unordered_map>

namespace pacer
{

struct Counters {
	std::uint64_t user = 0;   // instructions
	std::uint64_t kernel = 0; // instructions
	Cycles idle = 0;          // halted
	Cycles waiting = 0;       // in PAUSE
	Cycles lost = 0;          // had work, but was not given its turns
	std::uint64_t turns = 0;
	std::uint64_t halts = 0;
	std::uint64_t pauses = 0;

	Counters &operator-=(const Counters &other)
	{
		user -= other.user;
		kernel -= other.kernel;
		idle -= other.idle;
		waiting -= other.waiting;
		lost -= other.lost;
		turns -= other.turns;
		halts -= other.halts;
		pauses -= other.pauses;
		return *this;
	}
};

// xorshift64: fast, and the same numbers in each run.
class Random
{
public:
	explicit Random(std::uint64_t seed) : state_(seed) {}

	// In (0, 1].
	double next()
	{
		state_ ^= state_ << 13;
		state_ ^= state_ >> 7;
		state_ ^= state_ << 17;
		return static_cast<double>((state_ >> 11) + 1) * 0x1p-53;
	}

private:
	std::uint64_t state_;
};

// How often each address was found executing; samples are exponentially distributed in time.
using Profile = std::unordered_map<std::uint64_t, std::uint32_t>;

struct Vcpu {
	explicit Vcpu(unsigned index) : random(0x9e3779b97f4a7c15 + index * 0x100000001b3) {}

	Counters counters;
	CPUState *cpu = nullptr; // QEMU's
	Random random;
	Profile profile;
	Cycles position = 0; // how far it has come in simulated time
	Cycles alarm = 0;    // position at which there is something to do
	Cycles turn_start = 0;
	Cycles turn_end = 0;
	Cycles sample_at = 0;
	std::uint64_t rep_bytes = 0; // moved by REP MOVS and not charged yet
	bool halted = false;
};

} // namespace pacer

#endif // PACER_VCPU_H
