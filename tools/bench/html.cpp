// SPDX-License-Identifier: GPL-2.0-only
#include "html.h"

#include "../common/targets.h"
#include "../common/text.h"
#include "chart.h"
#include "names.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <ostream>

namespace dmsc
{

namespace
{

constexpr const char *kMain = "cow";
// Device I/Os of a first write: read, write of the copy, write.
constexpr double kIosPerCow = 3;

constexpr const char *kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>
:root { --raw: #9a9a94; --limit: #9a9a94; --linear: #6c86a3; --stock: #d9822b; --ours: #1a7f5a; }
body { font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #222; background: #fff;
       max-width: 1360px; margin: 24px auto; padding: 0 20px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 0 0 2px; }
p { margin: 0 0 10px; color: #555; }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; margin: 18px 0; }
.tile { flex: 1 1 220px; background: #f3f6f4; border-left: 5px solid var(--ours); padding: 10px 16px; }
.tile b { display: block; font-size: 32px; color: var(--ours); line-height: 1.2; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(560px, 1fr)); gap: 28px; margin: 24px 0; }
.wide { grid-column: 1 / -1; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #444; }
svg .unit { fill: #777; } svg .value { font-size: 11px; } svg .name { font-weight: 600; font-size: 13px; }
.grid { stroke: #e4e4e0; } .axis { stroke: #888; }
.stroke { fill: none; stroke-width: 2.5; } .stroke.ours { stroke-width: 4; }
.raw { --c: var(--raw); } .linear { --c: var(--linear); } .stock { --c: var(--stock); } .ours { --c: var(--ours); }
.limit { --c: var(--limit); } .stroke.limit { stroke-dasharray: 5 5; }
.light { opacity: .45; }
.fill { fill: var(--c); } .stroke { stroke: var(--c); } svg text.name { fill: var(--c); }
.legend span { display: inline-block; margin-right: 18px; }
.legend i { display: inline-block; width: 12px; height: 12px; margin-right: 6px; background: var(--c); }
table { border-collapse: collapse; margin: 6px 0 18px; width: 100%; }
td, th { padding: 3px 10px; text-align: right; border-bottom: 1px solid #e8e8e4; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; } th { color: #666; font-weight: 600; white-space: normal; vertical-align: bottom; }
tr.ours td { background: #f3f6f4; font-weight: 600; } .good { color: var(--ours); font-weight: 700; }
.bad { color: #b3261e; font-weight: 700; } .two { display: grid; grid-template-columns: 1fr 1fr; gap: 28px; }
.invalid { border-left: 5px solid #b3261e; background: #fdf1f0; padding: 8px 14px; }
</style>
)";

void begin_figure(std::ostream &out, const std::string &title, const std::string &text,
		  bool wide = false)
{
	out << "<section" << (wide ? " class='wide'" : "") << "><h2>" << title << "</h2><p>" << text
	    << "</p>\n";
}

template <typename Kinds> void write_legend(std::ostream &out, const Kinds &kinds)
{
	out << "<div class='legend'>";
	for (const Bars &kind : kinds)
		out << "<span><i class='" << kind.style << "'></i>" << escape(kind.name)
		    << "</span>";
	out << "</div>\n";
}

void write_tiles(std::ostream &out, const Results &results)
{
	const auto counts = results.cpu_counts(kMain);

	if (counts.empty())
		return;

	const unsigned most = counts.back();
	const Measurement *const stock = results.find(kMain, "stock", most);
	const Measurement *const ours = results.find(kMain, "ours", most);
	const Measurement *const one = results.find(kMain, "ours", counts.front());

	if (stock == nullptr || ours == nullptr)
		return;

	const auto tile = [&](const std::string &value, const std::string &text) {
		out << "<div class='tile'><b>" << value << "</b>" << text << "</div>\n";
	};

	out << "<div class='tiles'>\n";
	tile(format_fixed(ratio_of_rates(*ours, *stock), 1) + " ×",
	     "stock's first writes per second at " + std::to_string(most) + " CPUs: " +
		     format_number(ours->rate, 0) + " against " + format_number(stock->rate, 0));
	tile("1 / " + format_fixed(stock->latency.mean_us / ours->latency.mean_us, 1),
	     "of stock's mean latency: " + format_fixed(ours->latency.mean_us / kUsPerMs, 1) +
		     " ms against " + format_fixed(stock->latency.mean_us / kUsPerMs, 1) + " ms");
	if (one != nullptr && one->cpus < most)
		tile(format_fixed(ours->rate / one->rate / most * one->cpus * 100, 0) + " %",
		     "of linear scaling from " + std::to_string(one->cpus) + " to " +
			     std::to_string(most) + " CPUs");
	tile(short_number(ours->instructions),
	     "instructions per first write; stock needs " + short_number(stock->instructions));
	out << "</div>\n";
}

void write_rates(std::ostream &out, const Results &results)
{
	std::vector<Series> series;
	Series limit{"null_blk / 3", "limit", {}};

	for (const char *target : kTargets) {
		Series one{title_of_target(target), target, {}};

		for (const unsigned cpus : results.cpu_counts(kMain))
			if (const Measurement *const found = results.find(kMain, target, cpus)) {
				one.points.emplace_back(cpus, found->rate);
				if (one.style == "raw")
					limit.points.emplace_back(cpus, found->rate / kIosPerCow);
			}
		series.push_back(std::move(one));
	}
	series.push_back(std::move(limit));
	begin_figure(
		out, "First writes per second, against CPUs",
		"More is better. A first write is three I/Os: read, write of the copy, write. "
		"The dashed line is a third of the bare device: less is lost where copies share "
		"requests.");
	out << line_chart("IOPS", series) << "</section>\n";
}

using Value = std::function<double(const Measurement &)>;

// For each number of CPUs, a bar for each target that has been measured.
std::vector<Bars> bars_by_cpus(const Results &results, const std::vector<unsigned> &counts,
			       const std::vector<const char *> &targets, const Value &value,
			       const std::string &suffix, const std::string &style)
{
	std::vector<Bars> bars;

	for (const char *target : targets) {
		Bars kind{title_of_target(target) + suffix, target + style, {}};
		bool any = false;

		for (const unsigned cpus : counts) {
			const Measurement *const found = results.find(kMain, target, cpus);

			any = any || found != nullptr;
			kind.values.push_back(found != nullptr ? value(*found) : 0);
		}
		if (any)
			bars.push_back(std::move(kind));
	}
	return bars;
}

std::string label_of(unsigned cpus)
{
	return std::to_string(cpus) + (cpus == 1 ? " CPU" : " CPUs");
}

std::vector<std::string> labels_of(const std::vector<unsigned> &counts)
{
	std::vector<std::string> labels;

	labels.reserve(counts.size());
	for (const unsigned cpus : counts)
		labels.push_back(label_of(cpus));
	return labels;
}

void write_latencies(std::ostream &out, const Results &results)
{
	const auto counts = results.cpu_counts(kMain);
	std::vector<Bars> bars;

	for (const char *target : kSnapshots) {
		const auto add = [&](const Value &value, const std::string &name,
				     const std::string &style) {
			for (Bars &kind :
			     bars_by_cpus(results, counts, {target}, value, name, style))
				bars.push_back(std::move(kind));
		};

		add([](const auto &m) { return m.latency.p50_us / kUsPerMs; }, ", median", "");
		add([](const auto &m) { return m.latency.p99_us / kUsPerMs; }, ", 99 %", " light");
	}
	if (bars.empty())
		return;
	begin_figure(out, "Latency of a first write",
		     "Less is better. Equal queue depth for each CPU.");
	write_legend(out, bars);
	out << bar_chart("ms", labels_of(counts), bars, "", 0, true) << "</section>\n";
}

void write_instructions(std::ostream &out, const Results &results)
{
	const auto counts = results.cpu_counts(kMain);
	const auto bars = bars_by_cpus(
		results, counts, {kTargets.begin(), kTargets.end()},
		[](const Measurement &m) { return m.instructions; }, "", "");

	if (bars.empty())
		return;
	begin_figure(out, "Instructions per write",
		     "Less is better. All CPUs, kernel and user space, counted by the simulator.");
	write_legend(out, bars);
	out << bar_chart("instructions", labels_of(counts), bars, "", 0, counts.size() < 4)
	    << "</section>\n";
}

void write_speedups(std::ostream &out, const Results &results)
{
	Bars kind{title_of_target("ours"), "ours", {}};
	std::vector<unsigned> counts;

	for (const unsigned cpus : results.cpu_counts(kMain)) {
		const Measurement *const stock = results.find(kMain, "stock", cpus);
		const Measurement *const ours = results.find(kMain, "ours", cpus);

		if (stock == nullptr || ours == nullptr)
			continue;
		counts.push_back(cpus);
		kind.values.push_back(ratio_of_rates(*ours, *stock));
	}
	if (counts.empty())
		return;
	begin_figure(out, "First writes per second: how many times stock's",
		     "More is better; 1 is stock.");
	write_legend(out, std::array{kind});
	out << bar_chart("times", labels_of(counts), {kind}, "", 0, true) << "</section>\n";
}

void write_submissions(std::ostream &out, const Results &results)
{
	const auto counts = results.cpu_counts(kMain);
	std::array<const Measurement *, 2> found{};
	unsigned most = 0;

	for (const unsigned cpus : counts)
		if (const auto *const ours = results.find(kMain, "ours", cpus))
			if (ours->submissions)
				most = cpus;
	for (std::size_t i = 0; i < kSnapshots.size(); i++)
		found.at(i) = results.find(kMain, kSnapshots.at(i), most);
	if (most == 0 || found[0] == nullptr || !found[0]->submissions)
		return;
	begin_figure(out, "Who does the work: I/Os of the copies, by the CPU that submitted them",
		     "Percent of all, at " + std::to_string(most) +
			     " CPUs, counted by blktrace. Fair is the same for each.",
		     true);
	out << "<div class='two'>";

	std::vector<std::string> labels;

	for (unsigned cpu = 0; cpu < most; cpu++)
		labels.push_back(std::to_string(cpu));
	for (const Measurement *const one : found) {
		Bars kind{title_of_target(one->target), one->target, std::vector<double>(most)};
		const ByCpu by_cpu = all_of(*one->submissions);
		const auto total = static_cast<double>(
			std::accumulate(by_cpu.begin(), by_cpu.end(), std::uint64_t{0}));

		for (std::size_t cpu = 0; cpu < by_cpu.size() && cpu < most; cpu++)
			if (total > 0)
				kind.values[cpu] = static_cast<double>(by_cpu[cpu]) / total * 100;
		out << "<div><b>" << kind.name << "</b>: the busiest CPU does "
		    << format_fixed(max_share(by_cpu).value_or(0), 2) << " × its fair share"
		    << bar_chart("%", labels, {kind}, "CPU", 100, false) << "</div>";
	}
	out << "</div></section>\n";
}

// At one number of CPUs, the least with which any was measured.
void write_large(std::ostream &out, const Results &results)
{
	constexpr const char *kPrefix = "large-";
	std::vector<Bars> bars;
	std::vector<std::string> labels;
	unsigned cpus = 0;

	bars.reserve(kSnapshots.size());
	for (const char *target : kSnapshots)
		bars.push_back({title_of_target(target), target, {}});
	for (const Measurement &linear : results.measurements) {
		if (linear.target != "linear" || !linear.workload.starts_with(kPrefix))
			continue;
		if (cpus == 0 || linear.cpus < cpus) {
			cpus = linear.cpus;
			labels.clear();
			for (Bars &kind : bars)
				kind.values.clear();
		}
		if (linear.cpus != cpus)
			continue;
		labels.push_back(linear.workload.substr(std::string_view(kPrefix).size()));
		for (Bars &kind : bars) {
			const Measurement *const found =
				results.find(linear.workload, kind.style, cpus);

			kind.values.push_back(
				found != nullptr ? ratio_of_rates(*found, linear) * 100 : 0);
		}
	}
	if (labels.empty())
		return;
	begin_figure(out, "Large I/O, in percent of what dm-linear does",
		     "More is better. " + label_of(cpus) +
			     ". A first write also reads and writes what it overwrites: a third "
			     "is what the device allows.",
		     true);
	write_legend(out, bars);
	out << bar_chart("%", labels, bars, "", 100, false) << "</section>\n";
}

void write_ratios(std::ostream &out, const Results &results)
{
	out << "<h2>All workloads: dm-scaled to stock</h2><p>Both in the same simulated boot. "
	       "Rate: more is better; all others: less is better.</p>\n<table><tr><th>workload</th>"
	       "<th>CPUs</th><th>rate</th><th>mean latency</th><th>99 % latency</th>"
	       "<th>instructions per operation</th><th>rate, of dm-linear's</th></tr>\n";
	for (const Measurement &ours : results.measurements) {
		if (ours.target != "ours")
			continue;

		const Measurement *const stock = results.find(ours.workload, "stock", ours.cpus);
		const Measurement *const linear = results.find(ours.workload, "linear", ours.cpus);

		if (stock == nullptr)
			continue;

		const auto cell = [&](double ratio, bool more_is_better) {
			const bool good = more_is_better ? ratio >= 1 : ratio <= 1;

			out << "<td class='" << (good ? "good" : "bad") << "'>"
			    << format_fixed(ratio, 2) << " ×</td>";
		};

		out << "<tr><td>" << escape(title_of_workload(ours.workload)) << "</td><td>"
		    << ours.cpus << "</td>";
		cell(ratio_of_rates(ours, *stock), true);
		cell(ours.latency.mean_us / stock->latency.mean_us, false);
		cell(ours.latency.p99_us / stock->latency.p99_us, false);
		cell(ours.instructions / stock->instructions, false);
		out << "<td>"
		    << (linear != nullptr ? format_fixed(ratio_of_rates(ours, *linear), 2) : "")
		    << "</td></tr>\n";
	}
	out << "</table>\n";
}

void write_numbers(std::ostream &out, const Results &results)
{
	out << "<h2>All numbers</h2><table><tr><th>workload</th><th>CPUs</th><th>target</th>"
	       "<th>per second</th><th>mean ms</th><th>50 % ms</th><th>99 % ms</th>"
	       "<th>99.9 % ms</th><th>instructions each</th><th>in the kernel</th>"
	       "<th>device I/Os each</th><th>idle</th><th>busiest CPU</th>"
	       "<th>others meanwhile, per second</th><th>their 99 % ms</th></tr>\n";
	for (const Measurement &m : results.measurements) {
		const auto ms = [](double us) {
			return us > 0 ? format_fixed(us / kUsPerMs, 2) : std::string();
		};
		const auto percent = [](double part) { return format_fixed(part * 100, 0) + " %"; };

		out << "<tr class='" << (m.target == "ours" ? "ours" : "") << "'><td>"
		    << escape(title_of_workload(m.workload)) << "</td>";
		for (const std::string &cell :
		     {std::to_string(m.cpus), title_of_target(m.target), format_number(m.rate, 0),
		      ms(m.latency.mean_us), ms(m.latency.p50_us), ms(m.latency.p99_us),
		      ms(m.latency.p999_us), format_number(m.instructions, 0),
		      percent(m.kernel_part), format_fixed(m.device_ios, 2), percent(m.idle_part),
		      percent(m.busiest_part),
		      m.beside ? format_number(m.beside->rate, 0) : std::string(),
		      m.beside ? ms(m.beside->latency.p99_us) : std::string()})
			out << "<td>" << escape(cell) << "</td>";
		out << "</tr>\n";
	}
	out << "</table>\n";
}

void write_profile(std::ostream &out, const Measurement &measurement)
{
	constexpr std::size_t kFunctions = 25;

	out << "<div><b>" << escape(title_of_target(measurement.target)) << ", "
	    << label_of(measurement.cpus) << ": " << format_number(measurement.instructions, 0)
	    << "</b><table><tr><th>function</th><th>instructions</th><th></th></tr>\n";
	for (std::size_t i = 0; i < std::min(kFunctions, measurement.profile.size()); i++) {
		const FunctionCost &cost = measurement.profile[i];

		out << "<tr><td>" << escape(cost.name) << "</td><td>"
		    << format_number(cost.instructions, 0) << "</td><td>"
		    << format_fixed(cost.instructions / measurement.instructions * 100, 1)
		    << " %</td></tr>\n";
	}
	out << "</table></div>\n";
}

void write_profiles(std::ostream &out, const Results &results)
{
	const auto counts = results.cpu_counts(kMain);

	if (counts.empty())
		return;
	out << "<h2>Where the instructions of a first write go</h2>\n"
	       "<p>By function, inlined ones within their callers; waiting included.</p>\n";
	for (const unsigned cpus : {counts.front(), counts.back()}) {
		out << "<div class='two'>";
		for (const char *target : kSnapshots)
			if (const Measurement *const found = results.find(kMain, target, cpus))
				write_profile(out, *found);
		out << "</div>\n";
		if (counts.size() == 1)
			break;
	}
}

} // namespace

void write_html(std::ostream &out, const Results &results, const std::string &title)
{
	out << kHead << "<title>" << escape(title) << "</title></head><body>\n<h1>" << escape(title)
	    << "</h1><p>Simulated machines of equal CPUs, 100 million instructions per second "
	       "each; null_blk, 4 KiB if nothing else is said, each block once, one job for each "
	       "CPU. Caches and memory "
	       "bandwidth are not simulated.</p>\n";
	for (const std::string &run : results.invalid)
		out << "<p class='invalid'>Not valid and left out: " << escape(run) << "</p>\n";
	write_tiles(out, results);
	out << "<div class='charts'>\n";
	write_rates(out, results);
	write_latencies(out, results);
	write_instructions(out, results);
	write_speedups(out, results);
	write_submissions(out, results);
	write_large(out, results);
	out << "</div>\n";
	write_ratios(out, results);
	write_profiles(out, results);
	write_numbers(out, results);
	out << "</body></html>\n";
}

} // namespace dmsc
