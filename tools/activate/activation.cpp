// SPDX-License-Identifier: GPL-2.0-only
#include "activation.h"

#include "../common/clone_layout.h"
#include "../tab/use.h"
#include "contents.h"
#include "dmsetup.h"
#include "lock.h"
#include "messages.h"
#include "suspended.h"
#include "tables.h"
#include "users.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <stdexcept>

#include <sys/utsname.h>

namespace dmsc
{

namespace
{

std::string quoted(const std::string &name)
{
	return "'" + name + "'";
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

// By its path alone: it is what another line has as its origin, or what another line makes once it
// is active. So it is not the origin that is to be activated now.
bool is_elsewhere(const Tab &tab, const TabLine &line, const Tables &tables,
		  const std::string &path)
{
	return std::ranges::any_of(tab.lines(), [&](const TabLine &other) {
		const auto origins = other.origins();

		return &other != &line && other.error.empty() &&
		       (std::ranges::find(origins, path) != origins.end() ||
			(other.node() == path && !tables.contains(other.name)));
	});
}

// What the line is a snapshot of; if it is wrong, all that may be a device.
std::vector<std::string> may_be_snapshot_of(const TabLine &line)
{
	std::vector<std::string> words;

	if (line.error.empty())
		return line.snapshots_of();
	std::ranges::copy_if(line.words, std::back_inserter(words), [](const std::string &word) {
		return word.find_first_of("/=") != std::string::npos;
	});
	return words;
}

void check_snapshot(const Tab &tab, const TabLine &line, const Tables &tables,
		    const Numbers &origins, const TabLine &other)
{
	const auto where = "line " + std::to_string(other.number);
	const auto missed = " would not see what is written to " + quoted(line.name);
	const auto paths = may_be_snapshot_of(other);
	const auto found = std::ranges::find_if(paths, [&](const std::string &path) {
		const auto number = number_at(path);

		return number ? origins.contains(*number) : !is_elsewhere(tab, line, tables, path);
	});

	if (!other.error.empty() && paths.empty())
		throw std::runtime_error(where + " is wrong, and may be a snapshot, which" +
					 missed + ": mend or remove it first: " + other.error);
	if (found == paths.end())
		return;

	const auto is_there = number_at(*found).has_value();

	if (!other.error.empty())
		throw std::runtime_error(where + ", which has " + *found +
					 (is_there ? "" : ", of which nothing is known,") +
					 ", is wrong, and a snapshot" + missed +
					 ": mend or remove it first: " + other.error);
	if (!is_there)
		throw std::runtime_error(
			quoted(other.name) + " (" + where + ") is a snapshot of " + *found +
			", which is not there, and may be another path of the same device; it" +
			missed + ": must have the path of its origin's line, or be removed from " +
			"the file");
	if (!is_active(tables, other))
		throw std::runtime_error(
			"its snapshot " + quoted(other.name) + " (" + where +
			") is not active, as its line has it, and" + missed +
			": must be active before, or, if it is given up, be removed from the file");
}

// An origin's snapshots have to be active; whatever path their lines have for its device.
void check_snapshots(const Tab &tab, const TabLine &line, const Tables &tables,
		     const Numbers &origins)
{
	if (origins.empty())
		return;
	for (const auto &other : tab.lines())
		if (&other != &line)
			check_snapshot(tab, line, tables, origins, other);
}

struct ActiveUse {
	std::string name;
	DeviceUse use;
};

std::vector<ActiveUse> active_uses(const Tables &tables)
{
	std::vector<ActiveUse> all;

	for (const auto &[name, targets] : tables)
		for (const auto &target : targets)
			for (const auto &use : uses_of(row_of(target)))
				all.push_back({name, use});
	return all;
}

// Mapped devices may share those below, and the kernel does not mind. It minds two users of a COW
// or metadata device, and says so better.
void check_uses(const TabLine &line, const Table &table, const Tables &tables)
{
	const auto active = active_uses(tables);

	for (std::size_t i = 0; i < table.targets.size(); i++) {
		const auto named = uses_of(line.rows[i]);
		const auto wanted = uses_of(row_of(table.targets[i]));

		for (std::size_t j = 0; j < wanted.size(); j++) {
			const auto &device = wanted[j].device;
			const auto use = wanted[j].use;
			const auto found = std::ranges::find_if(active, [&](const auto &other) {
				const auto has = other.use.use;

				return other.use.device == device && clash(use, has) &&
				       !(is_owned(use) && is_owned(has));
			});

			if (found != active.end())
				throw std::runtime_error(describe_clash(
					named[j], quoted(found->name) + ", which is active,",
					found->use.use));
		}
	}
}

// A snapshot of what is above an origin would see no write to it, but those of an origin above
// that.
void check_below(const Tab &tab, const TabLine &line, const Tables &tables)
{
	for (const auto &path : line.snapshots_of()) {
		const auto number = number_at(path).value_or(DeviceNumber{});
		const auto name = mapped_name(number);
		const auto found = tables.find(name);
		const auto has_it = [&](const std::string &other) {
			return number_at(other) == number;
		};

		if (found == tables.end() || origins_of(found->second).empty() ||
		    !active_origins(tables, {number}, line.name).empty() ||
		    std::ranges::any_of(tab.lines(), [&](const TabLine &other) {
			    return std::ranges::any_of(other.origins(), has_it);
		    }))
			continue;
		throw std::runtime_error(path + ": must be the device below " + quoted(name) +
					 ": only its snapshots see what is written to " +
					 quoted(name));
	}
}

// What the kernel would take for new must be.
void check_contents(const TabLine &line)
{
	for (const auto &row : line.rows) {
		const auto role = row.role();

		if ((role == Role::snapshot || role == Role::merge) && row.arguments[2] != "N")
			check_blank(row.arguments[1], sizeof(std::uint32_t));
		else if (role == Role::clone)
			check_blank(row.arguments[0], row.target == "clone"
							      ? kCloneBlock
							      : kCloneSupers * kCloneBlock);
	}
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
						 "device. It can only be begun anew: " +
						 blank_command(cow));
	}
}

// The origins stand still when it begins. One of them may have the root file system: all that has
// to be read and all that waits for udev is done before and after.
void create_beside(const std::string &name, const Table &table,
		   const std::vector<std::string> &active)
{
	dmsetup::Loaded loaded(name, table);
	const BlockedSignals blocked;
	const LockedMemory locked;
	std::deque<Suspended> suspended;

	for (const auto &origin : active)
		suspended.emplace_back(origin);
	loaded.resume();
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
	const auto below = snapshots_of(table.targets);
	auto concerned = origins;

	concerned.insert(below.begin(), below.end());

	const auto locks = lock_all(concerned);
	const auto tables = dmsetup::tables();

	if (tables.contains(line.name)) {
		const auto different = difference(tables, line.name, table);

		if (!different.empty())
			throw std::runtime_error(different);
		return;
	}
	check_snapshots(tab, line, tables, origins);
	if (const auto active = active_origins(tables, origins, line.name); !active.empty())
		throw std::runtime_error(quoted(active.front()) +
					 " is active on the same device: must be one origin");
	check_uses(line, table, tables);
	check_below(tab, line, tables);

	const auto active = active_origins(tables, below, line.name);
	Messages messages;

	check_new(line, table, active);
	check_contents(line);
	try {
		if (active.empty())
			dmsetup::create(line.name, table);
		else
			create_beside(line.name, table, active);
	} catch (const std::runtime_error &error) {
		explain(line, table, error.what(), messages);
	}
	if (!active.empty())
		dmsetup::wait_for_node(line.name);
}

void deactivate(const std::string &name)
{
	auto tables = dmsetup::tables();
	const auto found = tables.find(name);

	if (found == tables.end())
		return;

	const auto kept = persistent_snapshots_of(found->second);
	auto concerned = snapshots_of(found->second);

	concerned.merge(origins_of(found->second));

	std::optional<NoHold> no_hold;

	if (!snapshots_of(found->second).empty())
		no_hold.emplace();

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
