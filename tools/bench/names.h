// SPDX-License-Identifier: GPL-2.0-only
// What people call things.
#ifndef DMSC_BENCH_NAMES_H
#define DMSC_BENCH_NAMES_H

#include <string>

namespace dmsc
{

std::string title_of_workload(const std::string &workload);

} // namespace dmsc

#endif // DMSC_BENCH_NAMES_H
