// SPDX-License-Identifier: GPL-2.0-only
// /etc/dm-scaledtab, the devices that are activated when the machine starts: dm-scaledtab(5).
#ifndef DMSC_TAB_TAB_H
#define DMSC_TAB_TAB_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dmsc
{

constexpr const char *kTabPath = "/etc/dm-scaledtab";

// What a target does with its devices, whether it is ours or stock's.
enum class Role { other, origin, snapshot, merge, clone };

Role role_of(std::string_view target);
// How many arguments are devices; they come first.
std::size_t devices_of(Role role);
// Whether writes to the first device go through it, so that its snapshots must be active before.
bool is_origin(Role role);

// A line of a table.
struct TabRow {
	std::optional<std::uint64_t> start;  // nothing: the row is the whole device,
	std::optional<std::uint64_t> length; // and has the size of what it stands on
	std::string target;
	std::vector<std::string> arguments;

	[[nodiscard]] Role role() const { return role_of(target); }
};

struct TabOptions {
	bool no_auto = false;
	bool no_fail = false;
	bool net_device = false;
	bool read_only = false;
	bool initrd = false;
};

// Also of a line that is wrong, on its own or beside others: it may be a snapshot of whatever
// device its words mean.
struct TabLine {
	std::size_t number = 0;
	std::string name; // empty: not even that is usable
	TabOptions options;
	std::vector<TabRow> rows;
	std::vector<std::string> words; // all, with the paths that tags stand for
	std::string error;

	// Paths, each once, in the order in which they appear.
	[[nodiscard]] std::vector<std::string> devices() const;
	// Those that are written to through it, and those that it is a snapshot of.
	[[nodiscard]] std::vector<std::string> origins() const;
	[[nodiscard]] std::vector<std::string> snapshots_of() const;
	[[nodiscard]] std::string node() const { return "/dev/mapper/" + name; }
};

class Tab
{
public:
	// Throws std::runtime_error if the file cannot be read to its end: what follows might be a
	// snapshot.
	explicit Tab(std::istream &in);

	// Has each origin be called by one path, as order is a matter of paths. "identify" gives
	// what all paths of a device have in common, or nothing if there is no device.
	void check_paths(const std::function<std::string(const std::string &)> &identify);

	[[nodiscard]] const std::vector<TabLine> &lines() const { return lines_; }
	// Nothing if there is no such line.
	[[nodiscard]] const TabLine *find(std::string_view name) const;
	// What has to be active before that line is: devices of the file that it stands on, and
	// snapshots of the origins that it has.
	[[nodiscard]] std::vector<const TabLine *> before(const TabLine &line) const;
	// All lines that have a name, each behind those that have to be active before.
	[[nodiscard]] std::vector<const TabLine *> in_order() const;
	// Of these those that are chosen, and what has to be active before them.
	[[nodiscard]] std::vector<const TabLine *>
	in_order(const std::function<bool(const TabLine &)> &is_chosen) const;

private:
	void check_names();
	void check_devices();
	void check_origins();
	void check_options();
	void check_order();

	std::vector<TabLine> lines_;
};

// Nothing: there is no such file. Throws std::runtime_error if it cannot be read.
std::optional<Tab> read_tab(const std::string &path);

} // namespace dmsc

#endif // DMSC_TAB_TAB_H
