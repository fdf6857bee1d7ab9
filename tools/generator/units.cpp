// SPDX-License-Identifier: GPL-2.0-only
#include "units.h"

#include "../tab/unit_name.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace dmsc
{

namespace
{

constexpr const char *kTarget = "dm-scaled.target";
constexpr const char *kRemoteTarget = "remote-fs.target";
constexpr const char *kDropIn = "40-dm-scaled.conf";
// After those that administrators make.
constexpr const char *kLateDropIn = "zz-dm-scaled.conf";

std::string unit_of(const TabLine &line)
{
	return "dm-scaled@" + escape_name(line.name) + ".service";
}

std::string device_unit(const std::string &path)
{
	return escape_path(path) + ".device";
}

// What prepares a device and is done when others may use it.
std::string prepared(const std::string &path)
{
	return "blockdev@" + escape_path(path) + ".target";
}

// What systemd needs to know of a line.
class Unit
{
public:
	Unit(const Tab &tab, const TabLine &line) : line_(line)
	{
		if (!line.error.empty())
			return; // fails at once, and says why
		for (const auto &device : line.devices())
			bind(device);
		for (const auto *other : tab.before(line)) {
			const auto devices = line.devices();

			if (std::ranges::find(devices, other->node()) != devices.end())
				requires_ += " " + unit_of(*other);
			else
				wants_ += " " + unit_of(*other);
			after_ += " " + unit_of(*other);
		}
	}

	[[nodiscard]] std::string text(const std::string &source) const
	{
		const auto blockdev = prepared(line_.node());
		std::ostringstream out;

		out << "# Made by dm-scaled-generator from line " << line_.number << " of "
		    << source << "\n[Unit]\nDescription=Device " << line_.name
		    << " of dm-scaledtab\nDocumentation=man:dm-scaledtab(5) man:dmsc-tab(8)\n"
		    << "SourcePath=" << source << "\nDefaultDependencies=no\nIgnoreOnIsolate=yes\n";
		if (!binds_to_.empty())
			out << "BindsTo=" << binds_to_.substr(1) << '\n';
		if (!requires_.empty())
			out << "Requires=" << requires_.substr(1) << '\n';
		out << "Wants=" << blockdev << (is_waited_for() ? " local-fs-pre.target" : "")
		    << wants_ << "\nAfter=systemd-udevd-kernel.socket"
		    << (line_.options.net_device ? " remote-fs-pre.target" : "") << after_
		    << "\nBefore=" << blockdev;
		if (!line_.options.no_fail)
			out << ' ' << target();
		// An origin is not mounted by the UUID of its file system before it has its
		// snapshots, and mounts by UUID are gone when it is removed.
		if (is_waited_for())
			out << " local-fs-pre.target";
		// What the initramfs has activated is in use until the very end. Others are stopped
		// with their device, if that goes without them, so that they can be started again.
		if (!line_.options.initrd)
			out << " umount.target\nConflicts=umount.target\nStopPropagatedFrom="
			    << device_unit(line_.node());
		// An instance has a slice of its template otherwise, which is stopped at shutdown,
		// and all in it.
		out << "\n\n[Service]\nSlice=system.slice\nType=oneshot\nRemainAfterExit=yes\n"
		    << "ExecStart=dmsc-tab start " << line_.name << "\nExecStop=dmsc-tab stop "
		    << line_.name << '\n';
		return out.str();
	}

	[[nodiscard]] const char *target() const
	{
		return line_.options.net_device ? kRemoteTarget : kTarget;
	}

private:
	[[nodiscard]] bool is_waited_for() const
	{
		return !line_.options.no_fail && !line_.options.no_auto &&
		       !line_.options.net_device;
	}

	void bind(const std::string &device)
	{
		binds_to_ += " " + device_unit(device);
		after_ += " " + device_unit(device) + " " + prepared(device);
	}

	const TabLine &line_;
	std::string binds_to_;
	std::string requires_;
	std::string wants_;
	std::string after_;
};

void write(const std::filesystem::path &path, const std::string &text)
{
	create_directories(path.parent_path());

	std::ofstream out(path);

	out << text;
	if (!out.flush())
		throw std::runtime_error("cannot write " + path.string());
}

// "wants" or "requires" of a unit for another one.
void link(const std::filesystem::path &folder, const std::string &from, const char *how,
	  const std::string &to)
{
	const auto path = folder / (from + "." + how) / to;

	create_directories(path.parent_path());
	create_symlink("../" + to, path);
}

// The unit of a line, and how it is found.
void write_line(const Tab &tab, const TabLine &line, const std::string &source,
		const std::filesystem::path &folder)
{
	const Unit unit(tab, line);
	const auto device = device_unit(line.node());

	write(folder / unit_of(line), unit.text(source));
	// Whoever waits for the device starts it, and hears at once if that fails; loading
	// a large snapshot takes its time.
	link(folder, device, "requires", unit_of(line));
	write(folder / (device + ".d") / kDropIn,
	      "# Made by dm-scaled-generator\n[Unit]\nJobRunningTimeoutSec=infinity\n");
	if (!line.options.no_auto)
		link(folder, unit.target(), line.options.no_fail ? "wants" : "requires",
		     unit_of(line));
}

void write_target(const std::string &source, const std::filesystem::path &folder)
{
	write(folder / kTarget, "# Made by dm-scaled-generator\n[Unit]\nDescription=Devices of "
				"dm-scaledtab\nDocumentation=man:dm-scaledtab(5)\n"
				"SourcePath=" +
					source + "\n");
	link(folder, "sysinit.target", "wants", kTarget);
}

} // namespace

// LVM's blkdeactivate removes what is not open: while an origin is still in use, its snapshots. It
// cannot come after our units are stopped: iscsi.service comes after the network, which comes after
// local file systems; and it should not wait for our units to be started. What it is told is what
// LVM's own unit has.
void keep_snapshots(const std::filesystem::path &folder)
{
	write(folder / "blk-availability.service.d" / kLateDropIn,
	      "# Made by dm-scaled-generator: blkdeactivate would remove snapshots of origins in "
	      "use.\n[Service]\nExecStop=\nExecStop=dmsc-tab hold -- blkdeactivate -u -l wholevg "
	      "-m disablequeueing -r wait\n");
}

std::vector<std::string> write_units(const Tab &tab, const std::string &source,
				     const std::filesystem::path &folder, bool in_initrd)
{
	std::vector<const TabLine *> lines;
	std::vector<std::string> errors;

	for (const auto &line : tab.lines())
		if (!line.name.empty() && (!in_initrd || line.options.initrd))
			lines.push_back(&line);
	if (lines.empty())
		return errors;
	write_target(source, folder);
	for (const auto *line : lines) {
		try {
			write_line(tab, *line, source, folder);
		} catch (const std::exception &error) {
			errors.push_back("unit of '" + line->name + "': " + error.what());
		}
	}
	return errors;
}

} // namespace dmsc
