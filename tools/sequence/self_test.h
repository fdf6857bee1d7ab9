// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_SEQUENCE_SELF_TEST_H
#define DMSC_SEQUENCE_SELF_TEST_H

#include <functional>
#include <ostream>

namespace dmsc
{

// Whether the model says what is known without it, and sequences are shrunk. Prints what it checks.
bool self_test(std::ostream &out);

// Takes what is checked, and whether it is so.
using Check = std::function<void(const char *what, bool passed)>;
// The part about devices below that fail.
void self_test_fault(const Check &check);
// And about power cuts.
void self_test_crash(const Check &check);
void self_test_io(const Check &check);

} // namespace dmsc

#endif // DMSC_SEQUENCE_SELF_TEST_H
