// SPDX-License-Identifier: GPL-2.0-only
#ifndef DMSC_CORPUS_H
#define DMSC_CORPUS_H

#include "../common/table.h"
#include "devices.h"
#include "oracle.h"

#include <string>
#include <string_view>
#include <vector>

namespace dmsc
{

// A table as a line of text:
//   [ro] START LENGTH TYPE PARAMETERS [|| START LENGTH TYPE PARAMETERS]...
// {NAME} is the path of a device, or its sectors as a start or length, and {NAME#} its number; \xNN
// is any byte, and
// {} an empty type.
std::string print_table(const Table &table, const Devices &devices);
Table parse_table(std::string_view text, const Devices &devices);

// accept, refuse or either, as the oracle must judge it, and a table.
struct CorpusLine {
	std::string text;
	Expect expect = Expect::either;
	Table table;
};

// Lines that begin with # and empty ones do not count.
std::vector<CorpusLine> read_corpus(const std::vector<std::string> &files, const Devices &devices);

} // namespace dmsc

#endif // DMSC_CORPUS_H
