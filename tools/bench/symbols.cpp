// SPDX-License-Identifier: GPL-2.0-only
#include "symbols.h"

#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace dmsc
{

Symbols::Symbols(const std::filesystem::path &file)
{
	std::ifstream in(file);

	if (!in)
		throw std::runtime_error("cannot read " + file.string());
	for (std::string line; std::getline(in, line);) {
		std::istringstream words(line);
		std::uint64_t address = 0;
		std::string type;
		std::string name;
		std::string module;

		if (!(words >> std::hex >> address >> type >> name))
			throw std::runtime_error(file.string() + ": not a symbol: " + line);
		if (words >> module)
			name.append(" ").append(module);
		functions_.emplace(address, std::move(name));
	}
}

std::string Symbols::find(std::uint64_t address) const
{
	constexpr std::uint64_t kKernel = std::uint64_t{1} << 63;

	if (address < kKernel)
		return "(user space)";

	const auto after = functions_.upper_bound(address);

	return after == functions_.begin() ? "(unknown)" : std::prev(after)->second;
}

} // namespace dmsc
