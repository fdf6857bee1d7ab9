// SPDX-License-Identifier: GPL-2.0-only
// What the tools for users do with their arguments: each has subcommands.
#ifndef DMSC_COMMON_COMMAND_LINE_H
#define DMSC_COMMON_COMMAND_LINE_H

#include "version.h"

#include <CLI/CLI.hpp>

#include <exception>
#include <iostream>

namespace dmsc
{

template <typename Options> using Command = int (*)(const Options &);

// Does the command that the arguments name. "add_commands" sets which one that is, when they are
// parsed. 2 is the exit code for wrong arguments and for errors that no command has dealt with.
template <typename Options>
int run_command(int argc, char **argv, const char *name, const char *about,
		void (*add_commands)(CLI::App &, Options &, Command<Options> &))
{
	try {
		CLI::App app(about);
		app.set_version_flag("--version", version(name));
		Options options;
		Command<Options> command = nullptr;

		add_commands(app, options, command);
		try {
			app.parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			return app.exit(error) == 0 ? 0 : 2;
		}
		return command(options);
	} catch (const std::exception &error) {
		std::cerr << name << ": " << error.what() << std::endl;
		return 2;
	}
}

} // namespace dmsc

#endif
