// SPDX-License-Identifier: GPL-2.0-only
// Tables and bars for a terminal.
#ifndef DMSC_TEXT_H
#define DMSC_TEXT_H

#include <iosfwd>
#include <string>
#include <vector>

namespace dmsc
{

// Columns as wide as their widest cell, the first to the left, the others to the right.
class Table
{
public:
	explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

	void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
	void print(std::ostream &out) const;

private:
	std::vector<std::vector<std::string>> rows_;
};

// part of width characters; eighths of a character in Unicode. Padded to width.
std::string format_bar(double part, unsigned width, bool ascii);

} // namespace dmsc

#endif // DMSC_TEXT_H
