// SPDX-License-Identifier: GPL-2.0-only
// Memory is short: the kernel reclaims all the time, and takes back what modules keep for later.
#ifndef DMSC_SEQUENCE_PRESSURE_H
#define DMSC_SEQUENCE_PRESSURE_H

#include <string>
#include <thread>

namespace dmsc
{

// No memory is used up, as that would need a process that the kernel kills at last. What the kernel
// keeps free is raised to nearly what is free, and follows that: so allocations that may not wait
// fail when little more is taken, others wake up who reclaims, and nobody is killed.
class Pressure
{
public:
	Pressure() = default;
	// As it was before.
	~Pressure() { end(); }
	Pressure(const Pressure &) = delete;
	Pressure &operator=(const Pressure &) = delete;

	void begin();
	void end();

private:
	std::string before_;
	std::jthread follower_;
};

} // namespace dmsc

#endif // DMSC_SEQUENCE_PRESSURE_H
