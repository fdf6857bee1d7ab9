// SPDX-License-Identifier: GPL-2.0-only
#include "cache.h"

#include "../common/power_cut.h"
#include "layout.h"

#include <algorithm>

namespace dmsc
{

namespace
{

// The device below at a byte of the pool; nullptr: all of them.
const Base *base_at(std::uint64_t byte)
{
	const std::uint64_t sector = byte / kSector;

	for (const Base &base : kBases)
		if (sector >= offset_of(base.name) && sector < offset_of(base.name) + base.sectors)
			return &base;
	return nullptr;
}

bool overlap(const Entry &one, const Entry &other)
{
	return one.target < other.target + other.bytes && other.target < one.target + one.bytes;
}

} // namespace

Cache::Cache(const File &log, const std::vector<Entry> &entries)
	: log_(log), entries_(entries), durable_(kPoolSectors * kSector)
{
}

void Cache::write(const Entry &entry, const std::vector<bool> &sectors, Image &image) const
{
	const std::vector<std::byte> data = data_of(log_, entry);

	for (std::size_t i = 0; i < sectors.size(); i++)
		if (sectors[i])
			std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(i * kSector),
				    kSector,
				    image.begin() + static_cast<std::ptrdiff_t>(entry.target +
										i * kSector));
}

template <typename Which> void Cache::make_durable(const Which &which)
{
	std::erase_if(cached_, [&](std::size_t each) {
		const Entry &entry = entries_[each];

		if (!which(entry))
			return false;
		write(entry, std::vector<bool>(entry.bytes / kSector, true), durable_);
		return true;
	});
}

void Cache::advance(std::size_t moment)
{
	for (; moment_ < moment; moment_++) {
		const Entry &entry = entries_[moment_];
		const Base *base = base_at(entry.target);

		if (entry.flush)
			make_durable([&](const Entry &each) {
				return base == nullptr || base_at(each.target) == base;
			});
		if (entry.bytes == 0)
			continue;
		cached_.push_back(moment_);
		// What it overwrites does not come back.
		if (entry.fua)
			make_durable([&](const Entry &each) { return overlap(each, entry); });
	}
}

Cache::Cut Cache::cut(std::mt19937_64 &random) const
{
	const std::vector<Arrived> all = arrived(entries_, cached_, moment_, random);
	Cut cut{durable_, all.empty()};

	for (const auto &[entry, sectors] : all)
		write(entries_[entry], sectors, cut.pool);
	return cut;
}

} // namespace dmsc
