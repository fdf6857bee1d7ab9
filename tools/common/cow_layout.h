// SPDX-License-Identifier: GPL-2.0-only
// Where things are on the COW device of a persistent snapshot. Its first chunk has the header. Then
// come areas, a chunk of exceptions each, with the chunks behind them that these exceptions are
// for.
#ifndef DMSC_COMMON_COW_LAYOUT_H
#define DMSC_COMMON_COW_LAYOUT_H

#include "little_endian.h"
#include "sector.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace dmsc
{

constexpr std::uint64_t kCowMagic = 0x70416e53;
// Two numbers of 64 bits: chunk of the origin, chunk of the COW device.
constexpr std::size_t kCowEntry = 16;

struct CowLayout {
	std::uint64_t chunk; // sectors

	[[nodiscard]] std::uint64_t per_area() const { return chunk * kSector / kCowEntry; }
	// Its chunk.
	[[nodiscard]] std::uint64_t area(std::uint64_t number) const
	{
		return 1 + number * (per_area() + 1);
	}
	[[nodiscard]] bool is_data(std::uint64_t number) const
	{
		return number > 1 && (number - 1) % (per_area() + 1) != 0;
	}
	// Of a slot's exception, in bytes.
	[[nodiscard]] std::uint64_t slot(std::uint64_t number) const
	{
		return area(number / per_area()) * chunk * kSector +
		       number % per_area() * kCowEntry;
	}
	// The chunk that the slot has when chunks are used in their order.
	[[nodiscard]] std::uint64_t data(std::uint64_t number) const
	{
		return area(number / per_area()) + 1 + number % per_area();
	}
};

// Of a valid snapshot, at the begin of the device.
inline void store_cow_header(std::span<std::byte> bytes, std::uint64_t chunk)
{
	store_little_endian(bytes, 0, 4, kCowMagic);
	store_little_endian(bytes, 4, 4, 1); // valid
	store_little_endian(bytes, 8, 4, 1); // version
	store_little_endian(bytes, 12, 4, chunk);
}

inline void store_cow_exception(std::span<std::byte> bytes, std::size_t position, std::uint64_t old,
				std::uint64_t fresh)
{
	store_little_endian(bytes, position, 8, old);
	store_little_endian(bytes, position + 8, 8, fresh);
}

} // namespace dmsc

#endif // DMSC_COMMON_COW_LAYOUT_H
