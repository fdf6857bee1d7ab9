// SPDX-License-Identifier: GPL-2.0-only
#include "power_cut.h"

#include <algorithm>
#include <iterator>

namespace dmsc
{

namespace
{

enum class Under { none, torn, reordered, late };

Under choose(std::mt19937_64 &random)
{
	switch (random() % 4) {
	case 0:
		return Under::torn;
	case 1:
		return Under::reordered;
	case 2:
		return Under::none;
	default:
		return Under::late;
	}
}

std::vector<bool> whole(const Entry &entry)
{
	std::vector<bool> sectors(entry.bytes / kSector, true);

	return sectors;
}

std::vector<bool> torn(const Entry &entry, std::mt19937_64 &random)
{
	std::vector<bool> sectors = whole(entry);

	for (auto &&sector : sectors)
		sector = (random() & 1) != 0;
	return sectors;
}

} // namespace

std::vector<std::size_t> cut_moments(std::span<const Entry> entries, std::size_t first,
				     std::size_t points, std::mt19937_64 &random)
{
	std::vector<std::size_t> all;
	std::vector<std::size_t> some;

	for (std::size_t i = 0; i < entries.size(); i++)
		if (i + 1 >= first && (entries[i].barrier() || i + 1 == entries.size()))
			all.push_back(i + 1);
	if (points == 0 || all.size() <= points)
		return all;
	std::ranges::sample(all, std::back_inserter(some), static_cast<std::ptrdiff_t>(points - 1),
			    random);
	if (some.empty() || some.back() != all.back())
		some.push_back(all.back());
	return some;
}

std::vector<Arrived> arrived(std::span<const Entry> entries, std::span<const std::size_t> before,
			     std::size_t moment, std::mt19937_64 &random)
{
	const Under under = choose(random);
	std::vector<std::size_t> under_way(before.begin(), before.end());
	std::vector<Arrived> all;
	std::size_t next = moment;

	if (under == Under::none)
		return {};
	for (; next < entries.size() && !entries[next].barrier(); next++)
		under_way.push_back(next);
	for (const std::size_t each : under_way) {
		if (under == Under::torn)
			all.push_back({each, torn(entries[each], random)});
		else if (under == Under::late || (random() & 1) != 0)
			all.push_back({each, whole(entries[each])});
	}
	if (under == Under::late && next < entries.size())
		all.push_back({next, torn(entries[next], random)});
	return all;
}

} // namespace dmsc
