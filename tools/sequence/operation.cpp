// SPDX-License-Identifier: GPL-2.0-only
#include "operation.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>

namespace dmsc
{

Operation::Operation(std::string_view line)
{
	std::istringstream in{std::string(line)};

	for (std::string word; in >> word;)
		words_.push_back(word);
	if (words_.empty())
		throw std::invalid_argument("an operation without words");
}

std::string Operation::word(std::size_t index) const
{
	return index + 1 < words_.size() ? words_[index + 1] : "";
}

std::uint64_t Operation::number(std::size_t index) const
{
	const std::string text = word(index);

	return text.empty() ? 0 : std::stoull(text);
}

std::string Operation::rest(std::size_t index) const
{
	std::string text;

	for (std::size_t i = index + 1; i < words_.size(); i++)
		text += (text.empty() ? "" : " ") + words_[i];
	return text;
}

bool Operation::is_io() const
{
	constexpr std::array<std::string_view, 7> verbs{"read",    "write", "fua",  "zero",
							"discard", "flush", "burst"};

	return std::ranges::find(verbs, verb()) != verbs.end();
}

bool is_read_only(const Operation &load)
{
	return load.word(1) == "readonly";
}

std::vector<TableLine> table_of(const Operation &load)
{
	std::istringstream in(load.rest(is_read_only(load) ? 2 : 1));
	std::vector<TableLine> table;

	for (TableLine line; in >> line.start >> line.length >> line.type; line = {}) {
		for (std::string word; in >> word && word != ";";)
			line.arguments.push_back(word);
		table.push_back(line);
	}
	return table;
}

Operations read_operations(std::istream &in)
{
	Operations operations;

	for (std::string line; std::getline(in, line);)
		if (const auto at = line.find_first_not_of(" \t");
		    at != std::string::npos && line[at] != '#')
			operations.emplace_back(line);
	return operations;
}

} // namespace dmsc
