// SPDX-License-Identifier: GPL-2.0-only
#include "markdown.h"

#include "../common/targets.h"
#include "../common/text.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <ostream>

namespace dmsc
{

namespace
{

using Value = std::function<std::string(const Measurement &)>;

std::string cell_of(const Measurement *measurement, const Value &value)
{
	return measurement != nullptr ? value(*measurement) : "";
}

void write_rates(std::ostream &out, const Results &results, const std::string &workload)
{
	const std::array<Value, 3> values = {
		[](const auto &m) { return format_fixed(m.latency.mean_us / kUsPerMs, 2); },
		[](const auto &m) { return format_fixed(m.latency.p99_us / kUsPerMs, 2); },
		[](const auto &m) { return format_fixed(m.instructions, 0); },
	};

	out << "| CPUs | null_blk | dm-linear | stock | ours | ours / stock | mean ms, stock | "
	       "ours | "
	       "p99 ms, stock | ours | instructions, stock | ours |\n"
	    << "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
	for (const unsigned cpus : results.cpu_counts(workload)) {
		const auto find = [&](const char *target) {
			return results.find(workload, target, cpus);
		};
		const Measurement *const stock = find("stock");
		const Measurement *const ours = find("ours");

		out << "| " << cpus;
		for (const char *target : kTargets)
			out << " | " << cell_of(find(target), [](const auto &m) {
				return format_fixed(m.rate, 0);
			});
		out << " | ";
		if (stock != nullptr && ours != nullptr)
			out << format_fixed(ratio_of_rates(*ours, *stock), 2);
		for (const Value &value : values)
			for (const Measurement *const m : {stock, ours})
				out << " | " << cell_of(m, value);
		out << " |\n";
	}
}

void write_profile(std::ostream &out, const Results &results, const std::string &workload,
		   std::size_t functions)
{
	const std::vector<unsigned> counts = results.cpu_counts(workload);
	std::vector<const Measurement *> columns;
	std::map<std::string, std::vector<double>> costs;

	for (const unsigned cpus : {counts.front(), counts.back()})
		for (const char *target : kSnapshots)
			if (const Measurement *const found = results.find(workload, target, cpus))
				columns.push_back(found);
	out << "\n| function |";
	for (const Measurement *const column : columns)
		out << ' ' << column->target << ", " << column->cpus << " |";
	out << "\n| --- |";
	for (std::size_t i = 0; i < columns.size(); i++) {
		out << " --- |";
		for (const FunctionCost &cost : columns[i]->profile) {
			std::vector<double> &row = costs[cost.name];

			row.resize(columns.size());
			row[i] = cost.instructions;
		}
	}

	std::vector<std::pair<double, std::string>> order;

	order.reserve(costs.size());
	for (const auto &[name, row] : costs)
		order.emplace_back(std::ranges::max(row), name);
	std::ranges::sort(order, std::ranges::greater());

	std::vector<double> rest(columns.size());

	out << '\n';
	for (std::size_t i = 0; i < order.size(); i++) {
		const std::vector<double> &row = costs[order[i].second];

		if (i >= functions) {
			std::ranges::transform(rest, row, rest.begin(), std::plus<>());
			continue;
		}
		out << "| " << order[i].second << " |";
		for (const double value : row)
			out << ' ' << format_fixed(value, 0) << " |";
		out << '\n';
	}
	out << "| " << (order.size() > functions ? order.size() - functions : 0) << " others |";
	for (const double value : rest)
		out << ' ' << format_fixed(value, 0) << " |";
	out << "\n| all |";
	for (const Measurement *const column : columns)
		out << ' ' << format_fixed(column->instructions, 0) << " |";
	out << '\n';
}

} // namespace

void write_markdown(std::ostream &out, const Results &results, const std::string &workload,
		    std::size_t functions)
{
	if (results.cpu_counts(workload).empty())
		return;
	write_rates(out, results, workload);
	if (functions > 0)
		write_profile(out, results, workload, functions);
}

} // namespace dmsc
