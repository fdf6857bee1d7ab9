// SPDX-License-Identifier: GPL-2.0-only
// dm-scaled-generator: has systemd activate the devices in /etc/dm-scaledtab. systemd.generator(7)
#include "units.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace
{

// There is no other log yet. By hand: the terminal.
void complain(bool by_hand, const std::string &text)
{
	std::ofstream log(by_hand ? "/dev/stderr" : "/dev/kmsg");

	log << (by_hand ? "" : "<3>") << "dm-scaled-generator: " << text << std::endl;
}

std::string from_environment(const char *name, const char *otherwise)
{
	// Nobody sets one meanwhile: there is one thread.
	const char *value = std::getenv(name); // NOLINT(concurrency-mt-unsafe)

	return value == nullptr ? otherwise : value;
}

} // namespace

int main(int argc, char **argv)
{
	const bool by_hand = from_environment("SYSTEMD_SCOPE", "").empty();

	try {
		const auto path = from_environment("DM_SCALED_TAB", dmsc::kTabPath);

		if (argc != 2 && argc != 4) {
			std::cerr << "usage: dm-scaled-generator FOLDER [FOLDER FOLDER]\n";
			return 2;
		}

		const bool in_initrd = from_environment("SYSTEMD_IN_INITRD", "0") == "1";

		// Whatever is in the file: snapshots may be active that it has not any more, or has
		// in a line that is wrong.
		if (!in_initrd && exists(symlink_status(std::filesystem::path(path))))
			dmsc::keep_snapshots(argv[1]);

		const auto tab = dmsc::read_tab(path);

		if (!tab)
			return 0;
		for (const auto &line : tab->lines())
			if (!line.error.empty())
				complain(by_hand, path + ":" + std::to_string(line.number) + ": " +
							  line.error);

		const auto errors = dmsc::write_units(*tab, path, argv[1], in_initrd);

		for (const auto &error : errors)
			complain(by_hand, error);
		return errors.empty() ? 0 : 1;
	} catch (const std::exception &error) {
		complain(by_hand, error.what());
		return 1;
	}
}
