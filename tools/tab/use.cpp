// SPDX-License-Identifier: GPL-2.0-only
#include "use.h"

#include <algorithm>
#include <array>

namespace dmsc
{

namespace
{

constexpr std::string_view kDigits = "0123456789";

bool is_number(std::string_view word)
{
	return !word.empty() && word.find_first_not_of(kDigits) == std::string_view::npos;
}

// Of an argument of a target that we know.
Use use_of(Role role, std::size_t index)
{
	constexpr std::size_t clone_source = 2;

	if (role == Role::clone) {
		if (index == clone_source)
			return Use::source;
		return index == 0 ? Use::own : Use::destination;
	}
	return index == 0 ? Use::origin : Use::own;
}

std::string name_of(Use use)
{
	switch (use) {
	case Use::origin:
		return "an origin";
	case Use::source:
		return "the source of a clone";
	case Use::own:
		return "a COW or metadata device";
	case Use::destination:
		return "the destination of a clone";
	default:
		return "part of another device";
	}
}

} // namespace

bool is_device_number(std::string_view word)
{
	const auto colon = word.find(':');

	return colon != std::string_view::npos && is_number(word.substr(0, colon)) &&
	       is_number(word.substr(colon + 1));
}

bool is_unstable(std::string_view path)
{
	constexpr std::string_view folder = "/dev/";
	constexpr std::array<std::string_view, 10> disks{"sd",     "hd",   "vd",  "xvd",  "nvme",
							 "mmcblk", "loop", "nbd", "zram", "nullb"};

	if (!path.starts_with(folder))
		return false;
	path.remove_prefix(folder.size());
	return path.find('/') == std::string_view::npos &&
	       std::ranges::any_of(disks,
				   [&](std::string_view disk) { return path.starts_with(disk); });
}

std::vector<DeviceUse> uses_of(const TabRow &row)
{
	const auto role = row.role();
	std::vector<DeviceUse> uses;

	for (std::size_t i = 0; i < row.arguments.size(); i++) {
		const auto &argument = row.arguments[i];

		if (role != Role::other && i < devices_of(role))
			uses.push_back({argument, use_of(role, i)});
		else if (role == Role::other &&
			 (argument.starts_with("/dev/") || is_device_number(argument)))
			uses.push_back({argument, row.target == "linear" ? Use::part : Use::other});
	}
	return uses;
}

bool is_owned(Use use)
{
	return use == Use::own || use == Use::destination;
}

bool clash(Use one, Use another)
{
	const auto is_for_others = [](Use use) { return use == Use::part || use == Use::other; };

	if (is_owned(one) || is_owned(another))
		return !(one == Use::destination && another == Use::part) &&
		       !(one == Use::part && another == Use::destination);
	return (one == Use::origin && is_for_others(another)) ||
	       (is_for_others(one) && another == Use::origin);
}

std::string describe_clash(const DeviceUse &wanted, const std::string &who, Use has)
{
	const auto *missed = is_owned(wanted.use) || is_owned(has)
				     ? ""
				     : ", and its snapshots would not see what is written";

	return wanted.device + ": must " +
	       (is_owned(wanted.use) ? "be a device of its own" : "not be " + name_of(wanted.use)) +
	       ": " + who + " has it as " + name_of(has) + missed;
}

} // namespace dmsc
