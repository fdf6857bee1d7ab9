// SPDX-License-Identifier: GPL-2.0-only
#include "submissions.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace dmsc
{

Submissions read_submissions(const nlohmann::json &document)
{
	return {document.at("origin").at("R").get<ByCpu>(),
		document.at("cow").at("W").get<ByCpu>()};
}

void add(ByCpu &total, const ByCpu &counts)
{
	total.resize(std::max(total.size(), counts.size()));
	std::ranges::transform(counts, total, total.begin(), std::plus<>());
}

ByCpu all_of(const Submissions &submissions)
{
	ByCpu total = submissions.reads;

	add(total, submissions.writes);
	return total;
}

std::optional<double> max_share(const ByCpu &counts)
{
	const std::uint64_t total = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});

	if (total == 0)
		return std::nullopt;
	return static_cast<double>(*std::ranges::max_element(counts)) *
	       static_cast<double>(counts.size()) / static_cast<double>(total);
}

} // namespace dmsc
