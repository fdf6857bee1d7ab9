// SPDX-License-Identifier: GPL-2.0-only
// dmsc-bench: tables, CSV and an HTML report of what was measured on simulated machines.
#include "../common/output.h"
#include "../common/targets.h"
#include "../common/version.h"
#include "html.h"
#include "markdown.h"
#include "measurement.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <iomanip>
#include <iostream>

namespace
{

using dmsc::Measurement;
using dmsc::Results;

void print_run(std::ostream &out, const Results &results, std::size_t top)
{
	constexpr int kName = 12;
	constexpr int kColumn = 14;

	out << std::fixed << std::left << std::setw(kName) << "" << std::right;
	for (const char *column : {"per second", "mean us", "p99 us", "insn/op", "dev I/Os/op",
				   "idle %", "busiest CPU %", "beside", "p99 us"})
		out << std::setw(kColumn) << column;
	out << '\n';
	for (const Measurement &m : results.measurements) {
		out << std::left << std::setw(kName) << dmsc::title_of_target(m.target)
		    << std::right << std::setprecision(0) << std::setw(kColumn) << m.rate
		    << std::setw(kColumn) << m.latency.mean_us << std::setw(kColumn)
		    << m.latency.p99_us << std::setw(kColumn) << m.instructions
		    << std::setw(kColumn) << std::setprecision(2) << m.device_ios
		    << std::setw(kColumn) << std::setprecision(1) << m.idle_part * 100
		    << std::setw(kColumn) << m.busiest_part * 100;
		if (m.beside)
			out << std::setprecision(0) << std::setw(kColumn) << m.beside->rate
			    << std::setw(kColumn) << m.beside->latency.p99_us;
		out << '\n';
	}
	for (const Measurement &m : results.measurements) {
		if (top == 0 || m.profile.empty())
			continue;
		out << '\n' << dmsc::title_of_target(m.target) << ": instructions per operation\n";
		for (std::size_t i = 0; i < std::min(top, m.profile.size()); i++)
			out << std::setw(8) << std::setprecision(0) << m.profile[i].instructions
			    << "  " << m.profile[i].name << '\n';
	}
}

void write_csv(std::ostream &out, const Results &results)
{
	out << "workload,cpus,target,per_second,mean_us,p50_us,p99_us,p999_us,instructions_per_op,"
	       "kernel_part,device_ios_per_op,idle_part,busiest_part,max_share,beside_per_second,"
	       "beside_mean_us,"
	       "beside_p99_us\n";
	for (const Measurement &m : results.measurements) {
		out << m.workload << ',' << m.cpus << ',' << m.target << ',' << m.rate << ','
		    << m.latency.mean_us << ',' << m.latency.p50_us << ',' << m.latency.p99_us
		    << ',';
		if (m.latency.p999_us > 0)
			out << m.latency.p999_us;
		out << ',' << m.instructions << ',' << m.kernel_part << ',' << m.device_ios << ','
		    << m.idle_part << ',' << m.busiest_part << ',';
		if (m.submissions)
			out << dmsc::max_share(dmsc::all_of(*m.submissions)).value_or(0);
		out << ',';
		if (m.beside)
			out << m.beside->rate << ',' << m.beside->latency.mean_us << ','
			    << m.beside->latency.p99_us;
		else
			out << ",,";
		out << '\n';
	}
}

} // namespace

int main(int argc, char **argv)
{
	constexpr int kUsage = 2;

	try {
		CLI::App app("Reports what tests/bench/paced.sh and tests/bench/lab.sh measured");
		app.set_version_flag("--version", dmsc::version("dmsc-bench"));
		std::string directory;
		std::string csv;
		std::string html;
		std::string markdown;
		std::string title = "dm-scaled and stock snapshots";
		std::size_t top = 0;
		bool run = false;

		app.add_option("directory", directory, "results, or one run of them")->required();
		app.add_flag("--run", run, "it is one run: print a table of it");
		app.add_option("--top", top, "so many functions of its profile");
		app.add_option("--csv", csv, "file for all values; - for standard output");
		app.add_option("--html", html, "file for a report with charts");
		app.add_option("--markdown", markdown,
			       "print tables of this workload, and of --top functions");
		app.add_option("--title", title, "the report's heading");
		try {
			app.parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			return app.exit(error) == 0 ? 0 : kUsage;
		}

		Results results;

		if (run)
			dmsc::load_run(directory, results);
		else
			results = dmsc::load_all(directory);
		if (run)
			print_run(std::cout, results, top);
		if (!markdown.empty())
			dmsc::write_markdown(std::cout, results, markdown, top);
		dmsc::write_file(csv, [&](std::ostream &out) { write_csv(out, results); });
		dmsc::write_file(html,
				 [&](std::ostream &out) { dmsc::write_html(out, results, title); });
		for (const std::string &invalid : results.invalid)
			std::cerr << "dmsc-bench: not valid: " << invalid << '\n';
		return results.invalid.empty() ? 0 : 1;
	} catch (const std::exception &error) {
		std::cerr << "dmsc-bench: " << error.what() << '\n';
		return kUsage;
	}
}
