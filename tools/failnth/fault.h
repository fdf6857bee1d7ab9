// SPDX-License-Identifier: GPL-2.0-only
// The kernel's fault injection for one thread.
#ifndef DMSC_FAULT_H
#define DMSC_FAULT_H

#include <functional>
#include <string>
#include <tuple>
#include <vector>

namespace dmsc
{

// Which allocation is to fail: the nth, or, if a stack is given, one that is made from there, the
// first but skip. A stack is a number that the module dm-scaled-fault has given it.
struct Target {
	unsigned nth = 0;
	unsigned stack = 0;
	unsigned skip = 0;

	bool operator<(const Target &other) const
	{
		return std::tie(nth, stack, skip) < std::tie(other.nth, other.stack, other.skip);
	}
};

class Fault
{
public:
	Fault();
	~Fault();
	Fault(const Fault &) = delete;
	Fault &operator=(const Fault &) = delete;

	// Calls the function while an allocation fails. Returns whether there was such a one.
	[[nodiscard]] bool inject(const Target &target, const std::function<void()> &call);
	// How many allocations the last call made.
	[[nodiscard]] unsigned total() const { return total_; }
	// The stacks that they were made from, if that module knows.
	[[nodiscard]] static std::vector<unsigned> stacks();
	// Where in dm-scaled it failed, if it knows.
	[[nodiscard]] static std::string site();

private:
	void arm(unsigned nth) const;

	int fd_;
	unsigned total_ = 0;
};

} // namespace dmsc

#endif // DMSC_FAULT_H
