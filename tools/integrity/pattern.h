// SPDX-License-Identifier: GPL-2.0-only
// What a sector holds: 512 bytes made from a tag and the sector's number.
#ifndef DMSC_PATTERN_H
#define DMSC_PATTERN_H

#include <cstddef>
#include <cstdint>
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

// Says in words what the data looks like, for the report of a mismatch.
std::string describe_sector(ConstSectorBytes data, std::uint64_t sector);

// Small generator of pseudo-random numbers; the same stream on every machine.
class Random
{
public:
	explicit Random(std::uint64_t seed) : state_(seed) {}

	std::uint64_t next();
	// Uniform enough for tests: 0 to bound - 1.
	std::uint64_t below(std::uint64_t bound) { return bound ? next() % bound : 0; }

private:
	std::uint64_t state_;
};

} // namespace dmsc

#endif // DMSC_PATTERN_H
