// SPDX-License-Identifier: GPL-2.0-only
#include "scheduler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <sys/prctl.h>

namespace pacer
{

namespace
{

constexpr std::int64_t kNsPerSecond = 1000000000;
// How often the main loop looks after files while CPUs work, in the host's time.
constexpr std::int64_t kPollNs = 100000;
// How far time jumps when all CPUs are idle and no timer is set.
constexpr std::int64_t kIdleStepNs = 1000000;

constexpr Cycles kNever = std::numeric_limits<Cycles>::max();

// Does this thread execute vCPUs? The main loop, for one, does not.
thread_local bool executes_vcpus;

int wait_for_files(pollfd *files, unsigned count, std::int64_t timeout_ns)
{
	const timespec timeout{timeout_ns / kNsPerSecond, timeout_ns % kNsPerSecond};

	return ppoll(files, count, timeout_ns < 0 ? nullptr : &timeout, nullptr);
}

// Time in which it executed nothing does not belong into the profile.
void skip(Vcpu &vcpu, Cycles cycles)
{
	vcpu.position += cycles;
	if (vcpu.sample_at != kNever)
		vcpu.sample_at += cycles;
}

} // namespace

Scheduler::Scheduler(const Settings &settings, unsigned cpus, Qemu &qemu)
	: settings_(settings), qemu_(qemu), clock_(settings.mips)
{
	vcpus_.reserve(cpus);
	for (unsigned i = 0; i < cpus; i++)
		vcpus_.emplace_back(i);
}

void Scheduler::begin_turn(unsigned index)
{
	// An interrupt may have ended the turn before.
	if (running_ != kNone)
		end_turn(running_);
	if (last_ == kNone || index <= last_)
		next_round();
	last_ = index;
	running_ = index;

	Vcpu &vcpu = vcpus_[index];
	const Cycles start = round_start();

	vcpu.counters.turns++;
	if (vcpu.halted) {
		const Cycles idle = std::max<Cycles>(start - vcpu.position, 0);

		vcpu.halted = false;
		vcpu.counters.idle += idle;
		skip(vcpu, idle);
	}

	const Cycles behind = start - kMostBehind * window_ - vcpu.position;

	if (behind > 0) {
		vcpu.counters.lost += behind;
		skip(vcpu, behind);
	}

	const auto window = static_cast<double>(window_);

	vcpu.turn_start = vcpu.position;
	vcpu.turn_end = start + window_ + static_cast<Cycles>(vcpu.random.next() * window / 2);
	vcpu.alarm = std::min(vcpu.turn_end, vcpu.sample_at);
}

void Scheduler::end_turn(unsigned index)
{
	if (running_ != index)
		return;
	last_ = index;
	running_ = kNone;
}

void Scheduler::next_round()
{
	time_.fetch_add(window_, std::memory_order_relaxed);
	rounds_++;
	if (qemu_.timer_is_due()) {
		// Nobody's turn: the time that timers see is this round's beginning.
		running_ = kNone;
		qemu_.run_timers();
		timer_runs_++;
	}
}

void Scheduler::take_samples(Vcpu &vcpu, std::uint64_t pc)
{
	for (; vcpu.position >= vcpu.sample_at;
	     vcpu.sample_at +=
	     1 + static_cast<Cycles>(-std::log(vcpu.random.next()) * settings_.sample))
		vcpu.profile[pc]++;
}

void Scheduler::on_alarm(unsigned index, std::uint64_t pc)
{
	Vcpu &vcpu = vcpus_[index];

	take_samples(vcpu, pc);
	vcpu.alarm = std::min(vcpu.turn_end, vcpu.sample_at);
	if (vcpu.position < vcpu.turn_end)
		return;
	// The block is executed to its end; that is taken into account in the next turn.
	vcpu.alarm = vcpu.sample_at;
	end_turn(index);
	qemu_.end_turn(vcpu.cpu);
}

// QEMU turns to the next vCPU at each PAUSE: until this one's next turn, it waits.
void Scheduler::on_pause(unsigned index, std::uint64_t pc)
{
	Vcpu &vcpu = vcpus_[index];

	vcpu.counters.pauses++;
	if (running_ != index)
		return;

	const Cycles rest = round_start() + window_ - vcpu.position;

	if (rest > 0) {
		vcpu.counters.waiting += rest;
		vcpu.position += rest;
		take_samples(vcpu, pc);
	}
	end_turn(index);
}

void Scheduler::on_halt(unsigned index)
{
	if (!active_)
		return;
	end_turn(index);
	vcpus_[index].halted = true;
	vcpus_[index].counters.halts++;
}

void Scheduler::activate(unsigned index)
{
	executes_vcpus = true;
	for (unsigned i = 0; i < vcpus_.size(); i++) {
		Vcpu &vcpu = vcpus_[i];

		vcpu.cpu = qemu_.cpu(i);
		vcpu.position = round_start();
		vcpu.halted = i != index;
		vcpu.sample_at = settings_.sample > 0 ? vcpu.position : kNever;
	}
	running_ = kNone;
	last_ = kNone;
	latest_ = round_start();
	clock_.follow_simulation(round_start());
	active_ = true;
}

// The guest boots in simulated time. If it cannot, start() will say so.
void Scheduler::first_block(unsigned index)
{
	fresh_ = false;
	if (!qemu_.has_many_threads())
		activate(index);
}

void Scheduler::start(unsigned index)
{
	if (qemu_.has_many_threads())
		throw Error("each vCPU has a thread of its own: run QEMU with -accel "
			    "tcg,thread=single");
	window_ = settings_.window;
	if (!active_)
		activate(index);

	const std::int64_t before = read_clock_ns();

	if (qemu_.clock_ns() != before)
		throw Error("QEMU does not take the time from the pacer");
}

void Scheduler::stop()
{
	active_ = false;
	running_ = kNone;
	// Later than anything that a CPU may have seen in its turn.
	clock_.follow_host(round_start() + 2 * window_);
}

void Scheduler::clear_profile()
{
	for (Vcpu &vcpu : vcpus_)
		vcpu.profile.clear();
}

std::vector<Counters> Scheduler::counters() const
{
	std::vector<Counters> all;

	for (const Vcpu &vcpu : vcpus_) {
		all.push_back(vcpu.counters);
		if (vcpu.halted)
			all.back().idle += std::max<Cycles>(round_start() - vcpu.position, 0);
	}
	return all;
}

Progress Scheduler::progress() const
{
	return {round_start(), host_ns(), rounds_,      timer_runs_,
		jumps_,        jumped_,   clock_reads_, tick_reads_};
}

// A CPU sees time pass during its turn. It does not see it go back at the turn of another.
Cycles Scheduler::now()
{
	Cycles time = round_start();

	if (!executes_vcpus)
		return time;
	if (running_ != kNone) {
		const Vcpu &vcpu = vcpus_[running_];

		time += std::clamp<Cycles>(vcpu.position - vcpu.turn_start, 0, window_);
	}
	latest_ = std::max(latest_, time);
	return latest_;
}

std::int64_t Scheduler::read_ticks()
{
	tick_reads_.fetch_add(1, std::memory_order_relaxed);
	return clock_.ns(now());
}

std::int64_t Scheduler::read_clock_ns()
{
	clock_reads_.fetch_add(1, std::memory_order_relaxed);
	return clock_.ns(now());
}

int Scheduler::poll(pollfd *files, unsigned count, std::int64_t timeout_ns)
{
	// Linux adds 50 us to a timeout unless told otherwise.
	static thread_local const int exact = prctl(PR_SET_TIMERSLACK, 1);

	static_cast<void>(exact);
	return clock_.is_simulated() ? poll_simulated(files, count, timeout_ns)
				     : wait_for_files(files, count, timeout_ns);
}

// While a CPU works, timers are not the main loop's business. When all are
// idle, nothing happens before the next timer, and time may as well jump there.
int Scheduler::poll_simulated(pollfd *files, unsigned count, std::int64_t timeout_ns)
{
	const bool idle = qemu_.all_idle();
	const int ready = wait_for_files(files, count, idle ? 0 : kPollNs);

	if (ready != 0 || !idle)
		return ready;
	// They may have been woken since, if only by another thread.
	if (!qemu_.all_idle()) // cppcheck-suppress knownConditionTrueFalse
		return ready;
	if (timeout_ns < 0 || timeout_ns > kNsPerSecond)
		timeout_ns = kIdleStepNs;

	const Cycles jump = clock_.to_cycles(timeout_ns) + 1;

	time_.fetch_add(jump, std::memory_order_relaxed);
	jumps_.fetch_add(1, std::memory_order_relaxed);
	jumped_.fetch_add(jump, std::memory_order_relaxed);
	return ready;
}

} // namespace pacer
