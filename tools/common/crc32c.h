// SPDX-License-Identifier: GPL-2.0-only
// CRC-32C, as device-mapper's metadata have it.
#ifndef DMSC_COMMON_CRC32C_H
#define DMSC_COMMON_CRC32C_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace dmsc
{

namespace detail
{

constexpr std::array<std::uint32_t, 256> make_crc32c_table()
{
	constexpr std::uint32_t polynomial = 0x82f63b78; // reflected
	std::array<std::uint32_t, 256> table{};

	for (std::uint32_t i = 0; i < table.size(); i++) {
		std::uint32_t value = i;

		for (int bit = 0; bit < 8; bit++)
			value = value >> 1 ^ ((value & 1) != 0 ? polynomial : 0);
		table.at(i) = value;
	}
	return table;
}

inline constexpr auto crc32c_table = make_crc32c_table();

} // namespace detail

// Goes on with a CRC; it begins with ~0, and what is usually called the CRC-32C is the complement
// of the end.
inline std::uint32_t crc32c(std::uint32_t crc, std::span<const std::byte> bytes)
{
	for (const auto byte : bytes)
		crc = crc >> 8 ^
		      detail::crc32c_table.at((crc ^ std::to_integer<std::uint32_t>(byte)) & 0xff);
	return crc;
}

} // namespace dmsc

#endif // DMSC_COMMON_CRC32C_H
