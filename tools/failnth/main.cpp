// SPDX-License-Identifier: GPL-2.0-only
// dmsc-failnth: what happens when a system call finds no memory, at each place where it wants some?
#include "../common/version.h"
#include "campaign.h"

#include <CLI/CLI.hpp>

#include <cerrno>
#include <iostream>

int main(int argc, char **argv)
{
	try {
		CLI::App app(
			"Lets the first allocation of a system call fail, then the second, "
			"and so on. A STEP is: create|resume|suspend|clear|remove|status|table "
			"DEVICE, load DEVICE TABLE, insmod FILE, or rmmod MODULE.");
		app.set_version_flag("--version", dmsc::version("dmsc-failnth"));
		dmsc::Settings settings;
		std::vector<int> errors;

		app.add_option("--before", settings.before,
			       "step to be done before each attempt; repeatable");
		app.add_option("--after", settings.after,
			       "step to be done after each success; repeatable");
		app.add_option("--finally", settings.cleanup,
			       "step to be done after each attempt; repeatable");
		app.add_flag("--again", settings.again,
			     "after a failure, the call must succeed without a fault");
		app.add_option("--stride", settings.stride,
			       "of those made one after another from the same stack, only every so "
			       "many")
			->check(CLI::PositiveNumber)
			->capture_default_str();
		app.add_option("--errno", errors, "may be given besides ENOMEM; repeatable");
		app.add_option("test", settings.test, "the step whose allocations fail")
			->required();
		try {
			app.parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			return app.exit(error) == 0 ? 0 : 2;
		}
		settings.errors.insert(ENOMEM);
		settings.errors.insert(errors.begin(), errors.end());
		dmsc::Campaign(settings, std::cout).run();
		return 0;
	} catch (const std::exception &error) {
		std::cerr << "dmsc-failnth: " << error.what() << std::endl;
		return 1;
	}
}
