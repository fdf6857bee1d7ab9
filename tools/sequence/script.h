// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_SEQUENCE_SCRIPT_H
#define DMSC_SEQUENCE_SCRIPT_H

#include "operation.h"
#include "subject.h"

#include <ostream>
#include <string>

namespace dmsc
{

// The sequence as a bash script for dmsetup and dd, on loop devices, that shows what went wrong.
// I/O is in the background, as it was. The lines of the sequence stand in it as comments.
void print_script(const Operations &operations, const std::string &complaint, Subject subject,
		  std::ostream &out);

} // namespace dmsc

#endif // DMSC_SEQUENCE_SCRIPT_H
