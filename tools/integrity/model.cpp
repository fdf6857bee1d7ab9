// SPDX-License-Identifier: GPL-2.0-only
#include "model.h"

#include "binary_io.h"

#include <algorithm>
#include <atomic>

namespace dmsc
{

namespace
{

// More candidates than this say nothing any more.
constexpr std::size_t kMaxCandidates = 16;

} // namespace

SectorModel::SectorModel(const SectorModel &source, std::uint64_t sectors)
	: tags_(source.tags_.begin(),
		source.tags_.begin() + static_cast<std::ptrdiff_t>(
					       std::min<std::uint64_t>(sectors, source.sectors())))
{
	for (const auto &[sector, tags] : source.candidates_)
		if (sector < sectors)
			candidates_.emplace(sector, tags);
}

Tag SectorModel::tag_at(std::uint64_t sector)
{
	return std::atomic_ref(tags_[sector]).load(std::memory_order_relaxed);
}

void SectorModel::store_tag(std::uint64_t sector, Tag tag)
{
	std::atomic_ref(tags_[sector]).store(tag, std::memory_order_relaxed);
}

void SectorModel::set(const Range &range, Tag tag)
{
	for (std::uint64_t sector = range.first; sector < range.end(); sector++) {
		if (tag_at(sector) == kAmbiguous) {
			const std::lock_guard held(candidates_mutex_);

			candidates_.erase(sector);
		}
		store_tag(sector, tag);
	}
}

void SectorModel::add_candidate(const Range &range, Tag tag)
{
	const std::lock_guard held(candidates_mutex_);

	for (std::uint64_t sector = range.first; sector < range.end(); sector++) {
		const Tag old = tag_at(sector);

		if (old == tag || old == kAny)
			continue;

		auto &tags = candidates_[sector];

		if (old != kAmbiguous)
			tags.push_back(old);
		if (std::ranges::find(tags, tag) == tags.end())
			tags.push_back(tag);
		store_tag(sector, tags.size() > kMaxCandidates ? kAny : kAmbiguous);
		if (tags.size() > kMaxCandidates)
			candidates_.erase(sector);
	}
}

bool SectorModel::matches(ConstSectorBytes data, std::uint64_t sector)
{
	const Tag tag = tag_at(sector);

	if (tag != kAmbiguous)
		return sector_holds(data, tag, sector);

	const std::lock_guard held(candidates_mutex_);
	const auto entry = candidates_.find(sector);

	// Another reader may have settled it in between.
	if (entry == candidates_.end())
		return sector_holds(data, tag_at(sector), sector);

	const auto found = std::ranges::find_if(entry->second, [&](Tag candidate) {
		return sector_holds(data, candidate, sector);
	});

	if (found == entry->second.end())
		return false;
	store_tag(sector, *found);
	candidates_.erase(entry);
	return true;
}

std::string SectorModel::describe(std::uint64_t sector)
{
	const std::lock_guard held(candidates_mutex_);
	const auto entry = candidates_.find(sector);

	if (entry == candidates_.end())
		return describe_tag(tag_at(sector));

	std::string text;

	for (const Tag tag : entry->second)
		text += (text.empty() ? "" : " or ") + describe_tag(tag);
	return text;
}

std::uint64_t SectorModel::ambiguous_sectors()
{
	const std::lock_guard held(candidates_mutex_);

	return candidates_.size();
}

// Tags are stored as runs of (count, tag): a write covers many sectors.
void SectorModel::save(std::ostream &out)
{
	put_number(out, tags_.size());
	for (auto run = tags_.begin(); run != tags_.end();) {
		const auto end =
			std::find_if(run, tags_.end(), [&](Tag tag) { return tag != *run; });

		put_number(out, static_cast<std::uint64_t>(end - run));
		put_number(out, *run);
		run = end;
	}

	const std::lock_guard held(candidates_mutex_);

	put_number(out, candidates_.size());
	for (const auto &[sector, tags] : candidates_) {
		put_number(out, sector);
		put_number(out, tags.size());
		for (const Tag tag : tags)
			put_number(out, tag);
	}
}

SectorModel SectorModel::load(std::istream &in)
{
	SectorModel model(get_number(in));

	for (std::uint64_t sector = 0; sector < model.sectors();) {
		const std::uint64_t count = get_number(in);
		const Tag tag = get_number(in);

		if (count == 0 || count > model.sectors() - sector)
			throw std::runtime_error("the model file is damaged");
		std::fill_n(model.tags_.begin() + static_cast<std::ptrdiff_t>(sector), count, tag);
		sector += count;
	}
	for (std::uint64_t left = get_number(in); left > 0; left--) {
		auto &tags = model.candidates_[get_number(in)];

		tags.resize(get_number(in));
		for (Tag &tag : tags)
			tag = get_number(in);
	}
	return model;
}

} // namespace dmsc
