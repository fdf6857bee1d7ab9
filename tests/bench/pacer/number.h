// SPDX-License-Identifier: GPL-2.0-only
// Numbers in arguments.
#ifndef PACER_NUMBER_H
#define PACER_NUMBER_H

#include <charconv>
#include <optional>
#include <string_view>

namespace pacer
{

// Nothing if the text is not a number from its beginning to its end.
template <typename Number> std::optional<Number> to_number(std::string_view text)
{
	Number value{};
	const char *const end = text.data() + text.size();
	const auto [stop, error] = std::from_chars(text.data(), end, value);

	if (error != std::errc() || stop != end)
		return std::nullopt;
	return value;
}

} // namespace pacer

#endif // PACER_NUMBER_H
