// SPDX-License-Identifier: GPL-2.0-only
#include "tab.h"

#include "line.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace dmsc
{

namespace
{

struct Named {
	std::string_view target;
	Role role;
};

constexpr std::array kTargets{
	Named{"origin-scaled", Role::origin},     Named{"snapshot-origin", Role::origin},
	Named{"snapshot-scaled", Role::snapshot}, Named{"snapshot", Role::snapshot},
	Named{"merge-scaled", Role::merge},       Named{"snapshot-merge", Role::merge},
	Named{"clone-scaled", Role::clone},       Named{"clone", Role::clone},
};

std::string in_line(const TabLine &line)
{
	return "'" + line.name + "' in line " + std::to_string(line.number);
}

void add_once(std::vector<std::string> &all, const std::string &one)
{
	if (std::ranges::find(all, one) == all.end())
		all.push_back(one);
}

// The first devices of rows with such roles.
template <typename Wanted>
std::vector<std::string> first_devices(const TabLine &line, Wanted wanted)
{
	std::vector<std::string> all;

	for (const auto &row : line.rows)
		if (wanted(row.role()))
			add_once(all, row.arguments.front());
	return all;
}

// Devices that it writes on its own account, and that are of no use to anybody else.
std::vector<std::string> own_devices(const TabLine &line)
{
	std::vector<std::string> all;

	for (const auto &row : line.rows) {
		if (row.role() == Role::snapshot || row.role() == Role::merge) {
			all.push_back(row.arguments[1]);
		} else if (row.role() == Role::clone) {
			all.push_back(row.arguments[0]);
			all.push_back(row.arguments[1]);
		}
	}
	return all;
}

bool has(const std::vector<std::string> &all, const std::string &one)
{
	return std::ranges::find(all, one) != all.end();
}

} // namespace

Role role_of(std::string_view target)
{
	const auto *found = std::ranges::find(kTargets, target, &Named::target);

	return found == kTargets.end() ? Role::other : found->role;
}

std::size_t devices_of(Role role)
{
	switch (role) {
	case Role::origin:
		return 1;
	case Role::snapshot:
	case Role::merge:
		return 2;
	case Role::clone:
		return 3;
	default:
		return 0;
	}
}

bool is_origin(Role role)
{
	return role == Role::origin || role == Role::merge;
}

std::vector<std::string> TabLine::devices() const
{
	std::vector<std::string> all;

	for (const auto &row : rows)
		for (const auto &argument : row.arguments)
			if (argument.starts_with("/dev/"))
				add_once(all, argument);
	return all;
}

std::vector<std::string> TabLine::origins() const
{
	return first_devices(*this, is_origin);
}

std::vector<std::string> TabLine::snapshots_of() const
{
	return first_devices(*this, [](Role role) { return role == Role::snapshot; });
}

Tab::Tab(std::istream &in)
{
	std::string text;

	for (std::size_t number = 1; std::getline(in, text); number++)
		if (auto line = parse_tab_line(number, text))
			lines_.push_back(std::move(*line));
	check_names();
	check_devices();
	check_origins();
	check_order();
}

const TabLine *Tab::find(std::string_view name) const
{
	const auto found = std::ranges::find(lines_, name, &TabLine::name);

	return found == lines_.end() ? nullptr : &*found;
}

std::vector<const TabLine *> Tab::before(const TabLine &line) const
{
	const auto devices = line.devices();
	const auto origins = line.origins();
	std::vector<const TabLine *> found;

	for (const auto &other : lines_) {
		if (other.name.empty() || &other == &line)
			continue;
		if (has(devices, other.node()) ||
		    std::ranges::any_of(other.snapshots_of(), [&](const std::string &origin) {
			    return has(origins, origin);
		    }))
			found.push_back(&other);
	}
	return found;
}

std::vector<const TabLine *> Tab::in_order() const
{
	std::vector<const TabLine *> left;
	std::vector<const TabLine *> order;
	const auto is_left = [&](const TabLine *line) {
		return std::ranges::find(left, line) != left.end();
	};

	for (const auto &line : lines_)
		if (!line.name.empty())
			left.push_back(&line);
	while (!left.empty()) {
		auto next = std::ranges::find_if(left, [&](const TabLine *line) {
			return std::ranges::none_of(before(*line), is_left);
		});

		// In a circle nothing is first.
		if (next == left.end())
			next = left.begin();
		order.push_back(*next);
		left.erase(next);
	}
	return order;
}

void Tab::check_names()
{
	std::map<std::string, std::size_t> seen;

	for (auto &line : lines_) {
		const auto [first, is_new] = seen.try_emplace(line.name, line.number);

		if (line.name.empty() || is_new)
			continue;
		line.error = "field 1, '" + line.name + "': must be another name: line " +
			     std::to_string(first->second) + " has it already";
		line.name.clear();
		line.rows.clear();
	}
}

void Tab::check_devices()
{
	std::map<std::string, const TabLine *> owners;

	for (auto &line : lines_) {
		if (!line.error.empty())
			continue;
		for (const auto &device : own_devices(line)) {
			const auto [first, is_new] = owners.try_emplace(device, &line);

			if (!is_new)
				line.error = device + ": must be a device of its own: " +
					     in_line(*first->second) + " has it as a COW, " +
					     "metadata or destination device";
		}
	}
	for (auto &line : lines_) {
		if (!line.error.empty())
			continue;
		for (const auto &device : line.origins()) {
			const auto owner = owners.find(device);

			if (owner != owners.end())
				line.error = device +
					     ": must not be an origin: " + in_line(*owner->second) +
					     " has it as a COW, metadata or destination device";
		}
	}
}

void Tab::check_origins()
{
	std::map<std::string, const TabLine *> origins;
	std::map<std::string, const TabLine *> nodes;

	for (auto &line : lines_) {
		if (!line.error.empty())
			continue;
		for (const auto &device : line.origins()) {
			const auto [first, is_new] = origins.try_emplace(device, &line);

			if (!is_new)
				line.error = device + ": must have one origin or merge: " +
					     in_line(*first->second) + " is one already";
		}
		if (!line.origins().empty())
			nodes[line.node()] = &line;
	}
	// A snapshot of what is above the origin would see no write to it.
	for (auto &line : lines_) {
		if (!line.error.empty())
			continue;
		for (const auto &device : line.snapshots_of()) {
			const auto above = nodes.find(device);

			if (above != nodes.end() && !origins.contains(device))
				line.error = device + ": must be the device below " +
					     in_line(*above->second) + ", " +
					     above->second->origins().front() +
					     ": only its snapshots see what is written to '" +
					     above->second->name + "'";
		}
	}
}

void Tab::check_order()
{
	std::vector<const TabLine *> ready;
	bool more = true;
	const auto is_ready = [&](const TabLine *line) {
		return std::ranges::find(ready, line) != ready.end();
	};

	while (more) {
		more = false;
		for (const auto &line : lines_) {
			if (is_ready(&line) || has(line.devices(), line.node()) ||
			    !std::ranges::all_of(before(line), is_ready))
				continue;
			ready.push_back(&line);
			more = true;
		}
	}
	for (auto &line : lines_)
		if (!is_ready(&line) && line.error.empty())
			line.error = "must not stand on itself, or on what does, by way of devices "
				     "below and of snapshots that have to be active before";
}

} // namespace dmsc
