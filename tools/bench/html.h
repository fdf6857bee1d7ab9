// SPDX-License-Identifier: GPL-2.0-only
// The report: one file that needs nothing else.
#ifndef DMSC_BENCH_HTML_H
#define DMSC_BENCH_HTML_H

#include "measurement.h"

#include <iosfwd>
#include <string>

namespace dmsc
{

void write_html(std::ostream &out, const Results &results, const std::string &title);

} // namespace dmsc

#endif // DMSC_BENCH_HTML_H
