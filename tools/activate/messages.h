// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_ACTIVATE_MESSAGES_H
#define DMSC_ACTIVATE_MESSAGES_H

#include <string>

namespace dmsc
{

// What device-mapper writes to the kernel's log from now on; nothing if the log cannot be read.
class Messages
{
public:
	Messages();
	~Messages();
	Messages(const Messages &) = delete;
	Messages(Messages &&) = delete;
	Messages &operator=(const Messages &) = delete;
	Messages &operator=(Messages &&) = delete;

	// The lines since the last call, with "; " between.
	std::string read();

private:
	int fd_;
};

} // namespace dmsc

#endif // DMSC_ACTIVATE_MESSAGES_H
