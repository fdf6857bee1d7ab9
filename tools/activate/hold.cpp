// SPDX-License-Identifier: GPL-2.0-only
#include "hold.h"

#include "lock.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

// Nothing if it is not active. Otherwise it stays open on purpose, in other programs, too.
void hold(const std::string &node)
{
	// NOLINTNEXTLINE(*-cloexec-open)
	if (::open(node.c_str(), O_RDONLY | O_NONBLOCK) < 0 && errno != ENOENT && errno != ENXIO &&
	    errno != ENODEV)
		throw std::system_error(errno, std::generic_category(), node);
}

} // namespace

void hold_snapshots(const Tab &tab)
{
	begin_hold();
	for (const auto &line : tab.lines())
		if (!line.name.empty() && (!line.error.empty() || !line.snapshots_of().empty()))
			hold(line.node());
}

void become(const std::vector<std::string> &words)
{
	std::vector<char *> arguments;

	arguments.reserve(words.size() + 1);
	for (const auto &word : words)
		arguments.push_back(const_cast<char *>(word.c_str())); // as exec() has it
	arguments.push_back(nullptr);
	::execvp(arguments[0], arguments.data());
	throw std::system_error(errno, std::generic_category(), words[0]);
}

} // namespace dmsc
