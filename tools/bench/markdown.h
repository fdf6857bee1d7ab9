// SPDX-License-Identifier: GPL-2.0-only
// Tables for docs/performance.md.
#ifndef DMSC_BENCH_MARKDOWN_H
#define DMSC_BENCH_MARKDOWN_H

#include "measurement.h"

#include <iosfwd>
#include <string>

namespace dmsc
{

// What was measured of a workload, and where its instructions went at the least and the greatest
// number of CPUs.
void write_markdown(std::ostream &out, const Results &results, const std::string &workload,
		    std::size_t functions);

} // namespace dmsc

#endif // DMSC_BENCH_MARKDOWN_H
