// SPDX-License-Identifier: GPL-2.0-only
// /etc/dm-scaledtab, the devices that are activated when the machine starts: dm-scaledtab(5).
#ifndef DMSC_TAB_TAB_H
#define DMSC_TAB_TAB_H

#include <cstddef>
#include <cstdint>
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

// Also of a line that is wrong: then what was understood of it, and all its words.
struct TabLine {
	std::size_t number = 0;
	std::string name; // empty: not even that is usable
	TabOptions options;
	std::vector<TabRow> rows;
	std::vector<std::string> words; // behind the options
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
	explicit Tab(std::istream &in);

	[[nodiscard]] const std::vector<TabLine> &lines() const { return lines_; }
	// Nothing if there is no such line.
	[[nodiscard]] const TabLine *find(std::string_view name) const;
	// What has to be active before that line is: devices of the file that it stands on, and
	// snapshots of the origins that it has.
	[[nodiscard]] std::vector<const TabLine *> before(const TabLine &line) const;
	// All lines that have a name, each behind those that have to be active before.
	[[nodiscard]] std::vector<const TabLine *> in_order() const;

private:
	void check_names();
	void check_devices();
	void check_origins();
	void check_order();

	std::vector<TabLine> lines_;
};

} // namespace dmsc

#endif // DMSC_TAB_TAB_H
