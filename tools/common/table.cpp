// SPDX-License-Identifier: GPL-2.0-only
#include "table.h"

namespace dmsc
{

std::vector<std::string> split_arguments(std::string_view text)
{
	std::vector<std::string> arguments;
	bool inside = false;

	for (std::size_t i = 0; i < text.size(); i++) {
		const bool space = kSpaces.find(text[i]) != std::string_view::npos;

		if (space) {
			inside = false;
			continue;
		}
		if (!inside)
			arguments.emplace_back();
		inside = true;
		// The last character has nothing behind it, and stands for itself.
		if (text[i] == '\\' && i + 1 < text.size())
			i++;
		arguments.back().push_back(text[i]);
	}
	return arguments;
}

} // namespace dmsc
