// SPDX-License-Identifier: GPL-2.0-only
// QEMU's own functions that are not part of the plugin interface.
//
// The interface can count instructions but neither end a CPU's turn nor set the time. Both are
// possible because QEMU exports its functions. They may differ in another version, so that only the
// one that was tried is accepted.
#ifndef PACER_QEMU_H
#define PACER_QEMU_H

#include <cstdint>
#include <stdexcept>
#include <string>

#include <poll.h>

namespace pacer
{

struct CPUState; // QEMU's, a vCPU

class Error : public std::runtime_error
{
	using std::runtime_error::runtime_error;
};

// What QEMU calls in place of its own functions.
struct Replacements {
	std::int64_t (*ticks)();    // what RDTSC gives
	std::int64_t (*clock_ns)(); // the clock of the guest's timers
	// The main loop waits here for files and timers; timeout in ns, or negative.
	int (*poll)(pollfd *files, unsigned count, std::int64_t timeout_ns);
};

class Qemu
{
public:
	// Throws Error if this is not the QEMU that the pacer was made for.
	Qemu();

	void replace(const Replacements &replacements);

	[[nodiscard]] const std::string &version() const { return version_; }
	// Does each vCPU have a thread of its own?
	[[nodiscard]] bool has_many_threads() const { return *many_threads_; }
	[[nodiscard]] CPUState *cpu(unsigned index) const
	{
		return get_cpu_(static_cast<int>(index));
	}
	// Has the vCPU that is executing return to QEMU's loop after the current block.
	void end_turn(CPUState *cpu) const { cpu_exit_(cpu); }
	[[nodiscard]] bool all_idle() const { return all_idle_(); }
	// What QEMU takes for the time of the guest's timers.
	[[nodiscard]] std::int64_t clock_ns() const { return clock_get_ns_(kVirtual); }
	[[nodiscard]] bool timer_is_due() const { return deadline_(kVirtual, kAllTimers) == 0; }
	// From a vCPU's thread.
	void run_timers() const;

private:
	static constexpr int kVirtual = 1; // QEMU_CLOCK_VIRTUAL
	static constexpr int kAllTimers = -1;

	std::string version_;
	const bool *many_threads_;
	CPUState *(*get_cpu_)(int index);
	void (*cpu_exit_)(CPUState *);
	bool (*all_idle_)();
	std::int64_t (*clock_get_ns_)(int clock);
	std::int64_t (*deadline_)(int clock, int attributes);
	bool (*run_timers_)(int clock);
	void (*lock_)(const char *file, int line);
	void (*unlock_)();
};

} // namespace pacer

#endif // PACER_QEMU_H
