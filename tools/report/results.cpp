// SPDX-License-Identifier: GPL-2.0-only
#include "results.h"

#include "../common/fio.h"
#include "../common/json_file.h"
#include "../common/median.h"
#include "../common/targets.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <string_view>

#include <nlohmann/json.hpp>

namespace dmsc
{

namespace
{

namespace fs = std::filesystem;
using nlohmann::json;

// Total latency has percentiles only with lat_percentiles=1, else completion latency is as near as
// it gets.
Performance read_fio(const json &document)
{
	const json &busiest = busiest_direction(document);
	const json &total = busiest.at("lat_ns");
	const json &percentiles = total.contains("percentile") ? total : busiest.at("clat_ns");
	Performance performance;

	performance.rate = busiest.at("iops").get<double>();
	performance.mean_us = total.at("mean").get<double>() / kNsPerUs;
	if (percentiles.contains("percentile"))
		performance.p99_us =
			percentiles.at("percentile").at("99.000000").get<double>() / kNsPerUs;
	return performance;
}

// What dm-copy-bench.ko reports.
Round read_copybench(const json &document)
{
	const json &latency = document.at("lat_us");

	return {Performance{document.at("copies_per_s").get<double>(),
			    latency.at("mean").get<double>(), latency.at("p99").get<double>()},
		Submissions{document.at("reads_on").get<ByCpu>(),
			    document.at("writes_on").get<ByCpu>()}};
}

template <typename Reader> auto read_with(const fs::path &path, Reader reader)
{
	const auto document = find_json(path);

	try {
		return document ? std::optional(reader(*document)) : std::nullopt;
	} catch (const std::exception &error) {
		throw std::runtime_error(path.string() + ": " + error.what());
	}
}

std::optional<unsigned> round_number(const fs::path &path)
{
	constexpr std::string_view kPrefix = "round-";
	const std::string name = path.filename().string();
	unsigned number = 0;

	if (!name.starts_with(kPrefix))
		return std::nullopt;

	const auto parsed =
		std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), number);

	return parsed.ec == std::errc() ? std::optional(number) : std::nullopt;
}

Config load_config(const fs::path &directory, const std::string &name)
{
	Config config{name, {}};

	if (!fs::is_directory(directory / name))
		return config;
	for (const auto &entry : fs::directory_iterator(directory / name)) {
		const auto number = round_number(entry.path());

		if (!number)
			continue;

		Round round{read_with(entry.path() / "fio.json", read_fio),
			    read_with(entry.path() / "submissions.json", read_submissions)};

		if (auto copies = read_with(entry.path() / "copybench.json", read_copybench))
			round = *copies;
		if (round.performance || round.submissions)
			config.rounds.emplace(*number, std::move(round));
	}
	return config;
}

std::vector<Config> load_configs(const fs::path &directory,
				 std::initializer_list<const char *> names)
{
	std::vector<Config> configs;

	for (const char *name : names) {
		Config config = load_config(directory, name);

		if (!config.rounds.empty())
			configs.push_back(std::move(config));
	}
	return configs;
}

template <typename Value> std::optional<Summary> summarize_rounds(const Config &config, Value value)
{
	std::vector<double> values;

	for (const auto &[number, round] : config.rounds)
		if (const std::optional<double> found = value(number, round))
			values.push_back(*found);
	return summarize(std::move(values));
}

} // namespace

const Config *ResultSet::find(const std::vector<Config> &from, const std::string &name)
{
	const auto found = std::ranges::find(from, name, &Config::name);

	return found == from.end() ? nullptr : &*found;
}

ResultSet load_results(const fs::path &directory)
{
	if (!fs::is_directory(directory))
		throw std::runtime_error(directory.string() + " is not a directory");

	const fs::path normal = fs::absolute(directory / "").lexically_normal().parent_path();

	return {normal.filename().string(),
		load_configs(directory, {"raw", "linear", "stock", "ours"}),
		load_configs(directory / "engine", {"stock", "mq"})};
}

std::optional<Summary> summarize(std::vector<double> values)
{
	if (values.empty())
		return std::nullopt;

	const auto [least, most] = std::ranges::minmax(values);

	return Summary{median_of(values), least, most, values.size()};
}

std::optional<double> value_of(const Round &round, Metric metric)
{
	switch (metric) {
	case Metric::rate:
		return round.performance ? std::optional(round.performance->rate) : std::nullopt;
	case Metric::mean_us:
		return round.performance ? std::optional(round.performance->mean_us) : std::nullopt;
	case Metric::p99_us:
		return round.performance ? std::optional(round.performance->p99_us) : std::nullopt;
	case Metric::read_share:
		return round.submissions ? max_share(round.submissions->reads) : std::nullopt;
	case Metric::write_share:
		return round.submissions ? max_share(round.submissions->writes) : std::nullopt;
	}
	return std::nullopt;
}

std::optional<Summary> summarize(const Config &config, Metric metric)
{
	return summarize_rounds(config, [&](unsigned /*number*/, const Round &round) {
		return value_of(round, metric);
	});
}

std::optional<Summary> summarize_ratio(const Config &of, const Config &to, Metric metric)
{
	return summarize_rounds(of,
				[&](unsigned number, const Round &round) -> std::optional<double> {
					const auto partner = to.rounds.find(number);

					if (partner == to.rounds.end())
						return std::nullopt;

					const auto above = value_of(round, metric);
					const auto below = value_of(partner->second, metric);

					if (!above || !below || *below == 0)
						return std::nullopt;
					return *above / *below;
				});
}

ByCpu copies_by_cpu(const Config &config)
{
	ByCpu total;

	for (const auto &[number, round] : config.rounds)
		if (round.submissions)
			add(total, all_of(*round.submissions));
	return total;
}

} // namespace dmsc
