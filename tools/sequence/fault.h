// SPDX-License-Identifier: GPL-2.0-only
// What a device below cannot do: reads or writes, or both, of some of its sectors, or of all.
#ifndef DMSC_SEQUENCE_FAULT_H
#define DMSC_SEQUENCE_FAULT_H

#include "layout.h"
#include "operation.h"

#include <algorithm>
#include <cstdint>

namespace dmsc
{

enum class Way : std::uint8_t { read, write };

struct Fault {
	std::uint64_t begin = 0;
	std::uint64_t end = 0;
	bool reads = true;
	bool writes = true;

	[[nodiscard]] bool is_any() const { return begin < end; }
	// Whether it meets an I/O of those sectors.
	[[nodiscard]] bool meets(Way way, std::uint64_t from, std::uint64_t to) const
	{
		return (way == Way::read ? reads : writes) && begin < to && from < end;
	}

	friend bool operator==(const Fault &, const Fault &) = default;
};

// Of "base B error", "base B bad SECTOR COUNT [reads|writes]", "base B resize COUNT"; others do
// all.
inline Fault fault_of(const Operation &base)
{
	const std::uint64_t sectors = sectors_of(base.word(0));
	const std::string what = base.word(1);
	const std::string only = base.word(4);

	if (what == "error")
		return {0, sectors, true, true};
	if (what == "resize")
		return {std::min(base.number(2), sectors), sectors, true, true};
	if (what != "bad")
		return {};
	return {std::min(base.number(2), sectors),
		std::min(base.number(2) + base.number(3), sectors), only != "writes",
		only != "reads"};
}

} // namespace dmsc

#endif // DMSC_SEQUENCE_FAULT_H
