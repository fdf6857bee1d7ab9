// SPDX-License-Identifier: GPL-2.0-only
#include "shrink.h"

#include <algorithm>

namespace dmsc
{

// Takes out parts, half of it first, then smaller ones, as long as what is left fails.
Operations shrink(Operations operations, unsigned int runs,
		  const std::function<bool(const Operations &)> &fails)
{
	const auto ever_fails = [&](const Operations &shorter) {
		for (unsigned int i = 0; i < runs; i++)
			if (fails(shorter))
				return true;
		return false;
	};
	std::size_t size = std::max<std::size_t>(operations.size() / 2, 1);

	for (;;) {
		bool found = false;

		// From the end: what is behind the failure goes first.
		for (std::size_t end = operations.size(); end > 0;) {
			const std::size_t begin = end - std::min(size, end);
			Operations shorter = operations;

			shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(begin),
				      shorter.begin() + static_cast<std::ptrdiff_t>(end));
			if (!shorter.empty() && ever_fails(shorter)) {
				operations = std::move(shorter);
				found = true;
			}
			end = begin;
		}
		if (size == 1 && !found)
			return operations;
		if (!found || size > operations.size())
			size = std::max<std::size_t>(size / 2, 1);
	}
}

} // namespace dmsc
