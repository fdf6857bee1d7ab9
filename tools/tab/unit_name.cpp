// SPDX-License-Identifier: GPL-2.0-only
#include "unit_name.h"

namespace dmsc
{

namespace
{

constexpr std::string_view kPlain =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.";
constexpr std::string_view kHex = "0123456789abcdef";

} // namespace

std::string escape_name(std::string_view name)
{
	std::string escaped;

	for (const char c : name) {
		if (c == '/') {
			escaped.push_back('-');
		} else if (kPlain.find(c) != std::string_view::npos &&
			   (c != '.' || !escaped.empty())) {
			escaped.push_back(c);
		} else {
			const auto byte = static_cast<unsigned char>(c);

			escaped += "\\x";
			escaped.push_back(kHex[byte >> 4U]);
			escaped.push_back(kHex[byte & 15U]);
		}
	}
	return escaped;
}

std::string escape_path(std::string_view path)
{
	path.remove_prefix(1);
	return escape_name(path);
}

} // namespace dmsc
