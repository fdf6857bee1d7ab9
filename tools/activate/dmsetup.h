// SPDX-License-Identifier: GPL-2.0-only
// dmsetup, which waits for udev as we could not: there is no static libdevmapper.
#ifndef DMSC_ACTIVATE_DMSETUP_H
#define DMSC_ACTIVATE_DMSETUP_H

#include "../common/control.h"
#include "../common/table.h"

#include <map>
#include <string>
#include <vector>

namespace dmsc
{

using Targets = std::vector<Target>;

// All functions throw std::runtime_error with what dmsetup has said.
namespace dmsetup
{

// Of all devices; without targets if a device has no live table.
std::map<std::string, Targets> tables();
// Those that the kernel has now.
bool has_target(const std::string &type);
void create(const std::string &name, const Table &table);
void remove(const std::string &name);
// Of a device that was resumed without dmsetup: makes it where there is no udev that does.
void wait_for_node(const std::string &name);

// A device that has its table, and does not use it yet. Is removed if it never does.
class Loaded
{
public:
	Loaded(std::string name, const Table &table);
	~Loaded();
	Loaded(const Loaded &) = delete;
	Loaded(Loaded &&) = delete;
	Loaded &operator=(const Loaded &) = delete;
	Loaded &operator=(Loaded &&) = delete;

	// Without dmsetup, and without waiting for udev.
	void resume();

private:
	std::string name_;
	Control control_;
	bool resumed_ = false;
};

} // namespace dmsetup

} // namespace dmsc

#endif // DMSC_ACTIVATE_DMSETUP_H
