// SPDX-License-Identifier: GPL-2.0-only
// What a sector may hold.
#ifndef DMSC_SEQUENCE_VALUES_H
#define DMSC_SEQUENCE_VALUES_H

#include "../common/pattern.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dmsc
{

// The tags of writes of which one was the last to reach the sector; too many of them are anything.
class Values
{
public:
	Values() = default;
	explicit Values(Tag tag) { add(tag); }
	static Values anything()
	{
		Values values;

		values.any_ = true;
		return values;
	}

	void add(Tag tag)
	{
		if (may_be(tag))
			return;
		if (count_ == tags_.size())
			any_ = true;
		else
			tags_.at(count_++) = tag;
	}
	void add(const Values &other)
	{
		any_ = any_ || other.any_;
		std::for_each_n(other.tags_.begin(), other.count_, [this](Tag tag) { add(tag); });
	}
	[[nodiscard]] bool may_be(Tag tag) const
	{
		const auto end = tags_.begin() + static_cast<std::ptrdiff_t>(count_);

		return any_ || std::find(tags_.begin(), end, tag) != end;
	}
	[[nodiscard]] bool is_anything() const { return any_; }
	[[nodiscard]] std::span<const Tag> tags() const { return {tags_.data(), count_}; }
	[[nodiscard]] std::string to_string() const
	{
		std::string text;

		if (any_)
			return "anything";
		for (std::size_t i = 0; i < count_; i++)
			text += (i == 0 ? "" : " or ") + std::to_string(tags_.at(i));
		return text;
	}

private:
	std::array<Tag, 6> tags_{};
	std::size_t count_ = 0;
	bool any_ = false;
};

using Contents = std::vector<Values>;

} // namespace dmsc

#endif // DMSC_SEQUENCE_VALUES_H
