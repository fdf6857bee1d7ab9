// SPDX-License-Identifier: GPL-2.0-only
// The devices of all sequences, by the names that operations have for them.
#ifndef DMSC_SEQUENCE_LAYOUT_H
#define DMSC_SEQUENCE_LAYOUT_H

#include <array>
#include <cstdint>
#include <string_view>

namespace dmsc
{

// Of origins, and of all mapped devices but those that are made for COW.
constexpr std::uint64_t kVolume = 1024;
// Room for the whole of an origin, in any chunks, and the metadata of a persistent snapshot.
constexpr std::uint64_t kRoomy = 2600;
// Little more than the whole of an origin needs, in chunks of 4, 8 or 16; too little in others.
constexpr std::uint64_t kTight = 1056;

// For the metadata of a clone, with room for stock's.
constexpr std::uint64_t kMetadata = 1024;

// A device below, which a sequence finds there. Its number of sectors. COW and metadata devices
// begin with zeroes.
struct Base {
	std::string_view name;
	std::uint64_t sectors;
	bool for_cow;
};

constexpr std::array<Base, 13> kBases{{
	{"a", kVolume, false},
	{"b", kVolume, false},
	{"a0", kRoomy, true},
	{"a1", kTight, true},
	{"a2", 500, true},
	{"b0", kRoomy, true},
	{"z", kRoomy, true},
	{"s0", kRoomy, true},
	{"s1", kRoomy, true},
	{"m", kMetadata, true},
	{"d", kVolume, false},
	{"n", kMetadata, true},
	{"e", kVolume, false},
}};

// Mapped devices that a sequence makes. One stands only on those before it, so that there is no
// circle. The last is a COW device in pieces, which grows.
constexpr std::array<std::string_view, 6> kMapped{"v0", "v1", "v2", "v3", "v4", "w0"};
constexpr std::array<std::string_view, 6> kMappedFromAbove{"w0", "v4", "v3", "v2", "v1", "v0"};
constexpr std::string_view kGrowing = "w0";

// Where snapshots of an origin have their chunks: each COW device belongs to one origin.
struct CowOf {
	std::string_view cow;
	std::string_view origin;
};

constexpr std::array<CowOf, 7> kCows{{
	{"a0", "a"},
	{"a1", "a"},
	{"a2", "a"},
	{"w0", "a"},
	{"b0", "b"},
	{"s0", "v0"},
	{"s1", "v1"},
}};

// Those that go off are 1 to this.
constexpr std::uint64_t kCpus = 3;

// Copies of a snapshot under way at a time, by default.
constexpr std::uint64_t kThreshold = 2048;

// Clones.
struct CloneOf {
	std::string_view meta;
	std::string_view dest;
};

constexpr std::array<CloneOf, 2> kClones{{
	{"m", "d"},
	{"n", "e"},
}};

// Devices below begin at multiples of so many sectors of the pool.
constexpr std::uint64_t kPoolUnit = 8;

// Where a device below is in the pool; behind all of them if there is none of that name. None
// begins at sector 0.
constexpr std::uint64_t offset_of(std::string_view base)
{
	std::uint64_t offset = kPoolUnit;

	for (const Base &each : kBases) {
		if (each.name == base)
			break;
		offset += (each.sectors + kPoolUnit - 1) / kPoolUnit * kPoolUnit;
	}
	return offset;
}

constexpr std::uint64_t kPoolSectors = offset_of("");

constexpr std::uint64_t sectors_of(std::string_view base)
{
	for (const Base &each : kBases)
		if (each.name == base)
			return each.sectors;
	return 0;
}

} // namespace dmsc

#endif // DMSC_SEQUENCE_LAYOUT_H
