// SPDX-License-Identifier: GPL-2.0-only
#include "fio.h"

#include <stdexcept>

namespace dmsc
{

const nlohmann::json &busiest_direction(const nlohmann::json &document)
{
	const nlohmann::json &job = document.at("jobs").at(0);

	if (job.at("error").get<int>() != 0)
		throw std::runtime_error("the fio job failed");

	const nlohmann::json *busiest = &job.at("write");

	for (const char *direction : {"read", "trim"}) {
		const nlohmann::json &candidate = job.at(direction);

		if (candidate.at("total_ios") > busiest->at("total_ios"))
			busiest = &candidate;
	}
	return *busiest;
}

} // namespace dmsc
