// SPDX-License-Identifier: GPL-2.0-only
#include "tables.h"

#include "../tab/use.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace dmsc
{

namespace
{

DeviceNumber device_at(const std::string &path)
{
	if (const auto number = number_at(path))
		return *number;
	throw std::runtime_error(
		path + ": " +
		(std::filesystem::exists(path) ? "is no block device" : "there is no such device"));
}

std::uint64_t sectors_of(const DeviceNumber &number)
{
	std::ifstream in("/sys/dev/block/" + to_string(number) + "/size");
	std::uint64_t sectors = 0;

	if (!(in >> sectors) || sectors == 0)
		throw std::runtime_error("device " + to_string(number) + " has no size");
	return sectors;
}

std::uint64_t length_of(const Targets &targets)
{
	return targets.empty() ? 0 : targets.back().start + targets.back().length;
}

// Features may have been changed by messages, the COW device knows its chunks, and other targets
// print their arguments in ways of their own: the devices count, and the kind of a snapshot.
bool is_same(const Target &wanted, const Target &shown)
{
	const auto uses = [](const Target &target) {
		std::vector<std::string> devices;

		for (const auto &use : uses_of(row_of(target)))
			devices.push_back(use.device);
		return devices;
	};
	const auto kind = [](const Target &target) {
		const auto words = row_of(target).arguments;
		const auto role = role_of(target.type);

		return (role == Role::snapshot || role == Role::merge) && words.size() > 2
			       ? words[2]
			       : "";
	};

	return wanted.start == shown.start && wanted.type == shown.type &&
	       uses(wanted) == uses(shown) && kind(wanted) == kind(shown);
}

bool is_same_size(const Target &wanted, const Target &shown)
{
	return wanted.length == shown.length;
}

// Nothing if that is not to be found out.
std::optional<bool> is_read_only(const std::string &name)
{
	const auto number = number_at("/dev/mapper/" + name);
	bool read_only = false;

	if (!number)
		return std::nullopt;

	std::ifstream in("/sys/dev/block/" + to_string(*number) + "/ro");

	return in >> read_only ? std::optional(read_only) : std::nullopt;
}

template <typename Wanted> Numbers first_devices(const Targets &targets, Wanted wanted)
{
	Numbers all;

	for (const auto &target : targets) {
		DeviceNumber number;
		char colon = 0;
		std::istringstream in(target.params);

		if (wanted(target) && in >> number.major >> colon >> number.minor)
			all.insert(number);
	}
	return all;
}

} // namespace

TabRow row_of(const Target &target)
{
	TabRow row{.start = target.start,
		   .length = target.length,
		   .target = target.type,
		   .arguments = {}};
	std::istringstream in(target.params);

	for (std::string word; in >> word;)
		row.arguments.push_back(word);
	return row;
}

Table table_of(const TabLine &line)
{
	Table table{.targets = {}, .read_only = line.options.read_only};

	for (const auto &row : line.rows) {
		Target target{.start = row.start.value_or(0),
			      .length = row.length.value_or(0),
			      .type = row.target,
			      .params = ""};

		for (const auto &argument : row.arguments)
			target.params +=
				(target.params.empty() ? "" : " ") +
				(argument.starts_with("/dev/") ? to_string(device_at(argument))
							       : argument);
		// A clone is as large as its source; others as their origin.
		if (!row.length)
			target.length = sectors_of(
				device_at(row.arguments[row.role() == Role::clone ? 2 : 0]));
		table.targets.push_back(std::move(target));
	}
	return table;
}

std::string text_of(const Targets &targets)
{
	std::string text;

	for (const auto &target : targets)
		text += (text.empty() ? "" : ", ") + std::to_string(target.start) + " " +
			std::to_string(target.length) + " " + target.type + " " + target.params;
	return text.empty() ? "empty" : text;
}

bool is_snapshot(const Target &target)
{
	return role_of(target.type) == Role::snapshot;
}

bool is_persistent(const Target &target)
{
	const auto words = row_of(target).arguments;

	return words.size() > 2 && words[2] != "N";
}

Numbers origins_of(const Targets &targets)
{
	return first_devices(targets,
			     [](const Target &target) { return is_origin(role_of(target.type)); });
}

Numbers snapshots_of(const Targets &targets)
{
	return first_devices(targets, is_snapshot);
}

Numbers persistent_snapshots_of(const Targets &targets)
{
	return first_devices(targets, [](const Target &target) {
		return is_snapshot(target) && is_persistent(target);
	});
}

bool is_active(const Tables &tables, const TabLine &line)
{
	const auto found = tables.find(line.name);

	if (found == tables.end())
		return false;
	try {
		const auto wanted = table_of(line).targets;

		return std::ranges::equal(wanted, found->second, is_same) &&
		       std::ranges::equal(wanted, found->second, is_same_size);
	} catch (const std::runtime_error &) {
		return false;
	}
}

std::string difference(const Tables &tables, const std::string &name, const Table &wanted)
{
	const auto &shown = tables.at(name);
	const auto read_only = is_read_only(name);

	if (!std::ranges::equal(wanted.targets, shown, is_same))
		return "there is a device of that name already: its table is " + text_of(shown) +
		       ", must be " + text_of(wanted.targets);
	if (!std::ranges::equal(wanted.targets, shown, is_same_size))
		return "is active, but has another size, " + std::to_string(length_of(shown)) +
		       " sectors: must have " + std::to_string(length_of(wanted.targets)) +
		       ": stop it and start it again";
	if (read_only && *read_only != wanted.read_only)
		return std::string("is active, but ") +
		       (wanted.read_only ? "can be written to: must be read-only"
					 : "read-only: must not be") +
		       ": stop it and start it again";
	return "";
}

} // namespace dmsc
