// SPDX-License-Identifier: GPL-2.0-only
// What is left of a clone after a power cut.
//
//	A region that is hydrated for sure when a flush of the clone is submitted, or when the
//	clone is suspended or removed, is hydrated on the metadata device when that has ended, and
//	shows the destination from then on.
//	Any other region may show the source again, so what was written to it may be lost.
//	If the metadata device says that it is hydrated, it shows what has been copied or written
//	since, never what the destination had before: that was durable in the destination first.
//	What is written to a clone is durable with a flush of it, like that of any device.
//	A clone can be loaded again, also if it was being made, and then perhaps as a new one.
//
// Nothing is said of a clone that no table has had active yet; whose source is a mapped device, or
// whose destination is another one than usual; nor, until a flush of it has ended, if the metadata
// device had other contents before. One of whose two devices has failed can be loaded, if it was
// there before that, but nothing is said of what it shows. A flush makes durable only regions of
// the device that it is sent to, not of clones below that.
#include "model.h"

#include "layout.h"

#include <algorithm>

namespace dmsc
{

Model::CloneLeft Model::clone_left(const std::string &meta) const
{
	const auto found = clones_.find(meta);
	const auto usual = std::ranges::find(kClones, meta, &CloneOf::meta);

	if (found == clones_.end() || usual == kClones.end() || garbage_.contains(meta))
		return {};

	const Clone &clone = *found->second;

	if ((!clone.durable && (!clone.fresh || clone.blind)) || clone.dest != usual->dest ||
	    !below_.contains(clone.source))
		return {};
	return {true,         !clone.blind, clone.length,
		clone.region, clone.source, clone.blind ? 0 : count(clone, Region::durable)};
}

std::vector<Cell::Left> Model::after_cut(const Clone &clone, std::uint64_t sector) const
{
	const Region region =
		sector < clone.length ? clone.regions[sector / clone.region] : Region::none;
	std::vector<Cell::Left> left;
	const auto add = [&](std::span<const Cell::Left> more) {
		left.insert(left.end(), more.begin(), more.end());
	};

	if (sector >= clone.length || clone.dest.empty())
		return {{}};
	if (region == Region::durable) {
		add(after_cut(clone.dest, sector));
		return left;
	}
	add(after_cut(clone.source, sector));
	if (region != Region::none)
		add(clone.contents[sector].after_cut());
	return left;
}

// A flush that was submitted then has succeeded.
void Model::flushed(Clone &clone, Time when)
{
	if (clone.blind)
		return;
	clone.durable = clone.durable || clone.loaded <= when;
	for (Cell &cell : clone.contents)
		cell.flushed(when);
}

// The metadata device says that the region is hydrated. The destination was flushed before that,
// when it had the copy, or a write to the whole of it: not necessarily what was written since.
void Model::make_durable(Clone &clone, std::uint64_t region)
{
	const std::uint64_t end = std::min((region + 1) * clone.region, clone.length);
	const auto dest = below_.find(clone.dest);

	clone.regions[region] = Region::durable;
	if (clone.blind)
		return;
	clone.durable = true;
	for (std::uint64_t sector = region * clone.region; sector < end && dest != below_.end();
	     sector++)
		dest->second.contents.at(sector).leave_no_more_than(clone.contents[sector]);
}

} // namespace dmsc
