// SPDX-License-Identifier: GPL-2.0-only
#include "settings.h"

#include "number.h"
#include "qemu.h"

#include <string_view>

namespace pacer
{

namespace
{

template <typename Number>
Number parse_number(std::string_view argument, std::string_view text, Number least)
{
	const auto value = to_number<Number>(text);

	if (!value || *value < least)
		throw Error("not a number of at least " + std::to_string(least) + ": " +
			    std::string(argument));
	return *value;
}

} // namespace

Settings parse_settings(std::span<char *> arguments)
{
	Settings settings;

	for (const std::string_view argument : arguments) {
		const std::size_t equals = std::min(argument.find('='), argument.size() - 1);
		const std::string_view key = argument.substr(0, equals);
		const std::string_view value = argument.substr(equals + 1);

		if (key == "out")
			settings.out = value;
		else if (key == "mips")
			settings.mips = parse_number(argument, value, 1.0);
		else if (key == "window")
			settings.window = parse_number<Cycles>(argument, value, 10);
		else if (key == "rep")
			settings.rep = parse_number(argument, value, 1U);
		else if (key == "sample")
			settings.sample = parse_number(argument, value, 0.0);
		else
			throw Error("no such argument: " + std::string(argument));
	}
	if (settings.out.empty())
		throw Error("out=FILE is missing");
	return settings;
}

} // namespace pacer
