// SPDX-License-Identifier: GPL-2.0-only
#include "report.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>

namespace pacer
{

namespace
{

using nlohmann::ordered_json;

// Part of a CPU's time in a phase that may be lost, or not accounted for.
constexpr double kTolerance = 0.01;
constexpr double kNsPerUs = 1000;

std::string hex(std::uint64_t address)
{
	std::ostringstream out;

	out << std::hex << std::setw(16) << std::setfill('0') << address;
	return out.str();
}

std::string percent(double part)
{
	std::ostringstream out;

	out << std::fixed << std::setprecision(1) << part * 100 << " %";
	return out.str();
}

ordered_json describe(const Counters &counters, const Profile &profile, const GuestClock &clock)
{
	ordered_json samples = ordered_json::object();

	for (const auto &[pc, count] : profile)
		samples[hex(pc)] = count;
	return {{"user", counters.user},
		{"kernel", counters.kernel},
		{"idle_us", clock.to_us(counters.idle)},
		{"waiting_us", clock.to_us(counters.waiting)},
		{"lost_us", clock.to_us(counters.lost)},
		{"turns", counters.turns},
		{"halts", counters.halts},
		{"pauses", counters.pauses},
		{"profile", std::move(samples)}};
}

// Each CPU must have had its turns, and each cycle must be found in one counter.
void check_cpu(std::vector<std::string> &problems, unsigned index, const Counters &counters,
	       Cycles duration)
{
	const auto all = static_cast<double>(duration);
	const auto executed = static_cast<double>(counters.user + counters.kernel);
	const auto lost = static_cast<double>(counters.lost);
	const auto rest = static_cast<double>(counters.idle + counters.waiting) + lost;
	const std::string name = "CPU " + std::to_string(index);

	if (lost > kTolerance * all)
		problems.push_back(name + " did not get its turns for " + percent(lost / all) +
				   " of the time");
	if (std::abs(executed + rest - all) > kTolerance * all)
		problems.push_back(name + " ran for " + percent((executed + rest) / all) +
				   " of the time");
}

} // namespace

Report::Report(Settings settings, std::string qemu_version, unsigned cpus)
	: settings_(std::move(settings)), qemu_version_(std::move(qemu_version)), cpus_(cpus)
{
}

void Report::add_problem(std::string problem)
{
	std::cerr << "pacer: " << problem << '\n';
	problems_.push_back(std::move(problem));
}

void Report::begin(unsigned phase, Scheduler &scheduler)
{
	if (open_)
		add_problem("phase " + std::to_string(open_->phase) + " did not end");
	if (!scheduler.is_active())
		add_problem("phase " + std::to_string(phase) + " began while pacing was off");
	scheduler.clear_profile();
	open_ = Begin{phase, scheduler.progress(), scheduler.counters()};
}

void Report::end(unsigned phase, const Scheduler &scheduler)
{
	if (!open_ || open_->phase != phase)
		return add_problem("phase " + std::to_string(phase) + " ended, but did not begin");

	const Progress before = open_->progress;
	const Progress after = scheduler.progress();
	const Cycles duration = after.time - before.time;
	std::vector<Counters> counters = scheduler.counters();
	std::vector<std::string> problems;
	ordered_json cpus = ordered_json::array();

	if (!scheduler.is_active() || duration <= 0)
		problems.emplace_back("pacing was switched off");
	if (after.tick_reads == before.tick_reads || after.clock_reads == before.clock_reads)
		problems.emplace_back("the guest did not take the time from the pacer");
	for (unsigned i = 0; i < counters.size(); i++) {
		counters[i] -= open_->counters[i];
		check_cpu(problems, i, counters[i], duration);
		cpus.push_back(
			describe(counters[i], scheduler.vcpus()[i].profile, scheduler.clock()));
	}
	for (const std::string &problem : problems)
		std::cerr << "pacer: phase " << phase << ": " << problem << '\n';
	phases_.push_back(
		{{"phase", phase},
		 {"valid", problems.empty()},
		 {"problems", problems},
		 {"guest_us", scheduler.clock().to_us(duration)},
		 {"host_us", static_cast<double>(after.host_ns - before.host_ns) / kNsPerUs},
		 {"rounds", after.rounds - before.rounds},
		 {"timer_runs", after.timer_runs - before.timer_runs},
		 {"jumps", after.jumps - before.jumps},
		 {"jumped_us", scheduler.clock().to_us(after.jumped - before.jumped)},
		 {"cpus", std::move(cpus)}});
	open_.reset();
}

void Report::finish()
{
	if (open_)
		add_problem("phase " + std::to_string(open_->phase) + " did not end");
	else if (phases_.empty())
		// Nothing to tell the user about: the guest may not even have booted.
		problems_.emplace_back("no phase was measured");
}

void Report::write() const
{
	bool valid = problems_.empty() && !phases_.empty() && !open_;

	for (const auto &phase : phases_)
		valid = valid && phase.at("valid").get<bool>();

	const ordered_json document = {{"valid", valid},
				       {"problems", problems_},
				       {"qemu", qemu_version_},
				       {"settings",
					{{"cpus", cpus_},
					 {"mips", settings_.mips},
					 {"window", settings_.window},
					 {"rep", settings_.rep},
					 {"sample", settings_.sample}}},
				       {"phases", phases_}};
	const std::string temporary = settings_.out + ".new";

	{
		std::ofstream out(temporary);

		out << document.dump(1, '\t') << '\n';
		if (!out.flush()) {
			std::cerr << "pacer: cannot write " << temporary << '\n';
			return;
		}
	}
	if (std::rename(temporary.c_str(), settings_.out.c_str()) != 0)
		std::cerr << "pacer: cannot write " << settings_.out << '\n';
}

} // namespace pacer
