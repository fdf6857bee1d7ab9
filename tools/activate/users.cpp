// SPDX-License-Identifier: GPL-2.0-only
#include "users.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace dmsc
{

namespace
{

// What device-mapper calls it, if it is one of its devices.
std::string name_of(const std::filesystem::path &block)
{
	std::ifstream in(block / "dm" / "name");
	std::string name;

	return in >> name ? name : block.filename().string();
}

void add(std::string &users, const std::string &user)
{
	users += (users.empty() ? "" : ", ") + user;
}

// Lines of the kernel's file are "ID PARENT MAJOR:MINOR ROOT MOUNT-POINT ..."
void add_mounts(std::string &users, const DeviceNumber &number)
{
	std::ifstream mounts("/proc/self/mountinfo");

	for (std::string line; std::getline(mounts, line);) {
		std::istringstream words(line);
		std::string skipped;
		std::string device;
		std::string point;

		if (words >> skipped >> skipped >> device >> skipped >> point &&
		    device == to_string(number))
			add(users, "it is mounted on " + point);
	}
}

} // namespace

std::string users_of(const std::string &path)
{
	const auto number = number_at(path);
	std::string users;
	std::error_code none;

	if (!number)
		return users;
	for (const auto &holder : std::filesystem::directory_iterator(
		     "/sys/dev/block/" + to_string(*number) + "/holders", none))
		add(users, "'" + name_of(std::filesystem::canonical(holder.path(), none)) +
				   "' stands on it");
	add_mounts(users, *number);
	return users;
}

std::string mounts_of(const std::string &path)
{
	const auto number = number_at(path);
	std::string users;

	if (number)
		add_mounts(users, *number);
	return users;
}

std::string mapped_name(const DeviceNumber &number)
{
	std::ifstream in("/sys/dev/block/" + to_string(number) + "/dm/name");
	std::string name;

	in >> name;
	return name;
}

} // namespace dmsc
