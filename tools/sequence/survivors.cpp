// SPDX-License-Identifier: GPL-2.0-only
#include "survivors.h"

#include "../common/pattern.h"

#include <algorithm>
#include <array>
#include <optional>

namespace dmsc
{

namespace
{

bool meet(const Survivors::Period &one, const Survivors::Period &other)
{
	return one.first <= other.last && other.first <= one.last;
}

} // namespace

std::vector<CowOf> crash_cows()
{
	std::vector<CowOf> cows;

	std::ranges::copy_if(kCows, std::back_inserter(cows),
			     [](const CowOf &each) { return sectors_of(each.origin) != 0; });
	return cows;
}

std::set<std::string> crash_origins()
{
	std::set<std::string> origins;

	for (const CowOf &each : crash_cows())
		origins.emplace(each.origin);
	return origins;
}

void Survivors::clear()
{
	devices_.clear();
	clones_.clear();
	moments_ = 0;
}

void Survivors::record(Device &device, const std::string &name, const Model &model) const
{
	device.survival.push_back(model.survival(name));
	device.sectors.resize(kVolume);
	for (std::uint64_t sector = 0; sector < kVolume; sector++) {
		auto &possible = device.sectors[sector];

		for (const Cell::Left &left : model.survivors(name, sector)) {
			const auto known = std::ranges::find_if(possible, [&](const auto &each) {
				return each.tag == left.tag && each.when.last + 1 >= moments_;
			});

			if (known != possible.end())
				known->when.last = moments_;
			else
				possible.push_back({left.tag, {moments_, moments_}});
		}
	}
}

void Survivors::record(const Model &model)
{
	for (const std::string &each : crash_origins())
		record(devices_[each], each, model);
	for (const CowOf &each : crash_cows())
		record(devices_[std::string(each.cow)], std::string(each.cow), model);
	for (const CloneOf &each : kClones) {
		const std::string meta(each.meta);

		record(devices_[meta], meta, model);
		clones_[meta].push_back(model.clone_left(meta));
	}
	moments_++;
}

Model::Survival Survivors::survival(const std::string &cow, Period period) const
{
	const auto &all = devices_.at(cow).survival;
	Model::Survival whole{true, true, false};

	for (std::size_t i = period.first; i <= period.last; i++) {
		const Model::Survival &each = all.at(i);

		whole.known = whole.known && each.known;
		whole.sure = whole.sure && each.sure;
		whole.may_be_invalid = whole.may_be_invalid || each.may_be_invalid;
	}
	return whole;
}

Model::CloneLeft Survivors::clone(const std::string &meta, Period period) const
{
	const auto &all = clones_.at(meta);
	Model::CloneLeft whole = all.at(period.first);

	for (std::size_t i = period.first; i <= period.last; i++) {
		Model::CloneLeft each = all.at(i);

		each.durable = whole.durable = std::min(whole.durable, each.durable);
		each.known = whole.known = whole.known && each.known;
		if (each != whole)
			return {};
	}
	return whole;
}

std::string Survivors::compare(const std::string &device, Period period,
			       std::span<const std::byte> data) const
{
	const auto &sectors = devices_.at(device).sectors;

	for (std::uint64_t sector = 0; sector < data.size() / kSectorBytes; sector++) {
		const auto bytes = data.subspan(sector * kSectorBytes).first<kSectorBytes>();
		const std::optional<Tag> tag = read_tag(bytes, sector);
		std::string allowed;
		bool good = false;

		for (const Possible &possible : sectors.at(sector)) {
			if (!meet(possible.when, period))
				continue;
			good = good || possible.tag == kAny || possible.tag == tag;
			allowed += (allowed.empty() ? "" : " or ") + std::to_string(possible.tag);
		}
		if (!good)
			return "sector " + std::to_string(sector) + " holds " +
			       (tag ? std::to_string(*tag) : describe_sector(bytes, sector)) +
			       ", not " + allowed;
	}
	return "";
}

} // namespace dmsc
