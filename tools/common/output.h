// SPDX-License-Identifier: GPL-2.0-only
// Where a tool's options send its output.
#ifndef DMSC_COMMON_OUTPUT_H
#define DMSC_COMMON_OUTPUT_H

#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

namespace dmsc
{

// Has it written to the file; to standard output if that is "-", and nowhere without a path.
template <typename Writer> void write_file(const std::string &path, Writer writer)
{
	if (path.empty())
		return;
	if (path == "-")
		return writer(std::cout);

	std::ofstream out(path);

	writer(out);
	if (!out.flush())
		throw std::runtime_error("cannot write " + path);
}

} // namespace dmsc

#endif // DMSC_COMMON_OUTPUT_H
