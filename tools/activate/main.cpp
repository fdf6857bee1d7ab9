// SPDX-License-Identifier: GPL-2.0-only
// Checks /etc/dm-scaledtab, and activates what is in it.
#include "../common/command_line.h"
#include "activation.h"

#include <algorithm>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

struct Options {
	std::string file = dmsc::kTabPath;
	std::string name;
	bool all = false;
	bool initrd = false;
};

dmsc::Tab read_tab(const Options &options)
{
	std::ifstream in(options.file);

	if (!in)
		throw std::runtime_error(options.file + ": there is no such file");
	return dmsc::Tab(in);
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
	const auto tab = read_tab(options);

	for (const auto &line : tab.lines()) {
		if (line.error.empty())
			continue;
		complain(options, line, line.error);
		wrong = 1;
	}
	return wrong;
}

// Those that are activated when the machine starts, or in the initramfs.
std::vector<const dmsc::TabLine *> chosen(const dmsc::Tab &tab, const Options &options)
{
	auto lines = tab.in_order();

	std::erase_if(lines, [&](const dmsc::TabLine *line) {
		return line->options.no_auto || (options.initrd && !line->options.initrd);
	});
	return lines;
}

int start(const Options &options)
{
	int failed = 0;
	const auto tab = read_tab(options);
	std::vector<const dmsc::TabLine *> lines;

	if (options.all || options.initrd)
		lines = chosen(tab, options);
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
		const auto tab = read_tab(options);

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

using Command = dmsc::Command<Options>;

// Sets which command was given, when the line is parsed.
void add_commands(CLI::App &app, Options &options, Command &command)
{
	const auto add = [&](const std::string &name, const std::string &help, Command function) {
		auto *sub = app.add_subcommand(name, help);

		sub->add_option("--file", options.file, "instead of " + options.file);
		sub->callback([&command, function] { command = function; });
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
	app.final_callback([&options, &app] {
		if (options.name.empty() && !options.all && !options.initrd &&
		    !app.got_subcommand("check"))
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
