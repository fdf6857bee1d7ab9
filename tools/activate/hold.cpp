// SPDX-License-Identifier: GPL-2.0-only
#include "hold.h"

#include "../common/device_number.h"
#include "dmsetup.h"
#include "lock.h"
#include "tables.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <system_error>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

// LVM has snapshots that nobody else keeps open go with their origins.
bool is_of_lvm(const std::string &node)
{
	const auto number = number_at(node);
	std::ifstream file("/sys/dev/block/" + (number ? to_string(*number) : "") + "/dm/uuid");
	std::string uuid;

	return std::getline(file, uuid) && uuid.starts_with("LVM-");
}

// One for each snapshot of which there may be many.
void allow_open_files()
{
	rlimit limit{};

	if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		::setrlimit(RLIMIT_NOFILE, &limit);
	}
}

// Stays open on purpose, in other programs, too. Returns 0 or an error.
int hold(const std::string &name)
{
	const auto node = "/dev/mapper/" + name;

	if (is_of_lvm(node))
		return 0;
	// NOLINTNEXTLINE(*-cloexec-open)
	return ::open(node.c_str(), O_RDONLY | O_NONBLOCK) < 0 ? errno : 0;
}

bool has_snapshot(const Targets &targets)
{
	return std::ranges::any_of(targets, is_snapshot);
}

} // namespace

void hold_snapshots()
{
	std::map<std::string, int> failed;

	try {
		begin_hold();
	} catch (const std::system_error &error) {
		// What is open is not removed; without the lock, stopping it fails instead of
		// waiting.
		std::cerr << error.what() << std::endl;
	}
	allow_open_files();
	for (const auto &[name, targets] : dmsetup::tables())
		if (has_snapshot(targets))
			if (const int error = hold(name); error != 0)
				failed[name] = error;
	if (failed.empty())
		return;

	// It may have been removed meanwhile.
	const auto tables = dmsetup::tables();

	for (const auto &[name, error] : failed)
		if (const auto found = tables.find(name);
		    found != tables.end() && has_snapshot(found->second))
			throw std::system_error(error, std::generic_category(),
						"/dev/mapper/" + name);
}

void become(const std::vector<std::string> &words)
{
	std::vector<char *> arguments;

	arguments.reserve(words.size() + 1);
	for (const auto &word : words)
		arguments.push_back(const_cast<char *>(word.c_str())); // as exec() has it
	arguments.push_back(nullptr);
	// LVM's programs would complain of what is open.
	::setenv("LVM_SUPPRESS_FD_WARNINGS", "1", 1);
	::execvp(arguments[0], arguments.data());
	throw std::system_error(errno, std::generic_category(), words[0]);
}

} // namespace dmsc
