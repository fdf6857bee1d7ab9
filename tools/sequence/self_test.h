// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_SEQUENCE_SELF_TEST_H
#define DMSC_SEQUENCE_SELF_TEST_H

#include <ostream>

namespace dmsc
{

// Whether the model says what is known without it, and sequences are shrunk. Prints what it checks.
bool self_test(std::ostream &out);

} // namespace dmsc

#endif // DMSC_SEQUENCE_SELF_TEST_H
