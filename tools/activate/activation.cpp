// SPDX-License-Identifier: GPL-2.0-only
#include "activation.h"

#include "../common/cow_layout.h"
#include "../common/device_number.h"
#include "../common/little_endian.h"
#include "dmsetup.h"
#include "lock.h"
#include "messages.h"
#include "suspended.h"
#include "users.h"

#include <algorithm>
#include <array>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <stdexcept>

#include <sys/utsname.h>

namespace dmsc
{

namespace
{

using Numbers = std::set<DeviceNumber>;
using Tables = std::map<std::string, Targets>;

std::string quoted(const std::string &name)
{
	return "'" + name + "'";
}

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

std::vector<std::string> words_of(const Target &target)
{
	std::istringstream in(target.params);
	std::vector<std::string> words;

	for (std::string word; in >> word;)
		words.push_back(word);
	return words;
}

// With numbers of devices, as the kernel shows it.
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

// Features may have been changed by messages, and the COW device knows its chunks: of our own
// targets the devices count, and whether a snapshot is persistent.
bool is_same(const Target &wanted, const Target &shown)
{
	const auto role = role_of(wanted.type);
	auto a = words_of(wanted);
	auto b = words_of(shown);

	if (wanted.start != shown.start || wanted.length != shown.length ||
	    wanted.type != shown.type)
		return false;
	if (role != Role::other) {
		const auto kept = devices_of(role);

		if (a.size() < kept || b.size() < kept)
			return false;
		if (role == Role::snapshot && a.size() > kept && b.size() > kept &&
		    (a[kept] == "N") != (b[kept] == "N"))
			return false;
		a.resize(kept);
		b.resize(kept);
	}
	return a == b;
}

std::string text_of(const Targets &targets)
{
	std::string text;

	for (const auto &target : targets)
		text += (text.empty() ? "" : ", ") + std::to_string(target.start) + " " +
			std::to_string(target.length) + " " + target.type + " " + target.params;
	return text;
}

bool is_active(const Tables &tables, const std::string &name, const Table &table)
{
	const auto found = tables.find(name);

	return found != tables.end() && std::ranges::equal(table.targets, found->second, is_same);
}

// Also if its devices are not there.
bool is_active(const Tables &tables, const TabLine &line)
{
	if (!tables.contains(line.name))
		return false;
	try {
		return is_active(tables, line.name, table_of(line));
	} catch (const std::runtime_error &) {
		return false;
	}
}

// The first devices of targets with such roles.
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

Numbers origins_of(const Targets &targets)
{
	return first_devices(targets,
			     [](const Target &target) { return is_origin(role_of(target.type)); });
}

bool is_snapshot(const Target &target)
{
	return role_of(target.type) == Role::snapshot;
}

// Whether it will still be there after the next start.
bool is_persistent(const Target &target)
{
	const auto words = words_of(target);

	return words.size() > 2 && words[2] != "N";
}

// Active devices but this one that writes to one of those go through.
std::vector<std::string> active_origins(const Tables &tables, const Numbers &numbers,
					const std::string &but)
{
	std::vector<std::string> names;

	for (const auto &[name, targets] : tables)
		if (name != but && std::ranges::any_of(origins_of(targets), [&](const auto &one) {
			    return numbers.contains(one);
		    }))
			names.push_back(name);
	return names;
}

// An origin's snapshots have to be active; whatever path their lines have for its device.
void check_snapshots(const Tab &tab, const TabLine &line, const Tables &tables,
		     const Numbers &origins)
{
	for (const auto &other : tab.lines()) {
		const auto &paths = other.error.empty() ? other.snapshots_of() : other.words;
		const auto has_it = [&](const std::string &path) {
			const auto number =
				path.starts_with("/dev/") ? number_at(path) : std::nullopt;

			return number && origins.contains(*number);
		};
		const auto path = std::ranges::find_if(paths, has_it);
		const auto where = " (line " + std::to_string(other.number) + ")";

		if (&other == &line || path == paths.end())
			continue;
		if (!other.error.empty())
			throw std::runtime_error(
				"line " + std::to_string(other.number) + ", which has " + *path +
				", is wrong, and a snapshot would not see what is written to " +
				quoted(line.name) + ": mend or remove it first: " + other.error);
		if (!is_active(tables, other))
			throw std::runtime_error(
				"its snapshot " + quoted(other.name) + where +
				" is not active, and would not see what is written to " +
				quoted(line.name) +
				": must be active before, or, if it is given "
				"up, be removed from the file");
	}
}

// Something was copied to its COW device before. What is there is not ours to judge.
bool has_snapshot(const std::string &cow)
{
	std::ifstream in(cow, std::ios::binary);
	std::array<char, 4> magic{};

	in.read(magic.data(), magic.size());
	return in &&
	       load_little_endian(std::as_bytes(std::span(magic)), 0, magic.size()) == kCowMagic;
}

// A snapshot that begins now needs a moment at which nothing is written.
void check_new(const TabLine &line, const Table &table, const std::vector<std::string> &active)
{
	for (std::size_t i = 0; i < table.targets.size(); i++) {
		const auto &target = table.targets[i];

		if (active.empty() || !is_snapshot(target) || !is_persistent(target))
			continue;

		const auto &cow = line.rows[i].arguments[1];

		if (has_snapshot(cow))
			throw std::runtime_error(quoted(active.front()) +
						 " is active without it: what was written to " +
						 line.rows[i].arguments[0] +
						 " since is missing from the snapshot on its COW "
						 "device. It can only be "
						 "begun anew: dd if=/dev/zero of=" +
						 cow + " bs=4k count=1 oflag=direct");
	}
}

// The origins stand still when it begins. One of them may have the root file system: all that has
// to be read and all that waits for udev is done before and after.
void create_beside(const std::string &name, const Table &table,
		   const std::vector<std::string> &active)
{
	dmsetup::Loaded loaded(name, table);

	{
		const LockedMemory locked;
		std::deque<Suspended> suspended;

		for (const auto &origin : active)
			suspended.emplace_back(origin);
		loaded.resume();
	}
	dmsetup::make_node(name);
}

std::string kernel_release()
{
	utsname names{};

	return ::uname(&names) == 0 ? names.release : "this kernel";
}

[[noreturn]] void explain(const TabLine &line, const Table &table, const std::string &error,
			  Messages &messages)
{
	for (const auto &target : table.targets)
		if (!dmsetup::has_target(target.type))
			throw std::runtime_error(
				"the kernel has no target " + target.type + ": " +
				(role_of(target.type) == Role::other
					 ? "its module"
					 : "module dm-scaled (or dm-" + target.type + ")") +
				" is not there for " + kernel_release() +
				", or cannot be loaded: try modprobe dm-" + target.type);

	auto said = messages.read();

	if (said.empty())
		said = error;
	for (const auto &path : line.devices())
		if (const auto mounts = mounts_of(path); !mounts.empty())
			said.append("; ").append(path).append(": ").append(mounts);
	throw std::runtime_error("the kernel refuses the table, " + text_of(table.targets) + ": " +
				 said);
}

} // namespace

void activate(const Tab &tab, const TabLine &line)
{
	if (!line.error.empty())
		throw std::runtime_error(line.error);

	const auto table = table_of(line);
	const auto origins = origins_of(table.targets);
	const auto snapshots_of = first_devices(table.targets, is_snapshot);
	auto concerned = origins;

	concerned.insert(snapshots_of.begin(), snapshots_of.end());

	const auto locks = lock_all(concerned);
	const auto tables = dmsetup::tables();

	if (const auto found = tables.find(line.name); found != tables.end()) {
		if (!is_active(tables, line.name, table))
			throw std::runtime_error(
				"there is a device of that name already: its table is " +
				(found->second.empty() ? "empty" : text_of(found->second)) +
				", must be " + text_of(table.targets));
		return;
	}
	check_snapshots(tab, line, tables, origins);
	if (const auto active = active_origins(tables, origins, line.name); !active.empty())
		throw std::runtime_error(quoted(active.front()) +
					 " is active on the same device: must be one origin");

	const auto active = active_origins(tables, snapshots_of, line.name);
	Messages messages;

	check_new(line, table, active);
	try {
		if (active.empty())
			dmsetup::create(line.name, table);
		else
			create_beside(line.name, table, active);
	} catch (const std::runtime_error &error) {
		explain(line, table, error.what(), messages);
	}
}

void deactivate(const std::string &name)
{
	auto tables = dmsetup::tables();
	const auto found = tables.find(name);

	if (found == tables.end())
		return;

	auto concerned = first_devices(found->second, is_snapshot);
	const auto kept = first_devices(found->second, [](const Target &target) {
		return is_snapshot(target) && is_persistent(target);
	});

	concerned.merge(origins_of(found->second));

	const auto locks = lock_all(concerned);

	tables = dmsetup::tables();
	if (const auto active = active_origins(tables, kept, name); !active.empty())
		throw std::runtime_error(
			quoted(active.front()) +
			" is active: what is written to it would be missing from the snapshot. It "
			"must be stopped before; to give up the snapshot: dmsetup remove " +
			name + ", and remove its line from the file");
	try {
		dmsetup::remove(name);
	} catch (const std::runtime_error &error) {
		const auto users = users_of("/dev/mapper/" + name);

		throw std::runtime_error("cannot be removed: " +
					 (users.empty() ? error.what() : users));
	}
}

} // namespace dmsc
