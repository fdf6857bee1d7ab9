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

// Names a write of zeroes, with the number of the write in the other bits.
constexpr Tag kZeroing = Tag{1} << 62;

// What is read where a write with that tag was the last.
constexpr Tag content_of(Tag tag)
{
	return (tag & kZeroing) != 0 ? kZeroes : tag;
}

// Now it holds what was written last. Of writes that overlap any may have been the last: a write
// that has ended well replaces what had been written when it began.
//
// A power cut leaves what was there when the last successful flush was submitted, or what any write
// has written that has begun since then. So a value that was replaced stays possible until a flush
// that was submitted after the replacing write had ended. A write with FUA leaves nothing that had
// been written when it began.
class Cell
{
public:
	struct Left {
		Tag tag = kAny;
		Time replaced = kNever;
	};

	Cell() = default;
	explicit Cell(const Values &values) { add(values, kBegin); }

	[[nodiscard]] Values now() const
	{
		Values values;

		for (const Held &held : now_)
			values.add(held.tag == kAny ? Values::anything()
						    : Values(content_of(held.tag)));
		return values;
	}
	// kAny among them: anything.
	[[nodiscard]] std::span<const Left> after_cut() const { return left_; }

	// May have been written until then: kNever if that is under way, kBegin if it comes before
	// all writes.
	void add(const Values &values, Time until)
	{
		for (const Tag tag : values.tags())
			hold(tag, until);
		if (values.is_anything())
			hold(kAny, until);
	}
	// A write that may have come here has ended.
	void ended(Tag tag, Time when)
	{
		const auto found = std::ranges::find(now_, tag, &Held::tag);

		if (found != now_.end())
			found->until = when;
	}
	// One has, for sure, that had begun then; perhaps one that comes after copies.
	void written(Tag tag, Time begun, Time when, bool after_copies, bool durably)
	{
		std::erase_if(now_, [&](const Held &held) {
			const bool is_gone = held.until <= begun || (after_copies && held.copied);

			if (is_gone && durably)
				std::erase_if(left_, [&](const Left &left) {
					return left.tag == held.tag;
				});
			return is_gone;
		});
		hold(tag, when);
		ended(tag, when);
		replace(when);
		if (durably)
			flushed(begun);
	}
	// It has been copied from the other one, since then: what was written meanwhile may have
	// come later, or is under way.
	void become(const Cell &other, Time since, Time when)
	{
		std::erase_if(now_, [&](const Held &held) { return held.until <= since; });
		for (const Held &held : other.now_)
			hold(held.tag, std::max(held.until, when), held.until != kNever);
		replace(when);
	}
	// May be there after a power cut only, until the first flush.
	void add_left(std::span<const Left> others)
	{
		for (const Left &other : others)
			leave(other.tag, kBegin);
	}
	// A power cut leaves nothing that has been replaced here and that it would not leave there.
	void leave_no_more_than(const Cell &other)
	{
		const auto may_be_there = [&](Tag tag) {
			return std::ranges::any_of(other.left_, [&](const Left &left) {
				return content_of(left.tag) == content_of(tag) || left.tag == kAny;
			});
		};

		std::erase_if(left_, [&](const Left &left) {
			return left.replaced != kNever && !may_be_there(left.tag);
		});
	}
	// A flush that was submitted then has succeeded.
	void flushed(Time when)
	{
		std::erase_if(left_, [&](const Left &left) { return left.replaced <= when; });
	}

private:
	struct Held {
		Tag tag = kAny;
		Time until = kBegin;
		bool copied = false;
	};

	void hold(Tag tag, Time until, bool copied = false)
	{
		const auto found = std::ranges::find(now_, tag, &Held::tag);

		if (found == now_.end()) {
			now_.push_back({tag, until, copied});
		} else {
			found->until = std::max(found->until, until);
			found->copied = found->copied && copied;
		}
		leave(tag, kNever);
	}
	void leave(Tag tag, Time replaced)
	{
		const auto found = std::ranges::find(left_, tag, &Left::tag);

		if (found == left_.end())
			left_.push_back({tag, replaced});
		else
			found->replaced = std::max(found->replaced, replaced);
	}
	// What it does not hold any more was replaced then.
	void replace(Time when)
	{
		const auto holds = [this](Tag tag) {
			return std::ranges::find(now_, tag, &Held::tag) != now_.end();
		};

		if (holds(kAny))
			return;
		for (Left &left : left_)
			if (left.replaced == kNever && !holds(left.tag))
				left.replaced = when;
	}

	std::vector<Held> now_;
	std::vector<Left> left_;
};

using Cells = std::vector<Cell>;

} // namespace dmsc

#endif // DMSC_SEQUENCE_CELL_H
