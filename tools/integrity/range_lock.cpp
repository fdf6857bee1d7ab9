// SPDX-License-Identifier: GPL-2.0-only
#include "range_lock.h"

#include <algorithm>

namespace dmsc
{

// A request waits for every older one that it conflicts with, whether that is held or waits itself.
bool RangeLock::blocked(std::list<Request>::const_iterator request) const
{
	return std::any_of(requests_.begin(), request, [&](const Request &older) {
		return (older.exclusive || request->exclusive) &&
		       older.range.overlaps(request->range);
	});
}

RangeLock::Guard::Guard(RangeLock &lock, Range range, bool exclusive) : lock_(lock)
{
	std::unique_lock held(lock_.mutex_);

	request_ = lock_.requests_.insert(lock_.requests_.end(), Request{range, exclusive});
	lock_.released_.wait(held, [&] { return !lock_.blocked(request_); });
}

RangeLock::Guard::~Guard()
{
	{
		const std::lock_guard held(lock_.mutex_);

		lock_.requests_.erase(request_);
	}
	lock_.released_.notify_all();
}

} // namespace dmsc
