// SPDX-License-Identifier: GPL-2.0-only
// fio's JSON.
#ifndef DMSC_COMMON_FIO_H
#define DMSC_COMMON_FIO_H

#include <nlohmann/json.hpp>

namespace dmsc
{

inline constexpr double kNsPerUs = 1000;

// fio writes all directions; the one that did most is meant. Part of the document. Throws
// std::runtime_error if the job failed.
const nlohmann::json &busiest_direction(const nlohmann::json &document);

} // namespace dmsc

#endif // DMSC_COMMON_FIO_H
