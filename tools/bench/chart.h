// SPDX-License-Identifier: GPL-2.0-only
// Charts as SVG, to be part of an HTML page. Text and lines take their colours from the page's
// style.
#ifndef DMSC_BENCH_CHART_H
#define DMSC_BENCH_CHART_H

#include <string>
#include <utility>
#include <vector>

namespace dmsc
{

struct Series {
	std::string name;
	std::string style; // a class of the page's style: raw, linear, stock, ours, limit
	std::vector<std::pair<double, double>> points;
};

// Values against the number of CPUs, both linear; each line ends with its name.
std::string line_chart(const std::string &unit, const std::vector<Series> &series);

struct Bars {
	std::string name;
	std::string style;
	std::vector<double> values; // one for each group
};

// A group of bars, one of each kind, for each label. top is the axis' end; 0: the largest value.
// with_values: each bar has its value over it.
std::string bar_chart(const std::string &unit, const std::vector<std::string> &labels,
		      const std::vector<Bars> &bars, const std::string &below, double top,
		      bool with_values);

// 1234567: "1.23M"; three digits are enough to compare.
std::string short_number(double value, int digits = 3);
std::string escape(const std::string &text);

} // namespace dmsc

#endif // DMSC_BENCH_CHART_H
