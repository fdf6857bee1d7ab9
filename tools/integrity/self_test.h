// SPDX-License-Identifier: GPL-2.0-only
// Does the checker find what it is there to find?
#ifndef DMSC_SELF_TEST_H
#define DMSC_SELF_TEST_H

#include <iosfwd>
#include <string>

namespace dmsc
{

// Plain files in the directory stand for an origin and a snapshot.
bool self_test(const std::string &directory, std::ostream &out);

} // namespace dmsc

#endif // DMSC_SELF_TEST_H
