// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_ACTIVATE_PROGRAM_H
#define DMSC_ACTIVATE_PROGRAM_H

#include <string>
#include <vector>

namespace dmsc
{

struct Outcome {
	int code = 0;
	std::string output;
	std::string errors;
};

// Runs it, found by PATH, with that input. Throws std::system_error if it cannot be run at all.
Outcome run_program(const std::vector<std::string> &words, const std::string &input = "");

} // namespace dmsc

#endif // DMSC_ACTIVATE_PROGRAM_H
