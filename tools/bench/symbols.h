// SPDX-License-Identifier: GPL-2.0-only
// Which function an address belongs to.
#ifndef DMSC_BENCH_SYMBOLS_H
#define DMSC_BENCH_SYMBOLS_H

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace dmsc
{

class Symbols
{
public:
	// In the format of /proc/kallsyms.
	explicit Symbols(const std::filesystem::path &file);

	[[nodiscard]] std::string find(std::uint64_t address) const;

private:
	std::map<std::uint64_t, std::string> functions_; // by their beginning
};

} // namespace dmsc

#endif // DMSC_BENCH_SYMBOLS_H
