// SPDX-License-Identifier: GPL-2.0-only
// Checks /etc/dm-scaledtab, and activates what is in it.
#include "../common/command_line.h"
#include "../common/device_number.h"
#include "../tab/use.h"
#include "activation.h"
#include "hold.h"

#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace
{

struct Options {
	std::string file = dmsc::kTabPath;
	std::string name;
	bool all = false;
	bool initrd = false;
	std::vector<std::string> command;
};

dmsc::Tab tab_of(const Options &options)
{
	auto tab = dmsc::read_tab(options.file);

	if (!tab)
		throw std::runtime_error(options.file + ": there is no such file");
	tab->check_paths([](const std::string &path) {
		const auto number = dmsc::number_at(path);

		return number ? dmsc::to_string(*number) : "";
	});
	return std::move(*tab);
}

// FILE:LINE: 'NAME': WHAT
void complain(const Options &options, const dmsc::TabLine &line, const std::string &what)
{
	std::cerr << options.file << ':' << line.number << ": "
		  << (line.name.empty() ? "" : "'" + line.name + "': ") << what << std::endl;
}

int check(const Options &options)
{
	int wrong = 0;
	const auto tab = tab_of(options);

	for (const auto &line : tab.lines()) {
		if (!line.error.empty()) {
			complain(options, line, line.error);
			wrong = 1;
		}
		for (const auto &device : line.devices())
			if (dmsc::is_unstable(device))
				complain(options, line,
					 "warning: " + device +
						 " may be another device after the next start: "
						 "/dev/disk/by-id/... and PARTUUID=... stay");
	}
	return wrong;
}

int start(const Options &options)
{
	int failed = 0;
	const auto tab = tab_of(options);
	std::vector<const dmsc::TabLine *> lines;

	if (options.all || options.initrd)
		lines = tab.in_order([&](const dmsc::TabLine &line) {
			return !line.options.no_auto && (!options.initrd || line.options.initrd);
		});
	else if (const auto *line = tab.find(options.name))
		lines.push_back(line);
	else
		throw std::runtime_error(options.file + ": has no line for '" + options.name + "'");
	for (const auto *line : lines) {
		try {
			dmsc::activate(tab, *line);
		} catch (const std::exception &error) {
			complain(options, *line, error.what());
			failed = 1;
		}
	}
	return failed;
}

int stop(const Options &options)
{
	int failed = 0;
	std::vector<std::string> names;

	if (options.all) {
		const auto tab = tab_of(options);

		for (const auto *line : tab.in_order())
			names.insert(names.begin(), line->name);
	} else {
		names.push_back(options.name);
	}
	for (const auto &name : names) {
		try {
			dmsc::deactivate(name);
		} catch (const std::exception &error) {
			std::cerr << "'" << name << "': " << error.what() << std::endl;
			failed = 1;
		}
	}
	return failed;
}

int hold(const Options &options)
{
	dmsc::hold_snapshots();
	dmsc::become(options.command);
}

using Command = dmsc::Command<Options>;

// Sets which command was given, when the line is parsed.
void add_commands(CLI::App &app, Options &options, Command &command)
{
	const auto add_plain = [&](const std::string &name, const std::string &help,
				   Command function) {
		auto *sub = app.add_subcommand(name, help);

		sub->callback([&command, function] { command = function; });
		return sub;
	};
	const auto add = [&](const std::string &name, const std::string &help, Command function) {
		auto *sub = add_plain(name, help, function);

		sub->add_option("--file", options.file, "instead of " + options.file);
		return sub;
	};
	const auto add_devices = [&](CLI::App *sub) {
		auto *name = sub->add_option("name", options.name, "of the device");
		auto *all = sub->add_flag("--all", options.all, "all that have no option noauto");

		all->excludes(name);
		return name;
	};

	app.require_subcommand(1);
	add("check", "print what is wrong in the file", check);

	auto *sub = add("start", "activate a device", start);
	auto *name = add_devices(sub);

	sub->add_flag("--initrd", options.initrd, "all that have the option x-initrd.attach")
		->excludes(name);
	add_devices(add("stop", "remove a device", stop));
	add_plain("hold", "run a command, which cannot remove snapshots meanwhile", hold)
		->add_option("command", options.command, "and its arguments, after --")
		->required();
	app.final_callback([&options, &app] {
		if (options.name.empty() && !options.all && !options.initrd &&
		    (app.got_subcommand("start") || app.got_subcommand("stop")))
			throw CLI::RequiredError("NAME or --all");
	});
}

} // namespace

int main(int argc, char **argv)
{
	return dmsc::run_command(
		argc, argv, "dmsc-tab",
		"Devices in /etc/dm-scaledtab, which the start of the machine activates",
		add_commands);
}
