// SPDX-License-Identifier: GPL-2.0-only
// Keeps snapshots from being removed by a program that knows nothing of their origins. LVM's
// blkdeactivate, which runs when the machine is shut down, removes each device that is not open,
// also the snapshot of an origin that is written to a moment later.
#ifndef DMSC_ACTIVATE_HOLD_H
#define DMSC_ACTIVATE_HOLD_H

#include <string>
#include <vector>

namespace dmsc
{

// Opens all active snapshots but LVM's, for this process and the programs that it becomes or
// starts; deactivate() waits for their end. Which they are the kernel knows: the file may have been
// changed for the next start. Throws std::runtime_error.
void hold_snapshots();
// The program, found by PATH. Throws std::system_error.
[[noreturn]] void become(const std::vector<std::string> &words);

} // namespace dmsc

#endif // DMSC_ACTIVATE_HOLD_H
