// SPDX-License-Identifier: GPL-2.0-only
// What a sector holds: 512 bytes made from a tag and the sector's number.
#ifndef DMSC_COMMON_PATTERN_H
#define DMSC_COMMON_PATTERN_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace dmsc
{

constexpr std::size_t kSectorBytes = 512;
constexpr unsigned kSectorShift = 9;

// Names one write. All sectors of a write carry its tag; no tag is ever used for two writes.
using Tag = std::uint64_t;

constexpr Tag kZeroes = 0;    // 512 bytes of zeroes
constexpr Tag kAny = 1;       // nothing is known, everything is accepted
constexpr Tag kAmbiguous = 2; // one of several tags, which the model keeps elsewhere

// device: 1 to 15, run: below 4096, thread: below 256, serial: below 2^36, from 0.
Tag make_tag(unsigned device, unsigned run, unsigned thread, std::uint64_t serial);

std::string describe_tag(Tag tag);

using SectorBytes = std::span<std::byte, kSectorBytes>;
using ConstSectorBytes = std::span<const std::byte, kSectorBytes>;

void fill_sector(SectorBytes out, Tag tag, std::uint64_t sector);
bool sector_holds(ConstSectorBytes data, Tag tag, std::uint64_t sector);

// The tag of a sector that holds its whole pattern, or zeroes.
std::optional<Tag> read_tag(ConstSectorBytes data, std::uint64_t sector);

// Says in words what the data looks like, for the report of a mismatch.
std::string describe_sector(ConstSectorBytes data, std::uint64_t sector);

} // namespace dmsc

#endif // DMSC_COMMON_PATTERN_H
