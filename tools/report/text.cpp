// SPDX-License-Identifier: GPL-2.0-only
#include "text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <ostream>
#include <sstream>

namespace dmsc
{

namespace
{

// Cells are ASCII but for a few signs of two or three bytes.
std::size_t width_of(const std::string &text)
{
	return static_cast<std::size_t>(std::ranges::count_if(
		text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

} // namespace

void Table::print(std::ostream &out) const
{
	std::vector<std::size_t> widths;

	for (const auto &row : rows_) {
		widths.resize(std::max(widths.size(), row.size()));
		for (std::size_t i = 0; i < row.size(); i++)
			widths[i] = std::max(widths[i], width_of(row[i]));
	}
	for (const auto &row : rows_) {
		for (std::size_t i = 0; i < row.size(); i++) {
			const std::string padding(widths[i] - width_of(row[i]), ' ');

			out << "  " << (i == 0 ? row[i] + padding : padding + row[i]);
		}
		out << '\n';
	}
}

std::string format_bar(double part, unsigned width, bool ascii)
{
	static constexpr std::array kEighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	const double clamped = std::clamp(part, 0.0, 1.0);
	const auto eighths = static_cast<unsigned>(std::lround(clamped * width * 8));
	const unsigned full = ascii ? (eighths + 4) / 8 : eighths / 8;
	const unsigned rest = ascii ? 0 : eighths % 8;
	std::string bar;

	for (unsigned i = 0; i < full; i++)
		bar += ascii ? "#" : "█";
	bar += kEighths.at(rest);
	bar.append(width - full - (rest != 0 ? 1 : 0), ' ');
	return bar;
}

} // namespace dmsc
