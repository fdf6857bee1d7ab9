// SPDX-License-Identifier: GPL-2.0-only
// Locks on ranges of sectors: many readers or one writer per sector.
#ifndef DMSC_RANGE_LOCK_H
#define DMSC_RANGE_LOCK_H

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>

namespace dmsc
{

struct Range {
	std::uint64_t first = 0; // sector
	std::uint64_t count = 0; // sectors

	[[nodiscard]] std::uint64_t end() const { return first + count; }
	[[nodiscard]] bool overlaps(const Range &other) const
	{
		return first < other.end() && other.first < end();
	}
};

// Requests are served in order of arrival where they overlap, so that no writer starves. A thread
// that needs ranges of several devices takes them in the order of the devices.
class RangeLock
{
	struct Request {
		Range range;
		bool exclusive;
	};

public:
	class Guard
	{
	public:
		Guard(RangeLock &lock, Range range, bool exclusive);
		~Guard();
		Guard(const Guard &) = delete;
		Guard &operator=(const Guard &) = delete;

	private:
		RangeLock &lock_;
		std::list<Request>::iterator request_;
	};

private:
	[[nodiscard]] bool blocked(std::list<Request>::const_iterator request) const;

	std::mutex mutex_;
	std::condition_variable released_;
	std::list<Request> requests_; // held and waiting, oldest first
};

} // namespace dmsc

#endif // DMSC_RANGE_LOCK_H
