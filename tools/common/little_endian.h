// SPDX-License-Identifier: GPL-2.0-only
// Numbers as they stand on a disk.
#ifndef DMSC_COMMON_LITTLE_ENDIAN_H
#define DMSC_COMMON_LITTLE_ENDIAN_H

#include <cstddef>
#include <cstdint>
#include <span>

namespace dmsc
{

inline std::uint64_t load_little_endian(std::span<const std::byte> bytes, std::size_t position,
					std::size_t size)
{
	std::uint64_t value = 0;

	for (std::size_t i = size; i > 0; i--)
		value = value << 8 | std::to_integer<std::uint64_t>(bytes[position + i - 1]);
	return value;
}

inline void store_little_endian(std::span<std::byte> bytes, std::size_t position, std::size_t size,
				std::uint64_t value)
{
	for (std::size_t i = 0; i < size; i++, value >>= 8)
		bytes[position + i] = static_cast<std::byte>(value & 0xff);
}

} // namespace dmsc

#endif // DMSC_COMMON_LITTLE_ENDIAN_H
