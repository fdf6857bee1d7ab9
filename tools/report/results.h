// SPDX-License-Identifier: GPL-2.0-only
// What the benchmarks leave behind, read from their directory:
//   <dir>/<config>/round-<k>/fio.json, submissions.json     config: raw, linear, stock, ours
//   <dir>/engine/<engine>/round-<k>/copybench.json          engine: stock, mq
#ifndef DMSC_RESULTS_H
#define DMSC_RESULTS_H

#include "../common/submissions.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace dmsc
{

struct Performance {
	double rate = 0; // I/Os or copies per second
	double mean_us = 0;
	double p99_us = 0;
};

struct Round {
	std::optional<Performance> performance;
	std::optional<Submissions> submissions;
};

struct Config {
	std::string name;
	std::map<unsigned, Round> rounds; // by number
};

struct ResultSet {
	std::string label;
	std::vector<Config> configs; // in the order raw, linear, stock, ours
	std::vector<Config> engines; // stock, mq

	[[nodiscard]] static const Config *find(const std::vector<Config> &from,
						const std::string &name);
};

// Throws std::runtime_error, with the file's name, if a file is there but cannot be understood.
ResultSet load_results(const std::filesystem::path &directory);

struct Summary {
	double median = 0;
	double min = 0;
	double max = 0;
	std::size_t rounds = 0;
};

std::optional<Summary> summarize(std::vector<double> values);

enum class Metric : std::uint8_t { rate, mean_us, p99_us, read_share, write_share };

std::optional<double> value_of(const Round &round, Metric metric);
std::optional<Summary> summarize(const Config &config, Metric metric);
// Round by round: rounds of equal number ran next to each other.
std::optional<Summary> summarize_ratio(const Config &of, const Config &to, Metric metric);
ByCpu copies_by_cpu(const Config &config);

} // namespace dmsc

#endif // DMSC_RESULTS_H
