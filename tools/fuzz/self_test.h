// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_SELF_TEST_H
#define DMSC_SELF_TEST_H

#include <ostream>
#include <string>
#include <vector>

namespace dmsc
{

// Are the generator and the oracle right, without a kernel? Prints what it checks; true if all is
// well.
bool self_test(const std::vector<std::string> &corpus, std::ostream &out);

} // namespace dmsc

#endif // DMSC_SELF_TEST_H
