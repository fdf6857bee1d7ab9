// SPDX-License-Identifier: GPL-2.0-only
// Gives each vCPU its turns, and simulated time its pace.
//
// QEMU executes the vCPUs one after the other in one thread, one of them until it is told to stop.
// The scheduler stops it after a window of, say, 100 instructions. When all that have work have had
// a turn, a round is over, and simulated time goes on by as many cycles as the window has
// instructions:
//
//   round           0        1        2
//   time (cycles)   0        100      200
//   CPU 0           |--------|--------|--------     works
//   CPU 1           |--------|HLT.....|........     works, then is idle
//   CPU 2           |~PAUSE..|~PAUSE..|--------     waits for a lock until CPU 1 has released it
//
// So each CPU executes the same number of instructions per simulated second, whatever the host
// does. Turns vary at random by up to half a window, lest CPUs run in lock step. A CPU that was
// interrupted in its turn makes up for it in the next.
#ifndef PACER_SCHEDULER_H
#define PACER_SCHEDULER_H

#include "clock.h"
#include "qemu.h"
#include "settings.h"
#include "vcpu.h"

#include <atomic>
#include <cstdint>
#include <vector>

#include <poll.h>

namespace pacer
{

// A piece of guest code that is executed from its beginning to its end.
struct Block {
	std::uint64_t pc;
	std::uint32_t instructions;
	std::uint32_t rep_width; // not 0: one iteration of REP MOVS or STOS, of that many bytes
	bool kernel;
};

// All but instructions, of the simulation as a whole.
struct Progress {
	Cycles time = 0;
	std::int64_t host_ns = 0;
	std::uint64_t rounds = 0;
	std::uint64_t timer_runs = 0;
	std::uint64_t jumps = 0; // all CPUs were idle
	Cycles jumped = 0;
	std::uint64_t clock_reads = 0;
	std::uint64_t tick_reads = 0;
};

class Scheduler
{
public:
	Scheduler(const Settings &settings, unsigned cpus, Qemu &qemu);

	// Called by the vCPUs' thread.
	void on_block(unsigned index, const Block &block);
	void on_pause(unsigned index, std::uint64_t pc);
	void on_halt(unsigned index);
	// Throw Error if what QEMU does cannot be paced.
	void start(unsigned index);
	void stop();
	[[nodiscard]] bool is_active() const { return active_; }
	void clear_profile();
	[[nodiscard]] std::vector<Counters> counters() const;
	[[nodiscard]] Progress progress() const;
	[[nodiscard]] const std::vector<Vcpu> &vcpus() const { return vcpus_; }
	[[nodiscard]] const GuestClock &clock() const { return clock_; }

	// In place of QEMU's functions; called by any thread.
	std::int64_t read_ticks();
	std::int64_t read_clock_ns();
	int poll(pollfd *files, unsigned count, std::int64_t timeout_ns);

private:
	static constexpr unsigned kNone = ~0U;
	// Windows by which a CPU may be behind and still catch up.
	static constexpr Cycles kMostBehind = 8;

	// While the guest boots, turns are long, which is faster.
	static constexpr Cycles kBootWindow = 10000;

	[[nodiscard]] Cycles round_start() const { return time_.load(std::memory_order_relaxed); }
	Cycles now();
	void activate(unsigned index);
	void first_block(unsigned index);
	void begin_turn(unsigned index);
	void end_turn(unsigned index);
	void next_round();
	void on_alarm(unsigned index, std::uint64_t pc);
	void take_samples(Vcpu &vcpu, std::uint64_t pc);
	int poll_simulated(pollfd *files, unsigned count, std::int64_t timeout_ns);

	const Settings settings_;
	Qemu &qemu_;
	GuestClock clock_;
	std::vector<Vcpu> vcpus_;
	Cycles window_ = kBootWindow;
	bool active_ = false;
	bool fresh_ = true;        // nothing has been executed yet
	unsigned running_ = kNone; // whose turn it is
	unsigned last_ = kNone;    // who had the last turn of this round
	Cycles latest_ = 0;        // the latest time that a vCPU has seen
	std::uint64_t rounds_ = 0;
	std::uint64_t timer_runs_ = 0;

	// Also changed by the main loop's thread.
	std::atomic<Cycles> time_{0}; // the beginning of the current round
	std::atomic<std::uint64_t> jumps_{0};
	std::atomic<Cycles> jumped_{0};
	std::atomic<std::uint64_t> clock_reads_{0};
	std::atomic<std::uint64_t> tick_reads_{0};
};

// Some ten million times a second.
inline void Scheduler::on_block(unsigned index, const Block &block)
{
	Vcpu &vcpu = vcpus_[index];
	std::uint64_t cost = block.instructions;

	if (block.rep_width != 0) [[unlikely]] {
		vcpu.rep_bytes += block.rep_width;
		cost = vcpu.rep_bytes / settings_.rep;
		vcpu.rep_bytes %= settings_.rep;
	}
	(block.kernel ? vcpu.counters.kernel : vcpu.counters.user) += cost;
	if (!active_) [[unlikely]] {
		if (!fresh_)
			return;
		first_block(index);
	}
	if (index != running_) [[unlikely]]
		begin_turn(index);
	vcpu.position += static_cast<Cycles>(cost);
	if (vcpu.position >= vcpu.alarm) [[unlikely]]
		on_alarm(index, block.pc);
}

} // namespace pacer

#endif // PACER_SCHEDULER_H
