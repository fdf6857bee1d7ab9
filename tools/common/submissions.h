// SPDX-License-Identifier: GPL-2.0-only
// Who submitted the I/Os of the copies.
#ifndef DMSC_COMMON_SUBMISSIONS_H
#define DMSC_COMMON_SUBMISSIONS_H

#include <cstdint>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

namespace dmsc
{

// How much each CPU submitted; the index is the CPU.
using ByCpu = std::vector<std::uint64_t>;

struct Submissions {
	ByCpu reads;  // of the copies: from the origin
	ByCpu writes; // of the copies: to the COW device
};

// submissions.json, see trace_submissions in tests/bench/guest-lib.sh
Submissions read_submissions(const nlohmann::json &document);

void add(ByCpu &total, const ByCpu &counts);
// Reads and writes.
ByCpu all_of(const Submissions &submissions);

// The busiest CPU's part over the fair part: 1 is even, the number of CPUs is the worst. Nothing if
// nothing was submitted.
std::optional<double> max_share(const ByCpu &counts);

} // namespace dmsc

#endif // DMSC_COMMON_SUBMISSIONS_H
