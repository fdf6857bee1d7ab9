// SPDX-License-Identifier: GPL-2.0-only
// A place where a sector is stored: what it may hold now, and what after a power cut.
#ifndef DMSC_SEQUENCE_CELL_H
#define DMSC_SEQUENCE_CELL_H

#include "values.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace dmsc
{

// Grows with each I/O that begins or ends.
using Time = std::uint64_t;

constexpr Time kBegin = 0;
constexpr Time kNever = std::numeric_limits<Time>::max();

// A power cut leaves what was there when the last successful flush was submitted, or what any write
// has written that has begun since then. So a value that was replaced stays possible until a flush
// that was submitted after the replacing write had ended.
class Cell
{
public:
	struct Left {
		Tag tag = kAny;
		Time replaced = kNever;
	};

	Cell() = default;
	explicit Cell(const Values &values) { add(values); }

	[[nodiscard]] const Values &now() const { return now_; }
	// kAny among them: anything.
	[[nodiscard]] std::span<const Left> after_cut() const { return left_; }

	// A write begins.
	void add(const Values &values)
	{
		now_.add(values);
		for (const Tag tag : values.tags())
			leave(tag, kNever);
		if (values.is_anything())
			leave(kAny, kNever);
	}
	// It has ended, and no other one has been under way.
	void set(const Values &values, Time when)
	{
		now_ = values;
		for (Left &left : left_)
			if (left.replaced == kNever && !now_.may_be(left.tag))
				left.replaced = when;
		add(values);
	}
	// May be there after a power cut only, until the first flush.
	void add_left(std::span<const Left> others)
	{
		for (const Left &other : others)
			leave(other.tag, kBegin);
	}
	// A flush that was submitted then has succeeded.
	void flushed(Time when)
	{
		std::erase_if(left_, [&](const Left &left) { return left.replaced <= when; });
	}

private:
	void leave(Tag tag, Time replaced)
	{
		const auto found = std::ranges::find(left_, tag, &Left::tag);

		if (found == left_.end())
			left_.push_back({tag, replaced});
		else
			found->replaced = std::max(found->replaced, replaced);
	}

	Values now_;
	std::vector<Left> left_;
};

using Cells = std::vector<Cell>;

} // namespace dmsc

#endif // DMSC_SEQUENCE_CELL_H
