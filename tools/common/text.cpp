// SPDX-License-Identifier: GPL-2.0-only
#include "text.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace dmsc
{

std::string format_fixed(double value, int digits)
{
	std::ostringstream out;

	out << std::fixed << std::setprecision(digits) << value;
	return out.str();
}

std::string format_number(double value, int digits)
{

	std::string text = format_fixed(value, digits);
	const std::size_t first = text.starts_with('-') ? 1 : 0;
	std::size_t position = std::min(text.find('.'), text.size());

	while (position > first + 3) {
		position -= 3;
		text.insert(position, 1, ',');
	}
	return text;
}

} // namespace dmsc
