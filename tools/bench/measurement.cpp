// SPDX-License-Identifier: GPL-2.0-only
#include "measurement.h"

#include "../common/fio.h"
#include "../common/json_file.h"
#include "../common/median.h"
#include "../common/targets.h"
#include "symbols.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <stdexcept>
#include <tuple>

#include <nlohmann/json.hpp>

namespace dmsc
{

namespace
{

namespace fs = std::filesystem;
using nlohmann::json;

Load read_fio(const json &document)
{
	const json &direction = busiest_direction(document);
	const json &latency = direction.at("lat_ns");
	const json &percentile = latency.at("percentile");
	const auto us = [](const json &value) { return value.get<double>() / kNsPerUs; };

	return {direction.at("iops").get<double>(),
		{us(latency.at("mean")), us(percentile.at("50.000000")),
		 us(percentile.at("99.000000")), us(percentile.at("99.900000"))}};
}

Load read_copybench(const json &document)
{
	const json &latency = document.at("lat_us");

	return {document.at("copies_per_s").get<double>(),
		{latency.at("mean").get<double>(), latency.at("p50").get<double>(),
		 latency.at("p99").get<double>(), 0}};
}

struct Window {
	unsigned phase = 0;
	double operations = 0;
	double device_ios = 0;
};

// The first device is the target; those named nullb, or ram, are what everything ends at.
Window read_window(const fs::path &path)
{
	const auto document = read_json<nlohmann::ordered_json>(path); // in the order of the file
	Window window{document.at("phase").get<unsigned>(), 0, 0};
	bool first = true;

	for (const auto &[name, counts] : document.at("devices").items()) {
		const double ios =
			counts.at("reads").get<double>() + counts.at("writes").get<double>();

		if (first)
			window.operations = ios;
		first = false;
		if (name.starts_with("nullb") || name.starts_with("ram"))
			window.device_ios += ios;
	}
	if (window.operations <= 0)
		throw std::runtime_error(path.string() + ": no I/O was done");
	return window;
}

const json &find_phase(const json &pacer, unsigned phase)
{
	for (const json &candidate : pacer.at("phases"))
		if (candidate.at("phase") == phase)
			return candidate;
	throw std::runtime_error("the simulator has not measured phase " + std::to_string(phase));
}

void read_phase(const json &phase, const Symbols &symbols, Measurement &into)
{
	const double guest_us = phase.at("guest_us").get<double>();
	double user = 0;
	double kernel = 0;
	double idle = 0;
	double least_idle = guest_us;
	double samples = 0;
	std::map<std::string, double> by_function;

	for (const json &cpu : phase.at("cpus")) {
		const double cpu_idle = cpu.at("idle_us").get<double>();

		user += cpu.at("user").get<double>();
		kernel += cpu.at("kernel").get<double>();
		idle += cpu_idle;
		least_idle = std::min(least_idle, cpu_idle);
		for (const auto &[address, count] : cpu.at("profile").items()) {
			by_function[symbols.find(std::stoull(address, nullptr, 16))] +=
				count.get<double>();
			samples += count.get<double>();
		}
	}

	const double instructions = user + kernel;
	const auto cpus = static_cast<double>(phase.at("cpus").size());

	into.instructions = instructions / into.operations;
	into.kernel_part = kernel / instructions;
	into.idle_part = idle / (guest_us * cpus);
	into.busiest_part = 1 - least_idle / guest_us;
	for (const auto &[name, count] : by_function)
		into.profile.push_back({name, count / samples * into.instructions});
	std::ranges::sort(into.profile, std::ranges::greater(), &FunctionCost::instructions);
}

// What the name of a run's directory says: WORKLOAD-CPUS, or WORKLOAD-CPUS.ROUND.
struct RunName {
	std::string workload;
	unsigned cpus = 0;
	unsigned round = 1;
};

RunName read_run_name(const std::string &name)
{
	RunName result;
	const std::size_t dash = name.rfind('-');
	const char *const end = name.data() + name.size();

	if (dash != std::string::npos) {
		result.workload = name.substr(0, dash);

		const auto cpus = std::from_chars(name.data() + dash + 1, end, result.cpus);

		if (cpus.ptr != end && *cpus.ptr == '.')
			std::from_chars(cpus.ptr + 1, end, result.round);
	}
	if (result.cpus == 0 || result.round == 0)
		throw std::runtime_error(name + ": not named WORKLOAD-CPUS or WORKLOAD-CPUS.ROUND");
	return result;
}

// One measurement of several rounds.
Measurement middle_of(const std::vector<Measurement> &rounds)
{
	Measurement result = rounds.front();
	const auto middle = [&](auto value) {
		std::vector<double> values;

		values.reserve(rounds.size());
		for (const Measurement &round : rounds)
			values.push_back(std::invoke(value, round));
		return median_of(values);
	};

	result.rates.clear();
	for (const Measurement &round : rounds)
		result.rates.push_back(round.rate);
	result.rate = middle(&Measurement::rate);
	const bool beside =
		std::ranges::all_of(rounds, [](const auto &m) { return m.beside.has_value(); });

	if (beside)
		result.beside->rate = middle([](const auto &m) { return m.beside->rate; });
	else
		result.beside.reset();
	for (double Latency::*const value :
	     {&Latency::mean_us, &Latency::p50_us, &Latency::p99_us, &Latency::p999_us}) {
		result.latency.*value = middle([&](const auto &m) { return m.latency.*value; });
		if (beside)
			result.beside->latency.*value =
				middle([&](const auto &m) { return m.beside->latency.*value; });
	}
	for (double Measurement::*const value :
	     {&Measurement::operations, &Measurement::instructions, &Measurement::kernel_part,
	      &Measurement::device_ios, &Measurement::idle_part, &Measurement::busiest_part})
		result.*value = middle(value);
	return result;
}

std::string problems_of(const json &pacer)
{
	std::string text;
	const auto add = [&](const json &problems, const std::string &prefix) {
		for (const json &problem : problems)
			text += (text.empty() ? "" : "; ") + prefix + problem.get<std::string>();
	};

	add(pacer.at("problems"), "");
	for (const json &phase : pacer.at("phases"))
		add(phase.at("problems"), "phase " + phase.at("phase").dump() + ": ");
	return text.empty() ? "not complete" : text;
}

Measurement load_target(const fs::path &directory, const json &pacer, const Symbols &symbols)
{
	Measurement result;

	const Load load = fs::exists(directory / "copybench.json")
				  ? read_copybench(read_json(directory / "copybench.json"))
				  : read_fio(read_json(directory / "fio.json"));

	result.rate = load.rate;
	result.latency = load.latency;
	if (const auto beside = find_json(directory / "beside.json"))
		result.beside = read_fio(*beside);

	const Window window = read_window(directory / "window.json");

	result.operations = window.operations;
	result.device_ios = window.device_ios / window.operations;
	read_phase(find_phase(pacer, window.phase), symbols, result);
	if (const auto submissions = find_json(directory / "submissions.json"))
		result.submissions = read_submissions(*submissions);
	return result;
}

} // namespace

void load_run(const fs::path &directory, Results &results)
{
	const fs::path normal = fs::absolute(directory / "").lexically_normal().parent_path();
	const std::string name = normal.filename().string();
	const RunName run = read_run_name(name);
	const json pacer = read_json(normal / "pacer.json");

	if (!pacer.at("valid").get<bool>()) {
		results.invalid.push_back(name + ": " + problems_of(pacer));
		return;
	}

	const Symbols symbols(normal / "kallsyms.txt");

	for (const char *target : kTargets) {
		if (!fs::is_directory(normal / target))
			continue;
		try {
			Measurement measurement = load_target(normal / target, pacer, symbols);

			measurement.workload = run.workload;
			measurement.target = target;
			measurement.cpus = run.cpus;
			measurement.rates = {measurement.rate};
			results.measurements.push_back(std::move(measurement));
		} catch (const json::exception &error) {
			throw std::runtime_error((normal / target).string() + ": " + error.what());
		}
	}
}

Results load_all(const fs::path &directory)
{
	Results results;
	std::set<std::pair<unsigned, fs::path>> runs; // by round: the first decides the order

	if (!fs::is_directory(directory / "runs"))
		throw std::runtime_error("no results in " + directory.string());
	for (const auto &entry : fs::directory_iterator(directory / "runs"))
		runs.emplace(read_run_name(entry.path().filename().string()).round, entry.path());
	for (const auto &[round, run] : runs)
		if (fs::exists(run / "pacer.json"))
			load_run(run, results);
		else
			results.invalid.push_back(run.filename().string() + ": not complete");

	// In the order of reports: by workload, CPUs, and as targets are always listed.
	std::map<std::tuple<std::string, unsigned, std::ptrdiff_t>, std::vector<Measurement>>
		rounds;

	for (Measurement &one : results.measurements) {
		const auto place = std::ranges::find(kTargets, one.target) - std::begin(kTargets);

		rounds[{one.workload, one.cpus, place}].push_back(std::move(one));
	}
	results.measurements.clear();
	for (const auto &[key, measurements] : rounds)
		results.measurements.push_back(middle_of(measurements));
	return results;
}

double ratio_of_rates(const Measurement &of, const Measurement &to)
{
	std::vector<double> ratios;

	// Not every round may have both of them.
	if (of.rates.size() != to.rates.size())
		return of.rate / to.rate;
	std::ranges::transform(of.rates, to.rates, std::back_inserter(ratios), std::divides<>());
	return median_of(ratios);
}

const Measurement *Results::find(const std::string &workload, const std::string &target,
				 unsigned cpus) const
{
	const auto found = std::ranges::find_if(measurements, [&](const Measurement &candidate) {
		return candidate.workload == workload && candidate.target == target &&
		       candidate.cpus == cpus;
	});

	return found == measurements.end() ? nullptr : &*found;
}

std::vector<unsigned> Results::cpu_counts(const std::string &workload) const
{
	std::set<unsigned> counts;

	for (const Measurement &measurement : measurements)
		if (measurement.workload == workload)
			counts.insert(measurement.cpus);
	return {counts.begin(), counts.end()};
}

} // namespace dmsc
