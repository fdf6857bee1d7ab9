// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_COMMON_RANDOM_H
#define DMSC_COMMON_RANDOM_H

#include <array>
#include <cstdint>
#include <span>

namespace dmsc
{

// Numbers that depend on the seed and the try only, so that one try can be repeated alone.
class Random
{
public:
	Random(std::uint64_t seed, std::uint64_t index)
		: state_(seed * 0x9e3779b97f4a7c15 ^ (index + 1) * 0xd1342543de82ef95)
	{
	}

	std::uint64_t next()
	{
		// The finalizer of SplitMix64.
		state_ += 0x9e3779b97f4a7c15;

		std::uint64_t value = state_;

		value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
		value = (value ^ value >> 27) * 0x94d049bb133111eb;
		return value ^ value >> 31;
	}
	// 0 if there is no choice.
	std::size_t below(std::size_t limit) { return limit == 0 ? 0 : next() % limit; }
	bool one_in(std::size_t count) { return below(count) == 0; }
	template <typename Item> const Item &pick(std::span<const Item> items)
	{
		return items[below(items.size())];
	}
	template <typename Item, std::size_t count>
	const Item &pick(const std::array<Item, count> &items)
	{
		return items[below(count)];
	}

private:
	std::uint64_t state_;
};

} // namespace dmsc

#endif // DMSC_COMMON_RANDOM_H
