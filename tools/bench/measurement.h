// SPDX-License-Identifier: GPL-2.0-only
// What tests/bench/paced.sh leaves behind, read from its directory:
//   <results>/runs/<workload>-<cpus>/pacer.json, kallsyms.txt        one simulated machine
//   <results>/runs/<workload>-<cpus>/<target>/fio.json, window.json  or copybench.json
//   <results>/runs/<workload>-<cpus>/<target>/submissions.json       not for all
//   <results>/runs/<workload>-<cpus>/<target>/beside.json            what others did meanwhile
// and the same in <workload>-<cpus>.<round> for rounds from the second on.
#ifndef DMSC_BENCH_MEASUREMENT_H
#define DMSC_BENCH_MEASUREMENT_H

#include "../common/submissions.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace dmsc
{

inline constexpr double kUsPerMs = 1000;

struct Latency {
	double mean_us = 0;
	double p50_us = 0;
	double p99_us = 0;
	double p999_us = 0; // 0 if it was not measured
};

// What fio has measured.
struct Load {
	double rate = 0; // operations per second
	Latency latency;
};

struct FunctionCost {
	std::string name;
	double instructions = 0; // per operation
};

// Of several rounds, each number is the median of them; submissions and profile are of the first.
struct Measurement {
	std::string workload;
	std::string target; // raw, linear, stock, ours
	unsigned cpus = 0;
	double rate = 0;           // operations per second
	std::vector<double> rates; // of each round
	Latency latency;
	std::optional<Load> beside; // of others' operations meanwhile
	// From the window in which the simulator counted; an operation is what was done to the
	// target.
	double operations = 0;
	double instructions = 0; // per operation
	double kernel_part = 0;  // of the instructions
	double device_ios = 0;   // per operation
	double idle_part = 0;    // of all CPUs' time
	double busiest_part = 0; // of the busiest CPU's time, not idle
	std::optional<Submissions> submissions;
	std::vector<FunctionCost> profile; // most costly first
};

struct Results {
	std::vector<Measurement> measurements;
	std::vector<std::string> invalid; // runs that must not be quoted, and why

	[[nodiscard]] const Measurement *find(const std::string &workload,
					      const std::string &target, unsigned cpus) const;
	[[nodiscard]] std::vector<unsigned> cpu_counts(const std::string &workload) const;
};

// The median of the ratios of the two's rates, each within one round.
[[nodiscard]] double ratio_of_rates(const Measurement &of, const Measurement &to);

// Adds a run to the results, as it is. Throws std::runtime_error, with the file's name, if a file
// is missing or cannot be understood.
void load_run(const std::filesystem::path &directory, Results &results);
// Loads all runs, and makes one measurement of the rounds of each.
Results load_all(const std::filesystem::path &directory);

} // namespace dmsc

#endif // DMSC_BENCH_MEASUREMENT_H
