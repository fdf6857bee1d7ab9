// SPDX-License-Identifier: GPL-2.0-only
#include "chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <set>
#include <sstream>

namespace dmsc
{

namespace
{

// In pixels.
constexpr double kWidth = 640;
constexpr double kHeight = 340;
constexpr double kLeft = 56;
constexpr double kTop = 28;
constexpr double kBottom = 44;
constexpr double kNames = 130; // for the names at the lines' ends
constexpr double kLineHeight = 15;
constexpr double kBase = kHeight - kBottom;

// The least of 1, 2, 2.5 and 5 times a power of ten that gives at most six steps.
double step_for(double largest)
{
	constexpr double kMostSteps = 6;
	constexpr double kTen = 10;
	const double power = std::pow(kTen, std::floor(std::log10(largest / kMostSteps)));

	for (const double factor : {1.0, 2.0, 2.5, 5.0})
		if (factor * power * kMostSteps >= largest)
			return factor * power;
	return kTen * power;
}

class Canvas
{
public:
	Canvas(double width, double largest, const std::string &unit)
		: right_(width), largest_(largest > 0 ? largest : 1)
	{
		out_ << std::fixed << std::setprecision(1);
		out_ << "<svg viewBox='0 0 " << kWidth << ' ' << kHeight
		     << "' role='img' xmlns='http://www.w3.org/2000/svg'>\n";
		text(4, kTop - 12, "start", unit, "unit");

		const double step = step_for(largest_);
		const auto steps = std::lround(largest_ / step);

		for (long i = 0; i <= steps; i++) {
			const double value = static_cast<double>(i) * step;

			line(kLeft, y(value), right_, y(value), value == 0 ? "axis" : "grid");
			text(kLeft - 6, y(value) + 4, "end", short_number(value), "tick");
		}
	}

	[[nodiscard]] double y(double value) const
	{
		return kBase - value / largest_ * (kBase - kTop);
	}

	void text(double x, double y, const char *anchor, const std::string &text,
		  const std::string &style)
	{
		out_ << "<text x='" << x << "' y='" << y << "' text-anchor='" << anchor
		     << "' class='" << style << "'>" << escape(text) << "</text>\n";
	}

	void line(double x1, double y1, double x2, double y2, const std::string &style)
	{
		out_ << "<line x1='" << x1 << "' y1='" << y1 << "' x2='" << x2 << "' y2='" << y2
		     << "' class='" << style << "'/>\n";
	}

	void bar(double x, double width, double value, const std::string &style,
		 const std::string &hint)
	{
		out_ << "<rect x='" << x << "' y='" << y(value) << "' width='" << width
		     << "' height='" << kBase - y(value) << "' class='fill " << style << "'><title>"
		     << escape(hint) << "</title></rect>\n";
	}

	void path(const std::vector<std::pair<double, double>> &points, const std::string &style)
	{
		out_ << "<polyline class='stroke " << style << "' points='";
		for (const auto &[x, y] : points)
			out_ << x << ',' << y << ' ';
		out_ << "'/>\n";
	}

	void dot(double x, double y, const std::string &style, const std::string &hint)
	{
		out_ << "<circle cx='" << x << "' cy='" << y << "' r='3.5' class='fill " << style
		     << "'><title>" << escape(hint) << "</title></circle>\n";
	}

	std::string finish()
	{
		out_ << "</svg>\n";
		return out_.str();
	}

private:
	double right_;
	double largest_;
	std::ostringstream out_;
};

// A round number that is not less.
double round_up(double largest)
{
	const double step = step_for(largest > 0 ? largest : 1);

	return std::ceil(largest / step) * step;
}

} // namespace

std::string escape(const std::string &text)
{
	std::string result;

	for (const char c : text) {
		switch (c) {
		case '<':
			result += "&lt;";
			break;
		case '>':
			result += "&gt;";
			break;
		case '&':
			result += "&amp;";
			break;
		case '"':
			result += "&quot;";
			break;
		default:
			result += c;
		}
	}
	return result;
}

std::string short_number(double value, int digits)
{
	struct Unit {
		double size;
		const char *name;
	};
	constexpr std::array kUnits{Unit{1e6, "M"}, Unit{1e3, "k"}, Unit{1, ""}};
	std::ostringstream out;

	for (const Unit &unit : kUnits) {
		// 999.6 thousand is one million.
		if (std::abs(value) < unit.size * 0.9995 && unit.size > 1)
			continue;

		const double scaled = value / unit.size;
		const int before = std::abs(scaled) < 1
					   ? 1
					   : static_cast<int>(std::log10(std::abs(scaled))) + 1;

		out << std::fixed << std::setprecision(std::max(0, digits - before)) << scaled;
		break;
	}

	std::string text = out.str();

	if (text.find('.') != std::string::npos) {
		text.erase(text.find_last_not_of('0') + 1);
		if (text.ends_with('.'))
			text.pop_back();
	}
	return text + (std::abs(value) >= kUnits[0].size * 0.9995   ? kUnits[0].name
		       : std::abs(value) >= kUnits[1].size * 0.9995 ? kUnits[1].name
								    : "");
}

std::string line_chart(const std::string &unit, const std::vector<Series> &series)
{
	double most_cpus = 1;
	double largest = 0;
	std::set<double> counts;

	for (const Series &one : series)
		for (const auto &[cpus, value] : one.points) {
			most_cpus = std::max(most_cpus, cpus);
			largest = std::max(largest, value);
			counts.insert(cpus);
		}

	const double right = kWidth - kNames;
	const auto x = [&](double cpus) { return kLeft + cpus / most_cpus * (right - kLeft); };
	Canvas canvas(right, round_up(largest), unit);

	for (const double cpus : counts)
		canvas.text(x(cpus), kBase + 18, "middle", short_number(cpus), "tick");
	canvas.text((kLeft + right) / 2, kHeight - 8, "middle", "CPUs", "unit");

	struct Name {
		double y;
		const Series *series;
	};
	std::vector<Name> names;

	for (const Series &one : series) {
		std::vector<std::pair<double, double>> points;

		for (const auto &[cpus, value] : one.points)
			points.emplace_back(x(cpus), canvas.y(value));
		if (points.empty())
			continue;
		canvas.path(points, one.style);
		for (std::size_t i = 0; i < points.size(); i++)
			canvas.dot(points[i].first, points[i].second, one.style,
				   one.name + ", " + short_number(one.points[i].first) +
					   " CPUs: " + short_number(one.points[i].second));
		names.push_back({points.back().second, &one});
	}
	// From the top, none on top of another.
	std::ranges::sort(names, {}, &Name::y);
	for (std::size_t i = 1; i < names.size(); i++)
		names[i].y = std::max(names[i].y, names[i - 1].y + kLineHeight);
	for (const Name &name : names)
		canvas.text(right + 8, name.y + 4, "start",
			    name.series->name + "  " +
				    short_number(name.series->points.back().second),
			    "name " + name.series->style);
	return canvas.finish();
}

std::string bar_chart(const std::string &unit, const std::vector<std::string> &labels,
		      const std::vector<Bars> &bars, const std::string &below, double top,
		      bool with_values)
{
	constexpr double kGap = 0.25; // of a group's width
	double largest = top;

	if (largest <= 0)
		for (const Bars &kind : bars)
			largest = std::max(largest, std::ranges::max(kind.values));

	const double right = kWidth - 8;
	const double group = (right - kLeft) / static_cast<double>(labels.size());
	const double width = group * (1 - kGap) / static_cast<double>(bars.size());
	Canvas canvas(right, round_up(largest), unit);

	for (std::size_t i = 0; i < labels.size(); i++) {
		const double start = kLeft + group * (static_cast<double>(i) + kGap / 2);

		canvas.text(start + group * (1 - kGap) / 2, kBase + 18, "middle", labels[i],
			    "tick");
		for (std::size_t kind = 0; kind < bars.size(); kind++) {
			const double value = bars[kind].values.at(i);
			const double x = start + width * static_cast<double>(kind);

			canvas.bar(x + 1, width - 2, value, bars[kind].style,
				   bars[kind].name + ", " + labels[i] + ": " + short_number(value));
			if (with_values && value > 0)
				canvas.text(x + width / 2, canvas.y(value) - 4, "middle",
					    short_number(value, 2), "value");
		}
	}
	canvas.text((kLeft + right) / 2, kHeight - 8, "middle", below, "unit");
	return canvas.finish();
}

} // namespace dmsc
