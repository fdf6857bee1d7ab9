// SPDX-License-Identifier: GPL-2.0-only
// dmsc-report: tables of what the benchmarks measured.
#include "../common/output.h"
#include "../common/targets.h"
#include "../common/text.h"
#include "../common/version.h"
#include "results.h"
#include "text.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <numeric>

namespace
{

using dmsc::Config;
using dmsc::Metric;
using dmsc::ResultSet;
using dmsc::Summary;

constexpr unsigned kBarWidth = 24;

struct MetricName {
	Metric metric;
	const char *name;
	int digits;
};

constexpr std::array kMetrics{
	MetricName{Metric::rate, "rate", 0},
	MetricName{Metric::mean_us, "mean_us", 1},
	MetricName{Metric::p99_us, "p99_us", 1},
	MetricName{Metric::read_share, "max_read_share", 2},
	MetricName{Metric::write_share, "max_write_share", 2},
};

std::string format(const std::optional<Summary> &summary, int digits)
{
	return summary ? dmsc::format_number(summary->median, digits) : "-";
}

std::string format_spread(const std::optional<Summary> &summary, int digits)
{
	if (!summary)
		return "-";
	return dmsc::format_number(summary->median, digits) + " (" +
	       dmsc::format_number(summary->min, digits) + " - " +
	       dmsc::format_number(summary->max, digits) + ")";
}

std::optional<Summary> ratio(const std::vector<Config> &configs, const Config &config,
			     Metric metric)
{
	const Config *const stock = ResultSet::find(configs, "stock");

	return stock != nullptr ? dmsc::summarize_ratio(config, *stock, metric) : std::nullopt;
}

std::size_t rounds_of(const std::vector<Config> &configs)
{
	std::size_t rounds = 0;

	for (const Config &config : configs)
		rounds = std::max(rounds, config.rounds.size());
	return rounds;
}

void print_overview(std::ostream &out, const std::vector<Config> &configs, const char *rate)
{
	dmsc::Table table({"", rate, "to stock", "mean us", "p99 us"});

	for (const Config &config : configs)
		table.add({dmsc::title_of_target(config.name),
			   format(summarize(config, Metric::rate), 0),
			   format(ratio(configs, config, Metric::rate), 2),
			   format(summarize(config, Metric::mean_us), 1),
			   format(summarize(config, Metric::p99_us), 1)});
	table.print(out);
	out << "  medians of " << rounds_of(configs) << " rounds\n";
}

void print_ratios(std::ostream &out, const std::vector<Config> &configs, const char *rate)
{
	dmsc::Table table({"", rate, "to stock", "mean us", "to stock", "p99 us", "to stock"});

	for (const Config &config : configs)
		table.add({dmsc::title_of_target(config.name),
			   format_spread(summarize(config, Metric::rate), 0),
			   format_spread(ratio(configs, config, Metric::rate), 2),
			   format_spread(summarize(config, Metric::mean_us), 1),
			   format_spread(ratio(configs, config, Metric::mean_us), 2),
			   format_spread(summarize(config, Metric::p99_us), 1),
			   format_spread(ratio(configs, config, Metric::p99_us), 2)});
	table.print(out);
	out << "  median (least - most) of " << rounds_of(configs)
	    << " rounds; ratios of rounds that ran next to each other\n";
}

void print_bars(std::ostream &out, const std::vector<Config> &configs, bool ascii)
{
	std::vector<std::pair<std::string, dmsc::ByCpu>> columns;
	double largest = 0;
	std::size_t cpus = 0;

	for (const Config &config : configs) {
		dmsc::ByCpu counts = dmsc::copies_by_cpu(config);
		const auto share = dmsc::max_share(counts);

		if (!share || config.name == "raw" || config.name == "linear")
			continue;
		largest = std::max(largest, *share / static_cast<double>(counts.size()));
		cpus = std::max(cpus, counts.size());
		columns.emplace_back(dmsc::title_of_target(config.name), std::move(counts));
	}
	if (columns.empty())
		return;

	out << "\n  reads and writes of the copies, by the CPU that submitted them\n  CPU";
	for (std::size_t i = 0; i < columns.size(); i++) {
		const std::string &title = columns[i].first;

		out << "  " << title;
		if (i + 1 < columns.size())
			out << std::string(kBarWidth + 8 - title.size(), ' ');
	}
	out << '\n';
	for (std::size_t cpu = 0; cpu < cpus; cpu++) {
		const std::string number = std::to_string(cpu);

		out << "  " << std::string(3 - std::min<std::size_t>(number.size(), 3), ' ')
		    << number;
		for (const auto &[title, counts] : columns) {
			const auto total = static_cast<double>(
				std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}));
			const double part =
				cpu < counts.size() ? static_cast<double>(counts[cpu]) / total : 0;
			const std::string percent = dmsc::format_number(part * 100, 1) + " %";

			out << "  " << dmsc::format_bar(part / largest, kBarWidth, ascii)
			    << std::string(8 - std::min<std::size_t>(percent.size(), 8), ' ')
			    << percent;
		}
		out << '\n';
	}
	for (const Config &config : configs) {
		const auto reads = summarize(config, Metric::read_share);
		const auto writes = summarize(config, Metric::write_share);

		if (config.name != "raw" && config.name != "linear" && (reads || writes))
			out << "  " << dmsc::title_of_target(config.name)
			    << ": the busiest CPU submits " << format(reads, 2)
			    << " x its fair share of the reads, " << format(writes, 2)
			    << " x of the writes\n";
	}
}

void print_set(std::ostream &out, const ResultSet &results, bool bench, bool ascii)
{
	const auto print_table = bench ? print_ratios : print_overview;

	if (!results.configs.empty()) {
		print_table(out, results.configs, "IOPS");
		print_bars(out, results.configs, ascii);
	}
	if (!results.engines.empty()) {
		out << "\n  the copy engines alone\n";
		print_table(out, results.engines, "copies/s");
		print_bars(out, results.engines, ascii);
	}
}

template <typename Row> void for_each_row(const std::vector<ResultSet> &sets, Row row)
{
	for (const ResultSet &results : sets)
		for (const auto *const group : {&results.configs, &results.engines}) {
			const char *const name = group == &results.configs ? "dm" : "engine";

			for (const Config &config : *group)
				for (const MetricName &metric : kMetrics) {
					row(results.label, name, config.name, metric.name,
					    summarize(config, metric.metric));
					row(results.label, name, config.name,
					    std::string(metric.name) + "_to_stock",
					    ratio(*group, config, metric.metric));
				}
		}
}

void write_csv(std::ostream &out, const std::vector<ResultSet> &sets)
{
	out << "set,group,config,metric,median,min,max,rounds\n";
	for_each_row(sets, [&](const std::string &set, const std::string &group,
			       const std::string &config, const std::string &metric,
			       const std::optional<Summary> &summary) {
		if (summary)
			out << set << ',' << group << ',' << config << ',' << metric << ','
			    << summary->median << ',' << summary->min << ',' << summary->max << ','
			    << summary->rounds << '\n';
	});
}

void write_json(std::ostream &out, const std::vector<ResultSet> &sets)
{
	nlohmann::ordered_json document = nlohmann::ordered_json::object();

	for_each_row(sets, [&](const std::string &set, const std::string &group,
			       const std::string &config, const std::string &metric,
			       const std::optional<Summary> &summary) {
		if (summary)
			document[set][group][config][metric] = {{"median", summary->median},
								{"min", summary->min},
								{"max", summary->max},
								{"rounds", summary->rounds}};
	});
	out << document.dump(1, '\t') << '\n';
}

struct Bound {
	std::string name;
	double limit = 0;
};

Bound parse_bound(const std::string &text)
{
	const std::size_t equals = text.find('=');
	std::size_t used = 0;

	if (equals != std::string::npos) {
		const std::string number = text.substr(equals + 1);
		const double limit = std::stod(number, &used);

		if (used == number.size())
			return {text.substr(0, equals), limit};
	}
	throw std::runtime_error("--check: not NAME=NUMBER: " + text);
}

// A value that is missing fails its check.
bool check_value(std::ostream &out, const ResultSet &results, const Bound &bound,
		 const std::string &what, const std::optional<Summary> &summary, bool at_least)
{
	const bool passed = summary && (at_least ? summary->median >= bound.limit
						 : summary->median <= bound.limit);

	out << (passed ? "ok: " : "FAILED: ") << results.label << ": " << what << " is "
	    << format(summary, 3) << ", must be " << (at_least ? "at least " : "at most ")
	    << bound.limit << '\n';
	return passed;
}

bool check_bound(std::ostream &out, const ResultSet &results, const Bound &bound)
{
	static const Config kMissing{"ours", {}};
	const Config *const found = ResultSet::find(results.configs, "ours");
	const Config &ours = found != nullptr ? *found : kMissing;

	if (bound.name == "max-share") {
		const bool reads =
			check_value(out, results, bound, "the busiest CPU's share of reads",
				    summarize(ours, Metric::read_share), false);
		const bool writes =
			check_value(out, results, bound, "the busiest CPU's share of writes",
				    summarize(ours, Metric::write_share), false);

		return reads && writes;
	}
	if (bound.name == "min-iops-ratio")
		return check_value(out, results, bound, "IOPS to stock",
				   ratio(results.configs, ours, Metric::rate), true);
	if (bound.name == "max-latency-ratio")
		return check_value(out, results, bound, "mean latency to stock",
				   ratio(results.configs, ours, Metric::mean_us), false);
	throw std::runtime_error("--check: no such check: " + bound.name);
}

bool terminal_is_ascii()
{
	for (const char *variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
		// No other thread changes the environment.
		const char *const value = std::getenv(variable); // NOLINT(concurrency-mt-unsafe)

		if (value == nullptr || *value == '\0')
			continue;

		std::string name(value);

		std::ranges::transform(name, name.begin(), [](unsigned char c) {
			return static_cast<char>(std::tolower(c));
		});
		return name.find("utf-8") == std::string::npos &&
		       name.find("utf8") == std::string::npos;
	}
	return true;
}

} // namespace

int main(int argc, char **argv)
{
	constexpr int kUsage = 2;

	try {
		CLI::App app("Prints what the benchmarks measured");
		app.set_version_flag("--version", dmsc::version("dmsc-report"));
		std::vector<std::string> directories;
		std::vector<std::string> checks;
		std::string csv;
		std::string json;
		bool bench = false;
		bool ascii = false;
		bool unicode = false;

		app.add_option("directory", directories,
			       "results, e.g. one directory per CPU count")
			->required();
		app.add_flag("--bench", bench,
			     "least and most besides medians, ratios of each value");
		app.add_flag("--ascii", ascii, "no Unicode; default: by LC_ALL, LC_CTYPE, LANG");
		app.add_flag("--unicode", unicode, "Unicode bars whatever the locale says")
			->excludes("--ascii");
		app.add_option("--csv", csv, "file for all values; - for standard output");
		app.add_option("--json", json, "file for all values; - for standard output");
		app.add_option("--check", checks,
			       "fail unless the medians keep to max-share=X, min-iops-ratio=X, "
			       "max-latency-ratio=X; repeatable");
		try {
			app.parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			return app.exit(error) == 0 ? 0 : kUsage;
		}

		std::vector<ResultSet> sets;
		bool passed = true;

		for (const std::string &directory : directories) {
			sets.push_back(dmsc::load_results(directory));
			if (sets.back().configs.empty() && sets.back().engines.empty())
				throw std::runtime_error("no results in " + directory);
		}
		if (csv != "-" && json != "-")
			for (const ResultSet &results : sets) {
				if (sets.size() > 1)
					std::cout << results.label << ":\n";
				print_set(std::cout, results, bench,
					  !unicode && (ascii || terminal_is_ascii()));
			}
		dmsc::write_file(csv, [&](std::ostream &out) { write_csv(out, sets); });
		dmsc::write_file(json, [&](std::ostream &out) { write_json(out, sets); });
		for (const std::string &check : checks)
			for (const ResultSet &results : sets)
				passed &= check_bound(std::cerr, results, parse_bound(check));
		return passed ? 0 : 1;
	} catch (const std::exception &error) {
		std::cerr << "dmsc-report: " << error.what() << '\n';
		return kUsage;
	}
}
