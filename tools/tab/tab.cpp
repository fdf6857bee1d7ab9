// SPDX-License-Identifier: GPL-2.0-only
#include "tab.h"

#include "line.h"
#include "use.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <system_error>
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
	if (in.bad())
		throw std::runtime_error("cannot be read to its end");
	check_names();
	check_devices();
	check_origins();
	check_order();
	check_options();
}

std::optional<Tab> read_tab(const std::string &path)
{
	std::ifstream in(path);

	if (!in && errno == ENOENT)
		return std::nullopt;
	if (!in)
		throw std::system_error(errno, std::generic_category(), path);
	try {
		return Tab(in);
	} catch (const std::runtime_error &error) {
		throw std::runtime_error(path + ": " + error.what());
	}
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

std::vector<const TabLine *>
Tab::in_order(const std::function<bool(const TabLine &)> &is_chosen) const
{
	auto lines = in_order();
	std::vector<const TabLine *> needed;

	// From the end, so that those before a line are still to come.
	std::ranges::reverse(lines);
	for (const auto *line : lines) {
		if (!is_chosen(*line) && std::ranges::find(needed, line) == needed.end())
			continue;

		const auto before_it = before(*line);

		needed.push_back(line);
		needed.insert(needed.end(), before_it.begin(), before_it.end());
	}
	std::erase_if(lines, [&](const TabLine *line) {
		return std::ranges::find(needed, line) == needed.end();
	});
	std::ranges::reverse(lines);
	return lines;
}

void Tab::check_paths(const std::function<std::string(const std::string &)> &identify)
{
	std::map<std::string, const TabLine *> lines;
	std::map<std::string, std::string> paths;

	for (auto &line : lines_) {
		if (!line.error.empty())
			continue;

		auto origins = line.origins();

		std::ranges::copy(line.snapshots_of(), std::back_inserter(origins));
		for (const auto &path : origins) {
			const auto identity = identify(path);
			const auto &first = paths.try_emplace(identity, path).first->second;
			const auto *other = lines.try_emplace(identity, &line).first->second;

			if (!identity.empty() && first != path && line.error.empty())
				line.error.append(path)
					.append(": is the same device as ")
					.append(first)
					.append(": must be the path that ")
					.append(in_line(*other))
					.append(" has");
		}
	}
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
	struct User {
		const TabLine *line;
		Use use;
	};

	std::multimap<std::string, User> users;

	for (auto &line : lines_) {
		if (!line.error.empty())
			continue;
		for (const auto &row : line.rows) {
			for (const auto &wanted : uses_of(row)) {
				const auto [first, last] = users.equal_range(wanted.device);
				const auto found = std::find_if(first, last, [&](const auto &user) {
					return clash(wanted.use, user.second.use);
				});

				if (found != last && line.error.empty())
					line.error =
						describe_clash(wanted, in_line(*found->second.line),
							       found->second.use);
				users.insert({wanted.device, {&line, wanted.use}});
			}
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

// What has to be active before is there no later, and in the initramfs, too.
void Tab::check_options()
{
	for (auto &line : lines_) {
		for (const auto *other : before(line)) {
			const char *missing = nullptr;

			if (other->options.net_device && !line.options.net_device)
				missing = "_netdev";
			else if (line.options.initrd && !other->options.initrd)
				missing = "x-initrd.attach";
			if (missing == nullptr || !line.error.empty())
				continue;
			line.error = "field 2: '" + line.name + "' and " + in_line(*other) +
				     ", which has to be active before, must both have " + missing +
				     ", or neither";
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
